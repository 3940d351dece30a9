/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ran on top of encrypt_packet and decrypt_packet in a worker: softirqs, and other tasks where
 * the kernel may switch in the middle.  What they took of a stage's time is its nested_ns.
 */
#ifndef WGPROF_PREEMPT_H
#define WGPROF_PREEMPT_H

#include "state.h"

/* Whether a worker is inside encrypt_packet or decrypt_packet. */
INLINE bool is_in_crypt(const struct worker *worker)
{
	return (worker->kind == ENCRYPT_WORK || worker->kind == DECRYPT_WORK) && worker->crypt.start;
}

/* encrypt_packet or decrypt_packet begins. */
INLINE void on_top_begins(struct worker *worker)
{
	__builtin_memset(&worker->on_top, 0, sizeof(worker->on_top));
}

/* A softirq has ended, after so long. */
INLINE void count_softirq_on_top(struct cpu_state *state, bool net_rx, u64 ns)
{
	struct worker *worker = running_worker(state);

	if (!worker || !is_in_crypt(worker))
		return;
	worker->on_top.softirqs++;
	worker->on_top.softirq_ns += ns;
	if (net_rx) {
		worker->on_top.net_rx++;
		worker->on_top.net_rx_ns += ns;
	}
}

/* A worker is switched in again, after so long. */
INLINE void count_switched_out(struct worker *worker, u64 ns)
{
	if (!is_in_crypt(worker))
		return;
	worker->on_top.switches++;
	worker->on_top.switched_ns += ns;
}

/* The packet is done; what ran on top of it is now known to be of its peer. */
INLINE void on_top_ends(const struct worker *worker, struct block *block, bool encrypt)
{
	struct cell *cell;

	if (!worker->on_top.softirqs && !worker->on_top.switches)
		return;
	cell = &block->cell[encrypt ? TX_ENCRYPT_PREEMPTED : RX_DECRYPT_PREEMPTED];
	cell->counter[N_CALLS]++;
	cell->counter[N_SOFTIRQS] += worker->on_top.softirqs;
	cell->counter[N_SOFTIRQ_NS] += worker->on_top.softirq_ns;
	cell->counter[N_NET_RX] += worker->on_top.net_rx;
	cell->counter[N_NET_RX_NS] += worker->on_top.net_rx_ns;
	cell->counter[N_SWITCHES] += worker->on_top.switches;
	cell->counter[N_SWITCHED_NS] += worker->on_top.switched_ns;
	note_duration(cell, worker->on_top.softirq_ns + worker->on_top.switched_ns);
}

#endif
