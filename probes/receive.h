/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Receive: rx.receive (wg_packet_receive until the packet is on its peer's queue), rx.deliver
 * (in wg_packet_rx_poll, packet by packet) and the poll itself.
 * drivers/net/wireguard/receive.c
 */
#ifndef WGPROF_RECEIVE_H
#define WGPROF_RECEIVE_H

#include "inline.h"

/* wg_packet_receive(wg, skb): NIC softirq. */
INLINE int on_receive(u64 device, u64 skb, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);

	if (!state)
		return 0;
	state->receive_slot = SLOT_NONE;
	state->receive_bytes = load32(skb, OFF_SKB_LEN, typed);
	frame_open(state, &state->receive, now_ns());
	return 0;
}

/* Only data packets reach a peer's queue; handshakes and strays leave receive_slot empty. */
INLINE int on_receive_done(u64 ret, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct block *block;
	struct cell *cell;
	u64 own, on_top;

	if (!state)
		return 0;
	if (!state->receive.start) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	own = frame_close(state, &state->receive, now_ns(), &on_top);
	block = block_of(state->receive_slot, cpu);
	if (!block)
		return 0;
	cell = &block->cell[RX_RECEIVE];
	cell->counter[S_CALLS]++;
	if (state->receive_slot != SLOT_NONE)
		cell->counter[S_PACKETS]++;
	cell->counter[S_BYTES] += state->receive_bytes;
	count_service(cell, own, on_top);
	return 0;
}

/*
 * A packet is decrypted: wg_queue_enqueue_per_peer_rx is about to schedule its peer's NAPI, and does so
 * unless that is scheduled already.  Seen here it costs no probe of its own.
 */
INLINE void poll_wanted(u32 slot, struct block *block, u64 now)
{
	struct object *object = object_at(slot);

	if (!object || slot == SLOT_NONE || object->napi_scheduled_ns)
		return;
	object->napi_scheduled_ns = now;
	block->cell[RX_NAPI].counter[X_WAKEUPS]++;
}

/* wg_packet_rx_poll(napi, budget): softirq or NAPI thread, softirqs off either way. */
INLINE int on_poll(u64 napi, u64 budget, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct object *object;
	u64 now, scheduled;
	u32 slot;

	if (!state)
		return 0;
	slot = slot_of_peer(napi - OFF_PEER_NAPI, false);
	now = now_ns();
	state->poll_slot = slot;
	state->poll_delay = 0;
	state->poll_delivered = 0;
	state->poll_budget = budget;
	object = object_at(slot);
	if (object && slot) {
		scheduled = object->napi_scheduled_ns;
		object->napi_scheduled_ns = 0;
		/* At least 1, so that 0 stays "unknown". */
		if (scheduled)
			state->poll_delay = now > scheduled ? now - scheduled : 1;
	}
	order_poll_begins(state, slot, cpu, now);
	count_poll_thread_woken(state, slot, cpu);
	state->deliver.start = 0;
	frame_open(state, &state->poll, now);
	return 0;
}

/* The packet being delivered is done: the next one begins, or the poll ends. */
INLINE void finish_delivery(struct cpu_state *state, u64 cpu, struct block *block, u64 now)
{
	struct cell *cell = &block->cell[RX_DELIVER];
	u64 start = state->deliver.start;
	u64 own, on_top;

	own = frame_close(state, &state->deliver, now, &on_top);
	cell->counter[S_CALLS]++;
	cell->counter[S_PACKETS]++;
	cell->counter[S_BYTES] += state->deliver_bytes;
	count_service(cell, own, on_top);
	state->poll_delivered++;
	if (state->deliver_sampled) {
		struct step step = {
			.end = now, .nonce = state->deliver_nonce, .service = now - start,
			.key = state->deliver_key, .slot = state->poll_slot, .point = POINT_DELIVER,
		};
		emit(state, cpu, &step);
	}
}

/*
 * wg_socket_endpoint_from_skb(endpoint, skb): the first thing the poll does with a packet that
 * is decrypted and not a replay.  Handshakes call it too, but never inside a poll, nor where a packet
 * is decrypted inline.
 */
INLINE int on_deliver(u64 endpoint, u64 skb, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct block *block;
	u64 now;

	if (is_inline(cpu, false))
		return inline_delivery_begins(cpu, skb, typed);
	if (!state || !state->poll.start)
		return 0;
	block = block_of(state->poll_slot, cpu);
	if (!block)
		return 0;
	now = now_ns();
	if (state->deliver.start)
		finish_delivery(state, cpu, block, now);
	state->deliver_nonce = load64(skb, OFF_SKB_CB + PACKET_NONCE, typed);
	state->deliver_sampled = is_sampled(state->deliver_nonce);
	if (state->deliver_sampled)
		state->deliver_key = read32(load64(skb, OFF_SKB_CB + PACKET_KEYPAIR, typed) + OFF_KEYPAIR_INDEX);
	state->deliver_bytes = load32(skb, OFF_SKB_LEN, typed);
	frame_open(state, &state->deliver, now);
	return 0;
}

INLINE int on_poll_done(u64 ret, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	u32 done = ret;
	struct object *object;
	struct block *block;
	struct cell *cell;
	u64 own, on_top, now, began;

	if (!state)
		return 0;
	if (!state->poll.start) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	block = block_of(state->poll_slot, cpu);
	now = now_ns();
	if (!block) {
		frame_close(state, &state->poll, now, &on_top);
		return 0;
	}
	if (state->deliver.start)
		finish_delivery(state, cpu, block, now);
	began = state->poll.start;
	own = frame_close(state, &state->poll, now, &on_top);
	/* Taken off the queue but not delivered: not decryptable, replayed, or never decrypted. */
	if (done > state->poll_delivered)
		block->cell[RX_DELIVER].counter[S_FAILED] += done - state->poll_delivered;
	count_served(block, &(struct serving) {
		.slot = state->poll_slot, .cpu = cpu, .polls = RX_NAPI_POLLS, .order = RX_NAPI_ORDER,
		.packets = done, .budget = state->poll_budget, .run = state->poll_run, .missed = state->poll_missed,
		.nested = on_top_of_crypt_worker(state, cpu), .began = began, .now = now, .own = own,
	});
	cell = &block->cell[RX_NAPI];
	cell->counter[X_EXECUTIONS]++;
	cell->counter[X_PACKETS] += done;
	cell->counter[X_BUSY_NS] += own;
	/* A poll that used up its budget goes on later, without being scheduled again. */
	object = object_at(state->poll_slot);
	if (done && done >= state->poll_budget && object && state->poll_slot && !object->napi_scheduled_ns)
		object->napi_scheduled_ns = now;
	if (!done) {
		cell->counter[X_EMPTY]++;
		cell->counter[X_EMPTY_NS] += own;
	}
	if (state->poll_delay) {
		cell->counter[X_DELAY_NS] += state->poll_delay;
		cell->counter[X_DELAYED]++;
		note_duration(cell, state->poll_delay);
	}
	return 0;
}

/* __napi_schedule(napi): every driver's; of interest is that of inline's cells. */
INLINE int on_napi_schedule(u64 napi, bool typed)
{
	if (load64(napi, OFF_NAPI_POLL, typed) != ADDR_CELL_POLL)
		return 0;
	return cell_scheduled(this_cpu(), napi);
}

#endif
