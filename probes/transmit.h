/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Transmit: tx.stage (wg_xmit until the packet is on its peer's queue), tx.encrypt and tx.send.
 * drivers/net/wireguard/{device,send,queueing,socket}.c
 */
#ifndef WGPROF_TRANSMIT_H
#define WGPROF_TRANSMIT_H

#include "inline.h"

/* wg_xmit(skb, dev): runs with softirqs off, so one frame a CPU is enough. */
INLINE int on_xmit(u64 skb, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);

	if (!state)
		return 0;
	state->xmit_slot = SLOT_NONE;
	state->xmit_packets = 0;
	state->xmit_bytes = load32(skb, OFF_SKB_LEN, typed);
	frame_open(state, &state->xmit, now_ns());
	return 0;
}

INLINE int on_xmit_done(u64 ret, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct block *block;
	struct cell *cell;
	u64 own, on_top;

	if (!state)
		return 0;
	if (!state->xmit.start) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	own = frame_close(state, &state->xmit, now_ns(), &on_top);
	block = block_of(state->xmit_slot, cpu);
	if (!block)
		return 0;
	cell = &block->cell[TX_STAGE];
	cell->counter[S_CALLS]++;
	cell->counter[S_PACKETS] += state->xmit_packets;
	cell->counter[S_BYTES] += state->xmit_bytes;
	if ((u32)ret)
		cell->counter[S_FAILED]++;
	count_service(cell, own, on_top);
	return 0;
}

/*
 * A preemptible kernel may let another peer's transmit worker send in the middle of this one's, so the packet
 * lives with the worker.  What softirqs send on top of it, and what others send, lives with the CPU.
 */
INLINE struct packet *packet_sent(struct cpu_state *state, u64 cpu)
{
	struct worker *worker = state->softirq.start || is_inline(cpu, true) ? NULL : running_worker(state, cpu);

	return worker && worker->kind == TX_WORK ? &worker->packet : &state->sending;
}

/* wg_socket_send_skb_to_peer(peer, skb, ds): also carries handshakes, told apart by the header. */
INLINE int on_send(u64 peer, u64 skb, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct wire_header header;
	struct packet *packet;

	if (!state)
		return 0;
	header = read_header(skb, typed);
	packet = packet_sent(state, cpu);
	packet->is_data = header.type == MESSAGE_DATA;
	packet->nonce = header.nonce;
	packet->key = header.key;
	packet->bytes = load32(skb, OFF_SKB_LEN, typed);
	packet->slot = slot_of_peer(peer, typed);
	frame_open(state, &packet->frame, now_ns());
	return 0;
}

INLINE int on_send_done(u64 ret, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct packet *packet;
	struct block *block;
	struct cell *cell;
	u64 own, on_top, now, start;

	if (!state)
		return 0;
	packet = packet_sent(state, cpu);
	start = packet->frame.start;
	if (!start) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	now = now_ns();
	own = frame_close(state, &packet->frame, now, &on_top);
	if (!packet->is_data)
		return 0;
	block = block_of(packet->slot, cpu);
	if (!block)
		return 0;
	cell = &block->cell[TX_SEND];
	cell->counter[S_CALLS]++;
	if ((u32)ret) {
		cell->counter[S_FAILED]++;
	} else {
		cell->counter[S_PACKETS]++;
		cell->counter[S_BYTES] += packet->bytes;
	}
	count_service(cell, own, on_top);
	if (!is_inline(cpu, true))
		count_moved(state, cpu, 1);
	if (is_sampled(packet->nonce)) {
		struct step step = {
			.end = now, .nonce = packet->nonce, .service = now - start,
			.key = packet->key, .slot = packet->slot, .point = POINT_SEND,
			.flags = (u32)ret ? EVENT_FAILED : 0,
		};
		emit(state, cpu, &step);
	}
	return 0;
}

#endif
