/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The inline variant of kmod/inline: run to completion.  Its points exist in that module alone; for
 * any other INLINE_PATH is 0 and none of this is compiled.
 *
 * Transmit is wg_xmit > wgprof_inline_send > encrypt_packet, then wg_socket_send_skb_to_peer, packet
 * by packet.  Receive is wg_packet_receive > wgprof_inline_decrypt > decrypt_packet, and on from
 * wg_socket_endpoint_from_skb; the packet then lies in a cell of this CPU until wgprof_cell_poll
 * hands it to GRO.  tx.stage and rx.receive end where the crypto begins.
 *
 * Both functions run with bottom halves off, so one context a CPU and direction is enough.  A tunnel
 * in a tunnel opens it twice, which is counted as lost.
 */
#ifndef WGPROF_INLINE_H
#define WGPROF_INLINE_H

#include "queues.h"
#include "order.h"

#if INLINE_PATH

/* One direction's inline function on a CPU. */
struct inline_way {
	u64 open;		/* whether it runs */
	u64 skb;		/* receive: its packet */
	u64 began;		/* when its first packet's crypto began */
	struct frame alone;	/* its own time, when it runs outside wg_xmit and wg_packet_receive */
	struct frame crypt;
	u64 nonce;
	u32 key, bytes;		/* of the packet in the works */
	u32 slot, handed;	/* transmit: packets handed over together */
	u32 packets, head;	/* begun so far; head: the packet is the first */
	u32 at_once, pad;
};

/* A packet whose delivery has begun, and goes on from its CPU's cell. */
struct pending {
	u64 skb;		/* 0: free */
	u64 own, on_top, gross;	/* time so far */
	u64 end, nonce;
	u32 key, bytes;
	u32 slot, pad;
};

/* More than a cell holds as a rule; each packet has a choice of two places. */
#define PENDING_BITS 9
#define PENDING (1 << PENDING_BITS)

struct inline_state {
	struct inline_way tx, rx;
	struct frame deliver;
	u32 deliver_bytes, poll_slot;
	struct frame poll, cell_deliver;
	u64 poll_delay;
	struct pending delivering;
	struct pending pending[PENDING];
};

/* Cells of all devices and CPUs that can be known. */
#define CELL_NAPIS 16384

/* A cell's NAPI: whose it is, and when it was scheduled, 0 once polled. */
struct cell_napi {
	u64 scheduled_ns;
	u64 device_slot;
};

BPF_TABLE("array", u32, struct inline_state, inline_states, CPUS);
BPF_TABLE("hash", u64, struct cell_napi, cell_napis, CELL_NAPIS);

INLINE struct inline_state *this_inline(u64 cpu)
{
	u32 index = cpu;

	return inline_states.lookup(&index);
}

/* Whether what is encrypted and sent, or decrypted, on this CPU is so inline, and not by a worker. */
INLINE bool is_inline(u64 cpu, bool transmit)
{
	struct inline_state *inlined = this_inline(cpu);

	return inlined && (transmit ? inlined->tx.open : inlined->rx.open);
}

INLINE void way_opens(struct cpu_state *state, struct inline_way *way, u64 outer_start, u64 peer, bool typed)
{
	/* One inside another, or a return was lost. */
	if (way->open)
		state->losses[LOSS_CLOBBERED]++;
	way->open = 1;
	way->crypt.start = 0;
	way->packets = 0;
	way->slot = slot_of_peer(peer, typed);
	way->alone.start = 0;
	if (!outer_start)
		frame_open(state, &way->alone, now_ns());
}

/* From timers, work items, or a change of the mode: tx.stage or rx.receive is this function alone. */
INLINE void way_alone_ends(struct cpu_state *state, struct inline_way *way, u64 cpu, u32 kind)
{
	struct block *block = block_of(way->slot, cpu);
	u64 own, on_top;

	own = frame_close(state, &way->alone, now_ns(), &on_top);
	if (!block)
		return;
	block->cell[kind].counter[S_CALLS]++;
	block->cell[kind].counter[S_PACKETS] += way->packets;
	count_service(&block->cell[kind], own, on_top);
}

/* wgprof_inline_send(peer, packets) */
INLINE int on_inline_send(u64 peer, u64 packets, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct inline_state *inlined = this_inline(cpu);

	if (!state || !inlined)
		return 0;
	inlined->tx.handed = load32(packets, OFF_LIST_QLEN, typed);
	way_opens(state, &inlined->tx, state->xmit.start, peer, typed);
	return 0;
}

INLINE int on_inline_sent(u64 ret, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct inline_state *inlined = this_inline(cpu);
	struct inline_way *way;

	if (!state || !inlined)
		return 0;
	way = &inlined->tx;
	if (!way->open) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	way->open = 0;
	if (way->alone.start) {
		way_alone_ends(state, way, cpu, TX_STAGE);
	} else if (way->packets) {
		state->xmit_slot = way->slot;
		state->xmit_packets += way->packets;
	}
	return 0;
}

INLINE int inline_crypt_begins(u64 cpu, u64 skb, u64 keypair, bool encrypt, bool typed)
{
	struct cpu_state *state = this_state(cpu);
	struct inline_state *inlined = this_inline(cpu);
	struct wire_header header;
	struct inline_way *way;
	u64 peer, now;

	if (!state || !inlined)
		return 0;
	way = encrypt ? &inlined->tx : &inlined->rx;
	if (way->slot == SLOT_NONE) {
		peer = load64(keypair, OFF_KEYPAIR_PEER, typed);
		way->slot = meet_peer(peer, read64(peer + OFF_PEER_INTERNAL_ID));
		if (way->slot == SLOT_NONE)
			state->losses[LOSS_SLOTS]++;
	}
	way->bytes = load32(skb, OFF_SKB_LEN, typed);
	if (encrypt) {
		way->nonce = load64(skb, OFF_SKB_CB + PACKET_NONCE, typed);
		way->key = load32(keypair, OFF_KEYPAIR_REMOTE_INDEX, typed);
	} else {
		header = read_header(skb, typed);
		way->nonce = header.nonce;
		way->key = header.key;
	}
	way->head = !way->packets++;
	now = now_ns();
	if (way->head)
		way->began = now;
	frame_open(state, &way->crypt, now);
	return 0;
}

INLINE int inline_crypt_ends(u64 cpu, bool good, bool encrypt)
{
	struct cpu_state *state = this_state(cpu);
	struct inline_state *inlined = this_inline(cpu);
	struct step step = {};
	struct inline_way *way;
	struct block *block;
	struct cell *cell;
	u64 own, on_top, now, start, outer;

	if (!state || !inlined)
		return 0;
	way = encrypt ? &inlined->tx : &inlined->rx;
	start = way->crypt.start;
	if (!start) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	now = now_ns();
	own = frame_close(state, &way->crypt, now, &on_top);
	block = block_of(way->slot, cpu);
	if (!block)
		return 0;
	cell = &block->cell[encrypt ? TX_ENCRYPT : RX_DECRYPT];
	cell->counter[S_CALLS]++;
	if (good) {
		cell->counter[S_PACKETS]++;
		cell->counter[S_BYTES] += way->bytes;
	} else {
		cell->counter[S_FAILED]++;
	}
	count_service(cell, own, on_top);
	if (!is_sampled(way->nonce))
		return 0;
	/* Of the segments of one list the first goes on without a wait, the others wait for those before them. */
	outer = encrypt ? state->xmit.start : state->receive.start;
	if (!outer)
		outer = way->alone.start;
	step.nonce = way->nonce;
	step.key = way->key;
	step.slot = way->slot;
	step.end = way->began;
	step.service = outer ? way->began - outer : 0;
	step.packets = encrypt ? way->handed : 1;
	step.point = encrypt ? POINT_STAGE : POINT_RECEIVE;
	step.flags = way->head ? EVENT_HEAD : 0;
	emit(state, cpu, &step);
	step.end = now;
	step.service = now - start;
	step.packets = 0;
	step.point = encrypt ? POINT_ENCRYPT : POINT_DECRYPT;
	step.flags = good ? 0 : EVENT_FAILED;
	emit(state, cpu, &step);
	return 0;
}

/* The packet is delivered; its two parts are one service. */
INLINE void finish_pending(struct cpu_state *state, u64 cpu, const struct pending *packet)
{
	struct block *block = block_of(packet->slot, cpu);
	struct cell *cell;

	if (!block)
		return;
	cell = &block->cell[RX_DELIVER];
	cell->counter[S_CALLS]++;
	cell->counter[S_PACKETS]++;
	cell->counter[S_BYTES] += packet->bytes;
	count_service(cell, packet->own, packet->on_top);
	if (is_sampled(packet->nonce)) {
		struct step step = {
			.end = packet->end, .nonce = packet->nonce, .service = packet->gross,
			.key = packet->key, .slot = packet->slot, .point = POINT_DELIVER,
		};
		emit(state, cpu, &step);
	}
}

INLINE u32 pending_place(u64 skb)
{
	return (u32)(skb >> 6) * 2654435761U >> (32 - PENDING_BITS);
}

INLINE struct pending *pending_at(struct inline_state *inlined, u32 place)
{
	return &inlined->pending[place & (PENDING - 1)];
}

/* The older of two that are in the way ends here: it was dropped, or its second part goes uncounted. */
INLINE void put_pending(struct cpu_state *state, struct inline_state *inlined, u64 cpu, const struct pending *packet)
{
	u32 place = pending_place(packet->skb);
	u64 first = pending_at(inlined, place)->skb, second = pending_at(inlined, place ^ 1)->skb;
	struct pending *chosen;

	if (first && first != packet->skb &&
	    (!second || second == packet->skb ||
	     pending_at(inlined, place ^ 1)->end < pending_at(inlined, place)->end))
		place ^= 1;
	chosen = pending_at(inlined, place);
	if (chosen->skb)
		finish_pending(state, cpu, chosen);
	*chosen = *packet;
}

/* wgprof_inline_decrypt(peer, skb, at_once) */
INLINE int on_inline_decrypt(u64 peer, u64 skb, u64 at_once, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct inline_state *inlined = this_inline(cpu);

	if (!state || !inlined)
		return 0;
	inlined->rx.skb = skb;
	inlined->rx.at_once = (u8)at_once;
	inlined->deliver.start = 0;
	way_opens(state, &inlined->rx, state->receive.start, peer, typed);
	return 0;
}

/* wg_socket_endpoint_from_skb(endpoint, skb) in it: the packet is good, its delivery begins. */
INLINE int inline_delivery_begins(u64 cpu, u64 skb, bool typed)
{
	struct cpu_state *state = this_state(cpu);
	struct inline_state *inlined = this_inline(cpu);

	if (!state || !inlined || inlined->rx.skb != skb)
		return 0;
	inlined->deliver_bytes = load32(skb, OFF_SKB_LEN, typed);
	frame_open(state, &inlined->deliver, now_ns());
	return 0;
}

INLINE int on_inline_decrypted(u64 ret, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct inline_state *inlined = this_inline(cpu);
	struct pending packet = {};
	struct inline_way *way;
	struct block *block;
	u64 start;

	if (!state || !inlined)
		return 0;
	way = &inlined->rx;
	if (!way->open) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	way->open = 0;
	block = block_of(way->slot, cpu);
	start = inlined->deliver.start;
	if (start) {
		packet.end = now_ns();
		packet.gross = packet.end - start;
		packet.own = frame_close(state, &inlined->deliver, packet.end, &packet.on_top);
		packet.skb = way->skb;
		packet.nonce = way->nonce;
		packet.key = way->key;
		packet.bytes = inlined->deliver_bytes;
		packet.slot = way->slot;
		/* A keepalive is empty and goes no further. */
		if (way->at_once || !packet.bytes)
			finish_pending(state, cpu, &packet);
		else if (block)
			put_pending(state, inlined, cpu, &packet);
	} else if (block && way->packets) {
		/* Not decryptable, or replayed. */
		block->cell[RX_DELIVER].counter[S_FAILED]++;
	}
	if (way->alone.start)
		way_alone_ends(state, way, cpu, RX_RECEIVE);
	else
		state->receive_slot = way->slot;
	return 0;
}

/* __napi_schedule(napi) of a cell, by the packet that found it empty. */
INLINE int cell_scheduled(u64 cpu, u64 napi)
{
	struct inline_state *inlined = this_inline(cpu);
	struct cell_napi facts = {};
	struct object *object;
	struct block *block;
	u32 slot;

	if (!inlined || !inlined->rx.open)
		return 0;
	slot = inlined->rx.slot;
	object = object_at(slot);
	if (!object)
		return 0;
	facts.device_slot = object->device_slot;
	facts.scheduled_ns = now_ns();
	cell_napis.update(&napi, &facts);
	block = block_of(object->device_slot, cpu);
	if (block)
		block->cell[RX_NAPI].counter[X_WAKEUPS]++;
	return 0;
}

/* wgprof_cell_poll(napi, budget): softirq. */
INLINE int on_cell_poll(u64 napi, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct inline_state *inlined = this_inline(cpu);
	struct cell_napi *facts;
	u64 now;

	if (!state || !inlined)
		return 0;
	now = now_ns();
	facts = cell_napis.lookup(&napi);
	inlined->poll_slot = facts ? facts->device_slot : SLOT_IGNORED;
	inlined->poll_delay = 0;
	if (facts && facts->scheduled_ns) {
		inlined->poll_delay = now > facts->scheduled_ns ? now - facts->scheduled_ns : 1;
		facts->scheduled_ns = 0;
	}
	inlined->cell_deliver.start = 0;
	frame_open(state, &inlined->poll, now);
	return 0;
}

/* The packet is with GRO and beyond: the next one begins, or the poll ends. */
INLINE void finish_cell_delivery(struct cpu_state *state, struct inline_state *inlined, u64 cpu, u64 now)
{
	struct pending *packet = &inlined->delivering;
	u64 on_top;

	packet->gross += now - inlined->cell_deliver.start;
	packet->own += frame_close(state, &inlined->cell_deliver, now, &on_top);
	packet->on_top += on_top;
	packet->end = now;
	finish_pending(state, cpu, packet);
}

/* wgprof_cell_deliver(napi, skb) */
INLINE int on_cell_deliver(u64 napi, u64 skb, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct inline_state *inlined = this_inline(cpu);
	struct pending *packet;
	volatile u64 *number;
	u32 place;
	u64 now;

	if (!state || !inlined || !inlined->poll.start)
		return 0;
	now = now_ns();
	if (inlined->cell_deliver.start)
		finish_cell_delivery(state, inlined, cpu, now);
	/* The verifier lets nobody calculate with what it knows to be a pointer: out of a map it is a number. */
	number = &inlined->delivering.skb;
	*number = skb;
	skb = *number;
	place = pending_place(skb);
	if (pending_at(inlined, place)->skb != skb)
		place ^= 1;
	packet = pending_at(inlined, place);
	if (packet->skb != skb)
		return 0;	/* one nobody asked for: its time stays in the poll */
	inlined->delivering = *packet;
	packet->skb = 0;
	frame_open(state, &inlined->cell_deliver, now);
	return 0;
}

INLINE int on_cell_poll_done(u64 ret, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct inline_state *inlined = this_inline(cpu);
	u32 done = ret;
	struct block *block;
	struct cell *cell;
	u64 own, on_top, now;

	if (!state || !inlined)
		return 0;
	if (!inlined->poll.start) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	now = now_ns();
	if (inlined->cell_deliver.start)
		finish_cell_delivery(state, inlined, cpu, now);
	own = frame_close(state, &inlined->poll, now, &on_top);
	block = block_of(inlined->poll_slot, cpu);
	if (!block)
		return 0;
	count_served(block, &(struct serving) {
		.slot = inlined->poll_slot, .cpu = cpu, .polls = RX_NAPI_POLLS, .order = RX_NAPI_ORDER,
		.packets = done, .nested = on_top_of_crypt_worker(state, cpu), .own = own,
	});
	cell = &block->cell[RX_NAPI];
	cell->counter[X_EXECUTIONS]++;
	cell->counter[X_PACKETS] += done;
	cell->counter[X_BUSY_NS] += own;
	if (!done) {
		cell->counter[X_EMPTY]++;
		cell->counter[X_EMPTY_NS] += own;
	}
	if (inlined->poll_delay) {
		cell->counter[X_DELAY_NS] += inlined->poll_delay;
		cell->counter[X_DELAYED]++;
		note_duration(cell, inlined->poll_delay);
	}
	return 0;
}

#else /* any other module: WireGuard's own way alone */

INLINE bool is_inline(u64 cpu, bool transmit) { return false; }
INLINE int inline_crypt_begins(u64 cpu, u64 skb, u64 keypair, bool encrypt, bool typed) { return 0; }
INLINE int inline_crypt_ends(u64 cpu, bool good, bool encrypt) { return 0; }
INLINE int inline_delivery_begins(u64 cpu, u64 skb, bool typed) { return 0; }
INLINE int cell_scheduled(u64 cpu, u64 napi) { return 0; }

#endif

#endif
