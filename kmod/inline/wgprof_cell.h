/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Delivery from the receive softirq: per device and CPU a queue with a NAPI,
 * as the kernel's gro_cells, but never threaded.  (A threaded gro_cell polls
 * on any CPU a queue that its own CPU fills without a lock; and since 6.16
 * WireGuard's devices are threaded by default.)
 */
#ifndef WGPROF_CELL_H
#define WGPROF_CELL_H

#include <linux/netdevice.h>
#include <linux/skbuff.h>

struct wgprof_cell {
	struct sk_buff_head queue;
	struct napi_struct napi;
};

/* Seen by the probes. */
int wgprof_cell_poll(struct napi_struct *napi, int budget);
void wgprof_cell_deliver(struct napi_struct *napi, struct sk_buff *skb);

struct wgprof_cell __percpu *wgprof_cells_create(struct net_device *napi_dev);
void wgprof_cells_destroy(struct wgprof_cell __percpu *cells);
bool wgprof_cells_idle(struct wgprof_cell __percpu *cells);
void wgprof_cell_receive(struct wgprof_cell __percpu *cells, struct sk_buff *skb);

struct net_device *wgprof_napi_dev_create(void);
void wgprof_napi_dev_destroy(struct net_device *dev);

#endif
