// SPDX-License-Identifier: GPL-2.0
/*
 * The data path of inline WireGuard.
 *
 * Order.  A flow is sent by one context at a time (its socket's lock, or the
 * softirq that forwards it), and wg_xmit() returns only when its packets are
 * at the outer device.  So a flow's packets leave in order without any lock,
 * and several CPUs may send on one peer at once; between flows, nonces may
 * leave out of order by a few packets, which the receiver's replay window
 * (thousands) absorbs.  A packet's nonce is taken right before it is
 * encrypted, so that the window is never stretched by waiting.
 *
 * Packets that had to be staged (no key yet, or the mode is changing) are the
 * exception: whoever sends them later must not be overtaken by the flow's next
 * packet.  `draining` marks that time, and senders that meet it wait; see
 * wgprof_inline_may_send().
 */
#include "wgprof_inline.h"
#include "wgprof_cell.h"
#include "device.h"
#include "messages.h"
#include "noise.h"
#include "peer.h"
#include "queueing.h"
#include "socket.h"
#include "timers.h"

#include <linux/percpu.h>
#include <net/ip_tunnels.h>

#ifdef CONFIG_PREEMPT_RT
#error "inline waits with bottom halves off, which a realtime kernel may preempt: build vanilla or steered"
#endif

/* How a packet that was decrypted here is delivered, kept in its state beside WireGuard's own values. */
enum {
	WGPROF_STATE_CELL = PACKET_STATE_DEAD + 1,	/* from this CPU's cell */
	WGPROF_STATE_AT_ONCE,				/* before wgprof_inline_decrypt() returns */
};

/*
 * How many inline transmits may be on one CPU's stack: one tunnel in another.
 * Beyond that (a routing loop, as a rule) packets take the queued way, whose
 * workers start from an empty stack.
 */
#define WGPROF_MAX_DEPTH 2

/* While the mode changes, more packets may wait than MAX_STAGED_PACKETS. */
#define WGPROF_HOLD_LIMIT (4 * MAX_QUEUED_PACKETS)

/* Rounds a drain may take before it leaves the rest to the queued way. */
#define WGPROF_DRAIN_ROUNDS 4

static DEFINE_PER_CPU(unsigned int, wgprof_depth);

static enum wgprof_mode wgprof_mode(const struct wg_peer *peer)
{
	return smp_load_acquire(&peer->device->wgprof.mode);
}

unsigned int wgprof_inline_staged_limit(struct wg_peer *peer)
{
	return READ_ONCE(peer->device->wgprof.switching) ? WGPROF_HOLD_LIMIT : MAX_STAGED_PACKETS;
}

/*
 * Encrypts and sends @packets here and now.  Returns false when there is no
 * usable key; what could not be sent is then still on @packets.  Bottom halves
 * are off, which also makes this an RCU reader: the keypair needs no reference.
 * Visible, and a function of its own: the probes know by it who encrypts.
 */
noinline bool wgprof_inline_send(struct wg_peer *peer, struct sk_buff_head *packets)
{
	struct sk_buff *first = NULL, **link = &first, *skb;
	struct noise_keypair *keypair;

	keypair = rcu_dereference_bh(peer->keypairs.current_keypair);
	if (unlikely(!keypair || !READ_ONCE(keypair->sending.is_valid)))
		return false;
	if (unlikely(wg_birthdate_has_expired(keypair->sending.birthdate, REJECT_AFTER_TIME))) {
		WRITE_ONCE(keypair->sending.is_valid, false);
		return false;
	}

	while ((skb = skb_peek(packets)) != NULL) {
		u64 nonce = atomic64_inc_return(&keypair->sending_counter) - 1;

		if (unlikely(nonce >= REJECT_AFTER_MESSAGES)) {
			WRITE_ONCE(keypair->sending.is_valid, false);
			break;
		}
		__skb_unlink(skb, packets);
		skb_mark_not_on_list(skb);
		PACKET_CB(skb)->ds = ip_tunnel_ecn_encap(0, ip_hdr(skb), skb);
		PACKET_CB(skb)->nonce = nonce;
		PACKET_CB(skb)->keypair = keypair;
		if (unlikely(!encrypt_packet(skb, keypair))) {
			kfree_skb(skb);
			continue;
		}
		wg_reset_packet(skb, true);
		*link = skb;
		link = &skb->next;
	}

	if (likely(first)) {
		__this_cpu_inc(wgprof_depth);
		wg_packet_create_data_done(peer, first);
		__this_cpu_dec(wgprof_depth);
	}
	return skb_queue_empty(packets);
}

/*
 * May this context send on its own, or are there packets before it?  The
 * staged queue is looked at before `draining`, and a drain sets `draining`
 * before it empties the queue: one of the two is always seen.
 *
 * Waiting is short: the one who drains has bottom halves off and at most the
 * staged packets to send.  It must not happen below another inline transmit on
 * this CPU, which may be that very drain.
 */
static bool wgprof_inline_may_send(struct wg_peer *peer)
{
	unsigned int depth = __this_cpu_read(wgprof_depth);

	if (unlikely(depth >= WGPROF_MAX_DEPTH))
		return false;
	for (;;) {
		if (unlikely(!skb_queue_empty_lockless(&peer->staged_packet_queue))) {
			/* Behind a drain wait, too: senders that kept on staging would never let it end. */
			if (depth || !READ_ONCE(peer->wgprof.draining))
				return false;
		} else {
			smp_rmb(); /* pairs with the one in wgprof_inline_take_staged() */
			if (likely(!smp_load_acquire(&peer->wgprof.draining)))
				return true;
			if (depth)
				return false;
		}
		while (READ_ONCE(peer->wgprof.draining))
			cpu_relax();
	}
}

bool wgprof_inline_xmit(struct wg_peer *peer, struct sk_buff_head *packets)
{
	if (wgprof_mode(peer) != WGPROF_INLINE || unlikely(READ_ONCE(peer->is_dead)))
		return false;
	if (!wgprof_inline_may_send(peer))
		return false;
	return wgprof_inline_send(peer, packets);
}

static bool wgprof_inline_take_staged(struct wg_peer *peer, struct sk_buff_head *packets)
{
	WRITE_ONCE(peer->wgprof.draining, true);
	smp_wmb(); /* pairs with the one in wgprof_inline_may_send() */
	skb_queue_splice_init(&peer->staged_packet_queue, packets);
	return !skb_queue_empty(packets);
}

static void wgprof_inline_put_back(struct wg_peer *peer, struct sk_buff_head *packets)
{
	struct sk_buff *skb;

	skb_queue_walk(packets, skb)
		skb_orphan(skb);
	spin_lock(&peer->staged_packet_queue.lock);
	skb_queue_splice(packets, &peer->staged_packet_queue);
	smp_store_release(&peer->wgprof.draining, false);
	spin_unlock(&peer->staged_packet_queue.lock);
	wg_packet_send_queued_handshake_initiation(peer, false);
}

/* Sends what is staged.  Returns false when the queued way should go on with it. */
static bool wgprof_inline_drain(struct wg_peer *peer)
{
	struct sk_buff_head packets;
	unsigned int round;

	__skb_queue_head_init(&packets);
	spin_lock(&peer->staged_packet_queue.lock);
	if (peer->wgprof.draining) {
		/* Its owner looks at the queue once more before it ends. */
		spin_unlock(&peer->staged_packet_queue.lock);
		return true;
	}
	for (round = 0; round < WGPROF_DRAIN_ROUNDS; ++round) {
		if (wgprof_mode(peer) != WGPROF_INLINE ||
		    !wgprof_inline_take_staged(peer, &packets))
			break;
		spin_unlock(&peer->staged_packet_queue.lock);
		if (!wgprof_inline_send(peer, &packets)) {
			wgprof_inline_put_back(peer, &packets);
			return true;
		}
		spin_lock(&peer->staged_packet_queue.lock);
	}
	smp_store_release(&peer->wgprof.draining, false);
	spin_unlock(&peer->staged_packet_queue.lock);
	return round < WGPROF_DRAIN_ROUNDS;
}

/* From timers, the handshake's worker, receive, and wg_xmit() when it had to stage. */
bool wgprof_inline_send_staged(struct wg_peer *peer)
{
	bool done = true;

	rcu_read_lock_bh();
	switch (wgprof_mode(peer)) {
	case WGPROF_QUEUED:
		/* After a switch one task puts what was held into the rings; others must not overtake it. */
		done = smp_load_acquire(&peer->wgprof.draining) &&
		       READ_ONCE(peer->wgprof.requeuer) != current;
		break;
	case WGPROF_INLINE:
		done = __this_cpu_read(wgprof_depth) < WGPROF_MAX_DEPTH && wgprof_inline_drain(peer);
		break;
	case WGPROF_HOLD:
		break; /* the one who changes the mode sends them */
	}
	rcu_read_unlock_bh();
	return done;
}

/*
 * Decrypts and delivers here and now; takes over the references of @skb to its
 * keypair and to @peer.  @at_once: not even from this CPU's cell, for packets
 * of flows that are received on other CPUs.  A function of its own for the probes.
 */
noinline void wgprof_inline_decrypt(struct wg_peer *peer, struct sk_buff *skb, bool at_once)
{
	struct noise_keypair *keypair = PACKET_CB(skb)->keypair;
	struct endpoint endpoint;

	atomic_set(&PACKET_CB(skb)->state, at_once ? WGPROF_STATE_AT_ONCE : WGPROF_STATE_CELL);
	if (unlikely(!decrypt_packet(skb, keypair)))
		goto drop;
	if (unlikely(!counter_validate(&keypair->receiving_counter, PACKET_CB(skb)->nonce))) {
		net_dbg_ratelimited("%s: Packet has invalid nonce %llu (max %llu)\n",
				    peer->device->dev->name, PACKET_CB(skb)->nonce,
				    READ_ONCE(keypair->receiving_counter.counter));
		goto drop;
	}
	if (unlikely(wg_socket_endpoint_from_skb(&endpoint, skb)))
		goto drop;
	wg_reset_packet(skb, false);
	wg_packet_consume_data_done(peer, skb, &endpoint);
	goto out;

drop:
	dev_kfree_skb(skb);
out:
	wg_noise_keypair_put(keypair, false);
	wg_peer_put(peer);
}

/* The last step of wg_packet_consume_data_done(): queued packets are in their peer's NAPI, inline ones are not. */
void wgprof_inline_deliver(struct wg_peer *peer, struct sk_buff *skb)
{
	int state = atomic_read(&PACKET_CB(skb)->state);

	if (likely(state == WGPROF_STATE_CELL))
		wgprof_cell_receive(peer->device->wgprof.cells, skb);
	else if (state == WGPROF_STATE_AT_ONCE)
		netif_receive_skb(skb);
	else
		napi_gro_receive(&peer->napi, skb);
}

/* While the mode changes, and until what came meanwhile is done, packets wait in line. */
static bool wgprof_inline_hold(struct wg_peer *peer, struct sk_buff *skb)
{
	struct sk_buff_head *hold = &peer->wgprof.rx_hold;
	bool held;

	spin_lock(&hold->lock);
	held = peer->wgprof.rx_held || wgprof_mode(peer) == WGPROF_HOLD;
	if (held) {
		WRITE_ONCE(peer->wgprof.rx_held, true);
		if (likely(skb_queue_len(hold) < WGPROF_HOLD_LIMIT))
			__skb_queue_tail(hold, skb);
		else
			held = false; /* no room: better out of order than lost */
	}
	spin_unlock(&hold->lock);
	return held;
}

/*
 * Takes a data packet whose keypair and peer are referenced.  Below an inline
 * transmit on this CPU (a device that delivers within its transmit) the
 * endpoint's lock is held, and the packet takes the queued way.
 */
bool wgprof_inline_receive(struct wg_peer *peer, struct sk_buff *skb)
{
	enum wgprof_mode mode = wgprof_mode(peer);

	if (unlikely(__this_cpu_read(wgprof_depth)))
		return false;
	if (unlikely(mode == WGPROF_HOLD || smp_load_acquire(&peer->wgprof.rx_held)) &&
	    wgprof_inline_hold(peer, skb))
		return true;
	if (mode != WGPROF_INLINE)
		return false;
	wgprof_inline_decrypt(peer, skb, false);
	return true;
}

void wgprof_peer_init(struct wg_peer *peer)
{
	skb_queue_head_init(&peer->wgprof.rx_hold);
}
