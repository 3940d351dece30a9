/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ran on top of the workers that encrypt and decrypt: softirqs, and other tasks.  Of what came while
 * they had a packet in the works the time is that stage's nested_ns; between packets, softirqs run
 * whenever ptr_ring_consume_bh lets them.
 */
#ifndef WGPROF_PREEMPT_H
#define WGPROF_PREEMPT_H

#include "state.h"

/* Whether a worker is inside encrypt_packet or decrypt_packet. */
INLINE bool is_in_crypt(const struct worker *worker)
{
	return (worker->kind == ENCRYPT_WORK || worker->kind == DECRYPT_WORK) && worker->packet.frame.start;
}

INLINE void forget_on_top(struct on_top *on_top)
{
	__builtin_memset(on_top, 0, sizeof(*on_top));
}

/* Where what runs on top of this worker now is added up; NULL if it is none that encrypts or decrypts. */
INLINE struct on_top *on_top_of(struct worker *worker)
{
	if ((worker->kind != ENCRYPT_WORK && worker->kind != DECRYPT_WORK) || !worker->run.start)
		return NULL;
	return is_in_crypt(worker) ? &worker->on_packet : &worker->between;
}

/* A softirq has ended, after so long. */
INLINE void count_softirq_on_top(const struct cpu_state *state, u64 cpu, bool net_rx, u64 ns)
{
	struct worker *worker = running_worker(state, cpu);
	struct on_top *on_top = worker ? on_top_of(worker) : NULL;

	if (!on_top)
		return;
	on_top->softirqs++;
	on_top->softirq_ns += ns;
	if (net_rx) {
		on_top->net_rx++;
		on_top->net_rx_ns += ns;
	}
}

/* A worker is switched in again, after so long. */
INLINE void count_switched_out(struct worker *worker, u64 ns)
{
	struct on_top *on_top = on_top_of(worker);

	if (!on_top)
		return;
	on_top->switches++;
	on_top->switched_ns += ns;
}

/* A packet, or an execution, is done; what ran on top of it goes to one of its cells. */
INLINE void count_on_top(const struct on_top *on_top, struct cell *cell)
{
	if (!on_top->softirqs && !on_top->switches)
		return;
	cell->counter[N_CALLS]++;
	cell->counter[N_SOFTIRQS] += on_top->softirqs;
	cell->counter[N_SOFTIRQ_NS] += on_top->softirq_ns;
	cell->counter[N_NET_RX] += on_top->net_rx;
	cell->counter[N_NET_RX_NS] += on_top->net_rx_ns;
	cell->counter[N_SWITCHES] += on_top->switches;
	cell->counter[N_SWITCHED_NS] += on_top->switched_ns;
	note_duration(cell, on_top->softirq_ns + on_top->switched_ns);
}

#endif
