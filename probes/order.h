/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two servers of a peer that keep its packets' order, its NAPI and its transmit work: what each
 * execution found, how long they stood before a head that was not ready, and where they ran.
 * wg_packet_rx_poll of drivers/net/wireguard/receive.c, wg_packet_tx_worker of send.c
 *
 * Both take packets off a prev_queue until it is empty or its head is not encrypted or decrypted
 * yet; that head stays in `peeked`, which is empty otherwise.
 */
#ifndef WGPROF_ORDER_H
#define WGPROF_ORDER_H

#include "objects.h"

/* struct packet_cb of queueing.h: the state lies behind nonce and keypair; enum packet_state. */
#define PACKET_STATE_AT 16
#define PACKET_STATE_UNCRYPTED 0
/* include/linux/netdevice.h */
#define NAPIF_STATE_SCHED 1
#define NAPIF_STATE_THREADED 256	/* 29863d41bb6e */

/*
 * One execution follows another, so all but ready_ns has one writer at a time.  Only the very end of a
 * poll, behind napi_complete_done, can overlap with the next one elsewhere, which `runs` tells.
 */
struct order {
	u64 head;		/* the packet it stopped at; 0 if it stands before none */
	u64 stopped_ns;		/* when */
	u64 ready_ns;		/* with --detail: when that packet was ready, 0 until then */
	u64 here_ns;		/* when it came to the CPU it ran on last */
	u32 home;		/* that CPU + 1, 0 before it ran */
	u32 missed;		/* NAPI: the next poll is for NAPI_STATE_MISSED */
	u32 runs;		/* NAPI: polls begun */
	u32 pad;
};

struct orders {
	struct order tx, rx;
};

BPF_TABLE("array", u32, struct orders, orders, SLOTS);

/* Not by address: that a slot was compared before, as object_at does, leads 6.1's verifier into a path that cannot be. */
INLINE struct orders *orders_of(u32 slot)
{
	return orders.lookup(&slot);
}

/* What is served in order, and where it counts. */
struct serving {
	u32 slot, cpu;
	u32 polls, order;	/* kinds of cells */
	u32 packets, budget, run;	/* budget, run: NAPI */
	bool transmit, nested, missed;
	u64 began, now, own;
};

/* A crypt worker on this CPU that was interrupted for what runs now. */
INLINE bool on_top_of_crypt_worker(const struct cpu_state *state, u64 cpu)
{
	struct worker *worker = running_worker(state, cpu);

	return worker && worker->run.start && (worker->kind == ENCRYPT_WORK || worker->kind == DECRYPT_WORK);
}

/* An execution begins, here or on another CPU than the one before. */
INLINE void count_place(struct order *order, u32 slot, u64 cpu, u32 kind, u64 now)
{
	struct block *block;
	struct cell *cell;

	if (order->home == cpu + 1)
		return;
	block = block_of(slot, cpu);
	if (order->home && block) {
		cell = &block->cell[kind];
		cell->counter[O_MOVES]++;
		if (now > order->here_ns)
			cell->counter[O_STAY_NS] += now - order->here_ns;
	}
	order->home = cpu + 1;
	order->here_ns = now;
}

/* wg_packet_rx_poll begins. */
INLINE void order_poll_begins(struct cpu_state *state, u32 slot, u64 cpu, u64 now)
{
	struct orders *peer = orders_of(slot);

	state->poll_run = 0;
	state->poll_missed = 0;
	if (!peer || !slot)
		return;
	state->poll_run = ++peer->rx.runs;
	state->poll_missed = peer->rx.missed;
	peer->rx.missed = 0;
	count_place(&peer->rx, slot, cpu, RX_NAPI_ORDER, now);
}

/* wg_packet_tx_worker begins. */
INLINE void order_tx_begins(u64 slot, u64 cpu, u64 now)
{
	struct orders *peer = orders_of(slot);

	if (peer && slot)
		count_place(&peer->tx, slot, cpu, TX_WORK_ORDER, now);
}

INLINE void count_class(struct cell *cell, const struct serving *serving, bool not_ready)
{
	bool wasted = !serving->packets;

	if (!wasted)
		cell->counter[P_PRODUCTIVE]++;
	else if (not_ready)
		cell->counter[P_HEAD_NOT_READY]++;
	else
		cell->counter[P_EMPTY_QUEUE]++;
	note(cell, serving->packets);
	if (serving->missed) {
		cell->counter[P_MISSED]++;
		if (wasted)
			cell->counter[P_MISSED_WASTED]++;
	}
	if (serving->nested) {
		cell->counter[P_NESTED]++;
		if (wasted) {
			cell->counter[P_NESTED_WASTED]++;
			cell->counter[P_NESTED_WASTED_NS] += serving->own;
		}
	}
}

/* From the end of the execution that stopped at a head until the beginning of the one that took it. */
INLINE void count_head(struct cell *cell, struct order *order, const struct serving *serving)
{
	u64 blocked = serving->began > order->stopped_ns ? serving->began - order->stopped_ns : 0;
	u64 ready = order->ready_ns;

	cell->counter[O_EPISODES]++;
	cell->counter[O_BLOCKED_NS] += blocked;
	note_duration(cell, blocked);
	if (!ready)
		return;
	cell->counter[O_TIMED]++;
	if (ready < order->stopped_ns)
		ready = order->stopped_ns;
	cell->counter[O_TIMED_NS] += blocked;
	if (serving->began > ready)
		cell->counter[O_READY_NS] += serving->began - ready;
}

/*
 * A poll that took less than its budget has given its NAPI back, unless somebody asked for the next one
 * meanwhile: then napi_complete_done found NAPI_STATE_MISSED set, and scheduled it again itself, on this CPU.
 * Another CPU may have done so since, and then it is on the list of that one.  Which list it is on is not
 * known for a NAPI of a thread, nor before 8c48eea3adf3: there these few polls are counted, too.
 */
INLINE bool is_scheduled_again(u64 peer, const struct serving *serving)
{
	u64 state;

	if (serving->packets >= serving->budget)
		return false;
	state = read64(peer + OFF_PEER_NAPI + OFF_NAPI_STATE);
	if (!OFF_NAPI_LIST_OWNER || state & NAPIF_STATE_THREADED)
		return state & NAPIF_STATE_SCHED;
	return state & NAPIF_STATE_SCHED && read32(peer + OFF_PEER_NAPI + OFF_NAPI_LIST_OWNER) == serving->cpu;
}

/* An execution has ended. */
INLINE void count_served(struct block *block, const struct serving *serving)
{
	u32 slot = serving->slot;
	struct object *object = object_at(slot);
	struct orders *peer = orders_of(slot);
	struct order *order;
	struct cell *cell;
	bool overlapped;
	u64 head = 0;

	if (!object || !peer)
		return;
	order = serving->transmit ? &peer->tx : &peer->rx;
	overlapped = !serving->transmit && order->runs != serving->run;
	if (object->kind == OBJECT_PEER)
		head = read64(object->address + (serving->transmit ? OFF_PEER_TX_QUEUE : OFF_PEER_RX_QUEUE)
			      + OFF_PREV_QUEUE_PEEKED);
	/* Where the next poll has begun already, the head was not ready: its decryption has asked for that poll. */
	count_class(&block->cell[serving->polls], serving, head || overlapped);
	/* Of no known peer, or a cell of the inline variant, which every CPU has. */
	if (object->kind != OBJECT_PEER || overlapped)
		return;
	if (!serving->transmit && is_scheduled_again(object->address, serving))
		order->missed = 1;
	cell = &block->cell[serving->order];
	if (order->head && (serving->packets || head != order->head)) {
		count_head(cell, order, serving);
		order->head = 0;
	}
	if (!head || order->head)
		return;
	order->ready_ns = 0;
	order->stopped_ns = serving->now;
	order->head = head;
	/* Ready by now, and somebody has asked for the next execution. */
	if (read32(head + OFF_SKB_CB + PACKET_STATE_AT) != PACKET_STATE_UNCRYPTED)
		order->head = 0;
}

#if DETAIL

/* A packet, or the first of a list, is ready; who stands before it is told when. */
INLINE void order_ready(u32 slot, u64 skb, bool transmit, u64 now)
{
	struct orders *peer = orders_of(slot);
	struct order *order;

	if (!peer)
		return;
	order = transmit ? &peer->tx : &peer->rx;
	if (order->head == skb)
		order->ready_ns = now;
}

/* encrypt_packet of a list goes on from segment to segment; the list is ready with the last one. */
INLINE void order_crypt_begins(struct worker *worker, u64 skb)
{
	worker->skb = skb;
	if (!worker->first)
		worker->first = skb;
}

INLINE void order_crypt_ends(struct worker *worker, u32 slot, bool good, bool encrypt, u64 now)
{
	if (encrypt && good && read64(worker->skb + OFF_SKB_NEXT))
		return;
	order_ready(slot, worker->first, encrypt, now);
	worker->first = 0;
}

#else

INLINE void order_crypt_begins(struct worker *worker, u64 skb) { }
INLINE void order_crypt_ends(struct worker *worker, u32 slot, bool good, bool encrypt, u64 now) { }

#endif

#endif
