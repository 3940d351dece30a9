/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inline WireGuard: run to completion.
 *
 * Transmit encrypts and sends where wg_xmit() runs, receive decrypts and
 * delivers in the softirq that received the packet.  See docs/kmod.md.
 */
#ifndef WGPROF_INLINE_H
#define WGPROF_INLINE_H

#include <linux/atomic.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/types.h>

struct noise_keypair;
struct noise_replay_counter;
struct endpoint;
struct wg_device;
struct wg_peer;
struct wgprof_cell;

enum wgprof_mode {
	WGPROF_QUEUED,	/* WireGuard's own way: rings, workers, one NAPI a peer */
	WGPROF_INLINE,	/* run to completion */
	WGPROF_HOLD,	/* switching: packets wait until the old way is empty */
};

struct wgprof_device {
	enum wgprof_mode mode;
	bool switching;			/* from the first held packet to the last that was */
	struct net_device *napi_dev;	/* owns the cells' NAPI: always softirq, never threaded */
	struct wgprof_cell __percpu *cells;	/* NULL once the device is being removed */
};

struct wgprof_peer {
	bool draining;			/* somebody is sending what was staged; staged_packet_queue.lock */
	struct task_struct *requeuer;	/* who drains into the rings after a switch to queued */
	bool rx_held;			/* rx_hold is in use; rx_hold.lock */
	struct sk_buff_head rx_hold;	/* received while the mode changes */
};

/* Life of a device and of a peer. */
int wgprof_device_init(struct net_device *dev);
void wgprof_device_uninit(struct net_device *dev);
void wgprof_peer_init(struct wg_peer *peer);

/* Hooks of the data path.  Those that return bool say whether they took the packet(s). */
bool wgprof_inline_xmit(struct wg_peer *peer, struct sk_buff_head *packets);
bool wgprof_inline_send(struct wg_peer *peer, struct sk_buff_head *packets);
bool wgprof_inline_send_staged(struct wg_peer *peer);
unsigned int wgprof_inline_staged_limit(struct wg_peer *peer);
bool wgprof_inline_receive(struct wg_peer *peer, struct sk_buff *skb);
void wgprof_inline_deliver(struct wg_peer *peer, struct sk_buff *skb);
void wgprof_inline_decrypt(struct wg_peer *peer, struct sk_buff *skb, bool at_once);

/* WireGuard's own steps, made visible by the semantic patches. */
bool encrypt_packet(struct sk_buff *skb, struct noise_keypair *keypair);
void wg_packet_create_data_done(struct wg_peer *peer, struct sk_buff *first);
bool decrypt_packet(struct sk_buff *skb, struct noise_keypair *keypair);
bool counter_validate(struct noise_replay_counter *counter, u64 their_counter);
void wg_packet_consume_data_done(struct wg_peer *peer, struct sk_buff *skb,
				 struct endpoint *endpoint);

/*
 * A peer's byte counts are plain additions in WireGuard, because one worker or
 * one NAPI makes them.  Inline, several CPUs do.
 */
static inline void wgprof_bytes_add(u64 *bytes, size_t len)
{
	BUILD_BUG_ON(sizeof(*bytes) != sizeof(atomic64_t));
	atomic64_add(len, (atomic64_t *)bytes);
}

#endif
