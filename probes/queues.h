/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hand-offs: what is put on a peer's queue and, with it, on the device's ring.
 * drivers/net/wireguard/queueing.c, include/linux/ptr_ring.h
 */
#ifndef WGPROF_QUEUES_H
#define WGPROF_QUEUES_H

#include "objects.h"

/* MESSAGE_DATA of drivers/net/wireguard/messages.h */
#define MESSAGE_DATA 4
/* MAX_QUEUED_PACKETS of drivers/net/wireguard/messages.h: length of the rings and peer queues */
#define QUEUE_LIMIT 1024
/* A ring frees its slots in batches, so it can be full this much earlier; then it is looked at closely. */
#define RING_NEARLY_FULL (QUEUE_LIMIT - 128)
/* A hand-off holds at most what was staged: 128 skbs, each of at most 64 KiB cut into segments. */
#define SEGMENTS_IN_HANDOFF 8192
/* Of those, the first sampled one is looked for among so many: several times what one skb is cut into. */
#define SEARCHED_IN_HANDOFF 512
#define SAMPLED_IN_HANDOFF 64

/* Head of a data packet on the wire; little endian, as are the machines this runs on. */
struct wire_header {
	u32 type;
	u32 key;
	u64 nonce;
};

/* The start of skb->cb while WireGuard owns the packet: struct packet_cb of queueing.h. */
#define PACKET_NONCE 0
#define PACKET_KEYPAIR 8

INLINE struct wire_header read_header(u64 skb, bool typed)
{
	struct pair pair = read_pair(load64(skb, OFF_SKB_DATA, typed));
	struct wire_header header = { .type = pair.first & 0xff, .key = pair.first >> 32, .nonce = pair.second };

	return header;
}

/* Packets the worker that runs on this CPU has moved. */
INLINE void count_moved(struct cpu_state *state, u64 cpu, u32 packets)
{
	struct worker *worker = running_worker(state, cpu);

	if (worker)
		worker->packets += packets;
}

INLINE bool ring_slot_taken(u64 ring, u32 slot)
{
	return read64(read64(ring + OFF_RING_QUEUE) + 8ULL * (slot & (QUEUE_LIMIT - 1))) != 0;
}

/*
 * Depth of a ptr_ring; QUEUE_LIMIT exactly when the next produce will fail.  The producer fills a
 * slot before it moves on, so one slot that is taken does not make an empty-looking ring full.
 */
INLINE u32 ring_depth(u64 ring)
{
	u32 producer = read32(ring + OFF_RING_PRODUCER);
	u32 consumer = read32(ring + OFF_RING_CONSUMER);
	u32 depth = (producer - consumer) & (QUEUE_LIMIT - 1);

	if (depth && depth < RING_NEARLY_FULL)
		return depth;
	if (ring_slot_taken(ring, producer) && (depth || ring_slot_taken(ring, producer + 1)))
		return QUEUE_LIMIT;
	return depth;
}

INLINE void count_arrival(struct cell *cell, u32 packets, u32 depth)
{
	cell->counter[A_HANDOFFS]++;
	cell->counter[A_PACKETS] += packets;
	cell->counter[A_DEPTH_SUM] += depth;
	if (depth > cell->counter[A_DEPTH_MAX])
		cell->counter[A_DEPTH_MAX] = depth;
	note(cell, depth);
}

INLINE void count_refusal(struct cell *cell, u32 packets)
{
	cell->counter[A_REFUSED]++;
	cell->counter[A_REFUSED_PACKETS] += packets;
}

/* What is put on a peer's queue, and by whom, but for the number of segments; NULL if it is not a peer's. */
INLINE struct handoff *describe_handoff(struct cpu_state *state, u64 queue, u64 skb, bool typed)
{
	u64 keypair = load64(skb, OFF_SKB_CB + PACKET_KEYPAIR, typed);
	u64 peer = read64(keypair + OFF_KEYPAIR_PEER);
	u64 id = read64(peer + OFF_PEER_INTERNAL_ID);
	struct wire_header header;
	struct handoff *handoff;
	struct object *object;
	bool transmit;
	u32 slot;

	transmit = queue == peer + OFF_PEER_TX_QUEUE;
	if (!transmit && queue != peer + OFF_PEER_RX_QUEUE)
		return NULL;
	slot = slot_of(id);
	if (slot == SLOT_NONE)
		slot = meet_peer(peer, id);
	if (slot == SLOT_NONE)
		state->losses[LOSS_SLOTS]++;
	object = object_at(slot);
	handoff = transmit ? &state->tx : &state->rx;
	handoff->skb = skb;
	handoff->queue = queue;
	state->handing_off = transmit ? HANDING_TX : HANDING_RX;
	handoff->slot = slot;
	handoff->device_slot = object ? object->device_slot : SLOT_IGNORED;
	if (transmit) {
		handoff->nonce = load64(skb, OFF_SKB_CB + PACKET_NONCE, typed);
		handoff->key = read32(keypair + OFF_KEYPAIR_REMOTE_INDEX);
		state->xmit_slot = slot;
	} else {
		header = read_header(skb, typed);
		handoff->packets = 1;
		handoff->nonce = header.nonce;
		handoff->last = header.nonce;
		handoff->key = header.key;
		state->receive_slot = slot;
	}
	return handoff;
}

/*
 * wg_prev_queue_enqueue(queue, skb), for both directions: a transmit hand-off is a list of
 * segments, mostly with consecutive nonces, a receive hand-off one packet.  Only what cannot see the
 * arguments when the function returns, a kretprobe, needs this.
 */
INLINE int on_enqueue(u64 queue, u64 skb, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct handoff *handoff;
	u64 list;

	if (!state)
		return 0;
	handoff = describe_handoff(state, queue, skb, typed);
	if (handoff && state->handing_off == HANDING_TX) {
		/* The list's head still stands on the caller's stack and knows its length and its last member. */
		list = load64(skb, OFF_SKB_PREV, typed);
		handoff->packets = read32(list + OFF_LIST_QLEN);
		handoff->last = read64(read64(list + OFF_SKB_PREV) + OFF_SKB_CB + PACKET_NONCE);
		state->xmit_packets += handoff->packets;
	}
	return 0;
}

/* The first sampled packet of a hand-off. */
struct sampled {
	u64 nonce, end;
	u64 at;		/* when the hand-off was on the peer's queue; 0 if none is sampled */
	u32 turn;
};

/* Another CPU sent to the same peer meanwhile, and nonces between those of this hand-off are its. */
INLINE bool is_interleaved(const struct handoff *handoff)
{
	return handoff->last - handoff->nonce >= handoff->packets;
}

INLINE void find_sampled(struct sampled *sampled, const struct handoff *handoff, bool transmit)
{
	u64 nonce = handoff->nonce, below;
	u32 i, packets = handoff->packets;

	sampled->turn = sampling_turn();
	below = sampling_at(sampled->turn)->below;
	for (i = 0; transmit && i < SEARCHED_IN_HANDOFF; i++, nonce++) {
		/* The compiler must not fold both limits into one, of which the verifier knows no bound. */
		asm volatile("" : "+r"(packets));
		if (i >= packets || is_below(nonce, below))
			break;
	}
	sampled->nonce = nonce;
	sampled->end = handoff->nonce + handoff->packets;
	sampled->at = nonce < sampled->end && is_below(nonce, below) ? now_ns() : 0;
	if (transmit && is_interleaved(handoff))
		sampled->at = now_ns();
}

/*
 * The sampled nonce after this one.  Of the multiples of one number modulo another those in an interval
 * are at most three distances apart, of which one is the sum of the two others (Sos 1958).
 */
INLINE u64 next_sampled(u64 nonce, u32 turn)
{
	const struct sampling *sampling = sampling_at(turn);
	u64 multiple = sample_multiple(nonce);
	/* Sign bits instead of branches, whose every sequence the verifier would follow. */
	u64 up = (multiple + sampling->up_by - sampling->below) >> 63;
	u64 down = (sampling->down_by - 1 - multiple) >> 63;

	nonce += sampling->up & -(up | (1 - down));
	nonce += sampling->down & -(1 - up);
	return nonce;
}

/* One event for each, so that every journey has its beginning. */
INLINE void emit_handoff(struct cpu_state *state, u64 cpu, const struct handoff *handoff, bool transmit, u8 flags,
			 const struct sampled *sampled)
{
	u64 start = transmit ? state->xmit.start : state->receive.start;
	u64 nonce = sampled->nonce, skb = handoff->skb;
	struct step step = {
		.end = sampled->at, .service = start ? sampled->at - start : 0,
		.key = handoff->key, .slot = handoff->slot, .packets = handoff->packets,
		.point = transmit ? POINT_STAGE : POINT_RECEIVE,
	};
	u32 i;

	if (transmit && is_interleaved(handoff)) {
		/* What lay in a map's memory has no type any more. */
		for (i = 0; i < SEARCHED_IN_HANDOFF && skb; i++) {
			step.nonce = read64(skb + OFF_SKB_CB + PACKET_NONCE);
			step.flags = flags | (i ? 0 : EVENT_HEAD);
			if (is_below(step.nonce, sampling_at(sampled->turn)->below))
				emit(state, cpu, &step);
			skb = read64(skb + OFF_SKB_NEXT);
		}
		return;
	}
	for (i = 0; i < SAMPLED_IN_HANDOFF && nonce < sampled->end; i++, nonce = next_sampled(nonce, sampled->turn)) {
		step.nonce = nonce;
		step.flags = flags | (nonce == handoff->nonce ? EVENT_HEAD : 0);
		emit(state, cpu, &step);
	}
}

/*
 * Its return: whether the peer's queue took the hand-off; and whether the device's ring, which is
 * next, has room.
 */
INLINE int finish_handoff(struct cpu_state *state, u64 cpu, struct handoff *handoff, bool transmit, bool accepted)
{
	struct block *block, *device_block;
	struct sampled sampled = {};
	struct object *object;
	struct cell *cell;
	u32 depth;
	u8 flags = 0;

	find_sampled(&sampled, handoff, transmit);
	block = block_of(handoff->slot, cpu);
	if (!block)
		return 0;
	cell = &block->cell[transmit ? TX_QUEUE_ARRIVAL : RX_QUEUE_ARRIVAL];
	/* The depth met: what the counter shows, less this hand-off itself. */
	depth = read32(handoff->queue + OFF_PREV_QUEUE_COUNT);
	if (accepted && depth)
		depth--;
	count_arrival(cell, handoff->packets, depth);
	/* Keepalives, and what waited for a handshake, come from timers and work items. */
	if (!(transmit ? state->xmit.start : state->receive.start))
		cell->counter[A_OUTSIDE] += handoff->packets;
	if (!accepted) {
		count_refusal(cell, handoff->packets);
		flags = EVENT_FAILED;
		goto out;
	}
	object = object_at(handoff->slot);
	device_block = block_of(handoff->device_slot, cpu);
	if (!object || !device_block || handoff->slot == SLOT_NONE)
		goto out;
	cell = &device_block->cell[transmit ? ENCRYPT_RING_ARRIVAL : DECRYPT_RING_ARRIVAL];
	depth = ring_depth(object->device + (transmit ? OFF_DEVICE_ENCRYPT_RING : OFF_DEVICE_DECRYPT_RING));
	count_arrival(cell, handoff->packets, depth);
	if (depth == QUEUE_LIMIT) {
		count_refusal(cell, handoff->packets);
		flags = EVENT_FAILED;
	}
out:
	if (sampled.at)
		emit_handoff(state, cpu, handoff, transmit, flags, &sampled);
	handoff->skb = 0;
	return 0;
}

/*
 * The return as fexit sees it, arguments included.  The segments are still linked, since nobody takes
 * a packet off that is not encrypted; the first is not to its list's head any more.
 */
INLINE int on_enqueued(u64 queue, u64 skb, u64 ret, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct handoff *handoff;
	u64 last = skb;
	u32 i;

	/* There always is a packet, but the verifier would follow the loop below without one, and find that none is read. */
	if (!state || !skb)
		return 0;
	handoff = describe_handoff(state, queue, skb, typed);
	if (!handoff)
		return 0;
	if (state->handing_off == HANDING_RX)
		return finish_handoff(state, cpu, &state->rx, false, (u8)ret);
	/* Counted in the map's memory: the verifier then need not follow every count. */
	state->tx.packets = 0;
	for (i = 0; i < SEGMENTS_IN_HANDOFF && skb; i++) {
		state->tx.packets++;
		last = skb;
		skb = load64(skb, OFF_SKB_NEXT, typed);
	}
	/* Not by a cast or a type, which the verifier no longer knows of it. */
	state->tx.last = read64(last + OFF_SKB_CB + PACKET_NONCE);
	state->xmit_packets += state->tx.packets;
	return finish_handoff(state, cpu, &state->tx, true, (u8)ret);
}

/* A kretprobe sees none: it takes the hand-off begun last on this CPU. */
INLINE int on_enqueued_last(u64 ret, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	u32 which;

	if (!state)
		return 0;
	which = state->handing_off;
	state->handing_off = HANDING_NONE;
	if (which == HANDING_TX && state->tx.skb)
		return finish_handoff(state, cpu, &state->tx, true, (u8)ret);
	if (which == HANDING_RX && state->rx.skb)
		return finish_handoff(state, cpu, &state->rx, false, (u8)ret);
	state->losses[LOSS_UNMATCHED]++;
	return 0;
}

#endif
