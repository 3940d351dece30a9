/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is looked at on a clock (queue depths, for time averages) and softirqs as a whole.
 */
#ifndef WGPROF_CLOCK_H
#define WGPROF_CLOCK_H

#include "queues.h"
#include "preempt.h"

/* Objects looked at in one tick of the clock; with more, the clock goes round. */
#define CLOCK_BATCH 4

/* softirq_entry(vector), softirq_exit(vector); vectors of include/linux/interrupt.h */
#define NET_TX_SOFTIRQ 2
#define NET_RX_SOFTIRQ 3

INLINE void count_depth(struct cell *cell, u32 depth)
{
	cell->counter[D_SAMPLES]++;
	cell->counter[D_DEPTH_SUM] += depth;
	if (depth > cell->counter[D_DEPTH_MAX])
		cell->counter[D_DEPTH_MAX] = depth;
	if (depth)
		cell->counter[D_OCCUPIED]++;
	note(cell, depth);
}

/* struct prev_queue: the hand-offs counted, and one that was taken off but waits at the head. */
INLINE u32 peer_queue_depth(u64 queue)
{
	u32 depth = read32(queue + OFF_PREV_QUEUE_COUNT);

	return depth + (read64(queue + OFF_PREV_QUEUE_PEEKED) ? 1 : 0);
}

INLINE void look_at(u64 slot, u64 cpu)
{
	struct object *object = object_at(slot);
	struct block *block = block_of(slot, cpu);

	if (!object || !block)
		return;
	if (object->kind == OBJECT_PEER) {
		/* A peer that is gone: its memory may be anything now. */
		if (read64(object->address + OFF_PEER_INTERNAL_ID) != object->id) {
			object->kind = OBJECT_GONE;
			return;
		}
		count_depth(&block->cell[TX_QUEUE_DEPTH], peer_queue_depth(object->address + OFF_PEER_TX_QUEUE));
		count_depth(&block->cell[RX_QUEUE_DEPTH], peer_queue_depth(object->address + OFF_PEER_RX_QUEUE));
		count_depth(&block->cell[TX_STAGED_DEPTH],
			    read32(object->address + OFF_PEER_STAGED + OFF_LIST_QLEN));
	} else if (object->kind == OBJECT_DEVICE) {
		/* Likewise: a device's ring length never changes. */
		if (read32(object->address + OFF_DEVICE_ENCRYPT_RING + OFF_RING_SIZE) != QUEUE_LIMIT)
			return;
		count_depth(&block->cell[ENCRYPT_RING_DEPTH],
			    ring_depth(object->address + OFF_DEVICE_ENCRYPT_RING));
		count_depth(&block->cell[DECRYPT_RING_DEPTH],
			    ring_depth(object->address + OFF_DEVICE_DECRYPT_RING));
	}
}

INLINE int on_clock(void)
{
	u64 cpu = this_cpu();
	u32 i, slot;
	struct control *c = the_control();

	slot = c->clock_cursor;
	for (i = 0; i < CLOCK_BATCH && i < c->top_slot; i++) {
		slot = slot < c->top_slot ? slot + 1 : 1;
		look_at(slot, cpu);
	}
	c->clock_cursor = slot;
	return 0;
}

INLINE int on_softirq(u64 vector)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);

	if (!state)
		return 0;
	state->softirq_vector = vector;
	frame_open(state, &state->softirq, now_ns());
	return 0;
}

INLINE int on_softirq_done(u64 vector)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct block *block;
	struct cell *cell;
	u64 own, on_top;

	if (!state || !state->softirq.start)
		return 0;
	own = frame_close(state, &state->softirq, now_ns(), &on_top);
	count_softirq_on_top(state, cpu, vector == NET_RX_SOFTIRQ, own + on_top);
	block = block_of(SLOT_NONE, cpu);
	if (!block)
		return 0;
	cell = &block->cell[SOFTIRQ];
	if (vector == NET_RX_SOFTIRQ) {
		cell->counter[I_NET_RX_RUNS]++;
		cell->counter[I_NET_RX_NS] += own;
	} else if (vector == NET_TX_SOFTIRQ) {
		cell->counter[I_NET_TX_RUNS]++;
		cell->counter[I_NET_TX_NS] += own;
	} else {
		cell->counter[I_OTHER_RUNS]++;
		cell->counter[I_OTHER_NS] += own;
	}
	return 0;
}

#endif
