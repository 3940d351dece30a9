/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Steered WireGuard: where each task runs is a choice, per device and at run
 * time.  Without a choice everything is as in WireGuard.  See docs/kmod.md.
 */
#ifndef WGPROF_STEERED_H
#define WGPROF_STEERED_H

#include <linux/cpumask.h>
#include <linux/smp.h>
#include <linux/types.h>

struct crypt_queue;
struct net_device;
struct wg_peer;

/* A list of CPUs as it was written; never changed once it can be seen. */
struct wgprof_cpus {
	struct rcu_head rcu;
	struct cpumask mask;
};

/* The choice for a shared ring: which CPUs are woken to encrypt or to decrypt. */
struct wgprof_crypt {
	struct wgprof_cpus __rcu *cpus;	/* NULL: all */
	bool numa_local;		/* prefer the node of the CPU that hands the packet over */
};

struct wgprof_device {
	struct wgprof_cpus __rcu *transmit_cpus;	/* NULL: all, as WireGuard spreads peers */
	struct wgprof_cpus __rcu *deliver_cpus;		/* NULL: the CPU that decrypted */
	bool is_gone;					/* being removed; device_update_lock */
};

struct wgprof_peer {
	call_single_data_t deliver;	/* wakes the peer's NAPI on the chosen CPU */
};

/* Life of a device and of a peer. */
int wgprof_device_init(struct net_device *dev);
void wgprof_device_uninit(struct net_device *dev);
void wgprof_peer_init(struct wg_peer *peer);

/* The four choices. */
int wgprof_steered_crypt_cpu(struct crypt_queue *queue);
int wgprof_steered_transmit_cpu(struct wg_peer *peer);
void wgprof_steered_deliver(struct wg_peer *peer);

#endif
