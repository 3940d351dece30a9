/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is counted with --detail alone: how long kernel threads waited for their CPU before they did
 * WireGuard's work, and interrupts between CPUs.  Its cells are in blocks of their own, so that they
 * take no memory otherwise.
 */
#ifndef WGPROF_DETAIL_H
#define WGPROF_DETAIL_H

#include "state.h"

#if DETAIL

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000
/* Kernel threads that wait for a CPU, most at once. */
#define WAITING_THREADS 4096

struct detail_block {
	struct cell cell[ALL_KINDS - KINDS];
};

BPF_F_TABLE("array", u32, struct detail_block, detail_blocks, SLOTS * CPUS, F_MMAPABLE);

INLINE struct detail_block *detail_block_of(u64 slot, u64 cpu)
{
	u32 index = slot * CPUS + cpu;

	if (slot >= SLOTS)
		return NULL;
	return detail_blocks.lookup(&index);
}

#define detail_cell(block, kind) (&(block)->cell[(kind) - KINDS])

/* The kernel thread that was switched in last on a CPU, if it had been woken and has not worked yet. */
struct woken {
	u64 pid;		/* 0: none */
	u64 waited_ns;
};

BPF_TABLE("lru_hash", u32, u64, woken_at, WAITING_THREADS);	/* pid -> time */
BPF_TABLE("array", u32, struct woken, woken, CPUS);

/* sched_wakeup(task): it is runnable now. */
INLINE int on_wakeup(u64 task)
{
	u64 now;
	u32 pid;

	if (!(read32(task + OFF_TASK_FLAGS) & PF_KTHREAD))
		return 0;
	pid = read32(task + OFF_TASK_PID);
	now = now_ns();
	if (pid)
		woken_at.update(&pid, &now);
	return 0;
}

/* sched_switch, while the one before is still the current task: one program a tracepoint is all bcc attaches. */
INLINE void note_switched_in(u64 next, u64 cpu)
{
	u32 index = cpu;
	struct woken *thread = woken.lookup(&index);
	u64 now, *at;
	u32 pid;

	if (!thread)
		return;
	thread->pid = 0;
	/* Woken before it could sleep: it did not wait. */
	pid = (u32)bpf_get_current_pid_tgid();
	if (pid && woken_at.lookup(&pid))
		woken_at.delete(&pid);
	if (!(read32(next + OFF_TASK_FLAGS) & PF_KTHREAD))
		return;
	pid = read32(next + OFF_TASK_PID);
	at = woken_at.lookup(&pid);
	if (!pid || !at)
		return;
	now = now_ns();
	thread->waited_ns = now > *at ? now - *at : 0;
	thread->pid = pid;
	woken_at.delete(&pid);
}

/* WireGuard's work begins in a thread: the first after a wake-up says how long the thread had waited. */
INLINE void count_woken(u64 slot, u64 cpu, u32 kind)
{
	u32 index = cpu;
	struct woken *thread = woken.lookup(&index);
	struct detail_block *block;
	struct cell *cell;

	if (!thread || !thread->pid || thread->pid != (u32)bpf_get_current_pid_tgid())
		return;
	thread->pid = 0;
	block = detail_block_of(slot, cpu);
	if (!block)
		return;
	cell = detail_cell(block, kind);
	cell->counter[W_WOKEN]++;
	cell->counter[W_RUNQUEUE_NS] += thread->waited_ns;
	note_duration(cell, thread->waited_ns);
}

INLINE void count_poll_thread_woken(const struct cpu_state *state, u32 slot, u64 cpu)
{
	/* In a softirq the current task is only who was interrupted. */
	if (!state->softirq.start)
		count_woken(slot, cpu, RX_NAPI_WAKE);
}

INLINE void count_worker_woken(u64 slot, u64 cpu, u32 kind)
{
	count_woken(slot, cpu, kind - ENCRYPT_WORK + ENCRYPT_WORK_WAKE);
}

INLINE int count_ipi(u32 which)
{
	u64 cpu = this_cpu();
	struct detail_block *block = detail_block_of(SLOT_NONE, cpu);

	if (block && which < COUNTERS)
		detail_cell(block, IPIS)->counter[which]++;
	return 0;
}

/* What sends is what began last on this CPU of what is measured and has not ended. */
INLINE u32 sender_of(const struct cpu_state *state, u64 cpu)
{
	struct worker *worker = running_worker(state, cpu);
	u32 sender = C_SENT_ELSEWHERE;
	u64 began = 0;

	if (worker && worker->run.start) {
		began = worker->run.start;
		sender = C_SENT_WORK;
	}
	if (state->xmit.start > began) {
		began = state->xmit.start;
		sender = C_SENT_STAGE;
	}
	if (state->receive.start > began) {
		began = state->receive.start;
		sender = C_SENT_RECEIVE;
	}
	if (state->poll.start > began)
		sender = C_SENT_POLL;
	return sender;
}

/* ipi_send_cpu(cpu, callsite, callback) and ipi_send_cpumask(mask, callsite, callback) */
INLINE int on_ipi_sent(u64 target)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);

	return count_ipi(state ? sender_of(state, cpu) : C_SENT_ELSEWHERE);
}

/* reschedule_entry(vector), on the CPU that is interrupted */
INLINE int on_reschedule(u64 vector)
{
	return count_ipi(C_RESCHEDULES);
}

/* call_function_single_entry(vector): a task that is woken on another CPU comes this way, too. */
INLINE int on_call_function(u64 vector)
{
	return count_ipi(C_CALLS);
}

#else

INLINE void note_switched_in(u64 next, u64 cpu) { }
INLINE void count_poll_thread_woken(const struct cpu_state *state, u32 slot, u64 cpu) { }
INLINE void count_worker_woken(u64 slot, u64 cpu, u32 kind) { }

#endif

#endif
