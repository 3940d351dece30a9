/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Work items: encrypt and decrypt workers (one a device and CPU), transmit work (one a peer),
 * when they are queued, run, and are switched out.
 * drivers/net/wireguard/{send,receive}.c, kernel/workqueue.c
 */
#ifndef WGPROF_WORKERS_H
#define WGPROF_WORKERS_H

#include "inline.h"
#include "preempt.h"

BPF_TABLE("hash", u64, u64, queued_at, WORK_ITEMS);	/* work_struct -> time, 0 once it runs */

/* workqueue_queue_work(req_cpu, pwq, work): only fires when the item was not pending yet. */
INLINE int on_queue_work(u64 work)
{
	u64 function = read64(work + OFF_WORK_FUNC);
	u64 now, *at;

	if (function != ADDR_ENCRYPT_WORKER && function != ADDR_DECRYPT_WORKER && function != ADDR_TX_WORKER)
		return 0;
	now = now_ns();
	at = queued_at.lookup(&work);
	if (at)
		*at = now;
	else
		queued_at.update(&work, &now);
	return 0;
}

/* The worker of a task on this CPU, or a free one for it; WORKERS if all are taken. */
INLINE u32 find_worker(struct cpu_state *state, u64 pid, bool claim)
{
	u32 i, place, found = WORKERS;

#pragma unroll
	for (i = 0; i < WORKER_PLACES; i++) {
		place = (pid + i) & (WORKERS - 1);
		if (state->workers[place].pid == pid)
			return place;
		if (claim && found == WORKERS && !state->workers[place].pid)
			found = place;
	}
	return found;
}

INLINE int worker_begins(u64 work, u32 slot, u32 kind)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = this_state(cpu);
	u64 pid = (u32)bpf_get_current_pid_tgid();
	struct worker *worker;
	u64 now, *at;
	u32 index;

	if (!state)
		return 0;
	index = find_worker(state, pid, true);
	if (index >= WORKERS) {
		/* More tasks in mid execution on one CPU than there is room for. */
		state->losses[LOSS_CLOBBERED]++;
		return 0;
	}
	worker = &state->workers[index];
	now = now_ns();
	if (worker->pid && (worker->run.start || worker->crypt.start)) {
		/* Its last return was lost. */
		state->losses[LOSS_CLOBBERED]++;
		if (worker->off_at && state->parked)
			state->parked--;
	}
	worker->pid = pid;
	worker->off_at = 0;
	worker->packets = 0;
	worker->delay_ns = 0;
	worker->run.start = 0;
	worker->crypt.start = 0;
	worker->crypt_first = 0;
	forget_on_top(&worker->between);
	worker->slot = slot;
	worker->kind = kind;
	at = queued_at.lookup(&work);
	if (at && *at) {
		worker->delay_ns = now > *at ? now - *at : 1;
		*at = 0;
	}
	state->running = index + 1;
	count_worker_woken(slot, cpu, kind);
	if (kind == TX_WORK)
		order_tx_begins(slot, cpu, now);
	frame_open(state, &worker->run, now);
	return 0;
}

/* A multicore_worker points to its crypt_queue, which is a member of the device. */
INLINE u32 slot_of_worker(u64 work, u32 queue_offset)
{
	u64 queue = read64(work - OFF_WORKER_WORK + OFF_WORKER_PTR);

	return slot_of(device_id(queue - queue_offset));
}

INLINE int on_encrypt_worker(u64 work, bool typed)
{
	return worker_begins(work, slot_of_worker(work, OFF_DEVICE_ENCRYPT_QUEUE), ENCRYPT_WORK);
}

INLINE int on_decrypt_worker(u64 work, bool typed)
{
	return worker_begins(work, slot_of_worker(work, OFF_DEVICE_DECRYPT_QUEUE), DECRYPT_WORK);
}

INLINE int on_tx_worker(u64 work, bool typed)
{
	return worker_begins(work, slot_of_peer(work - OFF_PEER_TX_WORK, false), TX_WORK);
}

INLINE int worker_ends(u32 kind)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = this_state(cpu);
	struct worker *worker;
	struct block *block;
	struct cell *cell;
	u64 own, on_top, now, began;

	if (!state)
		return 0;
	worker = running_worker(state);
	if (!worker || worker->kind != kind || !worker->run.start) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	now = now_ns();
	began = worker->run.start;
	own = frame_close(state, &worker->run, now, &on_top);
	worker->pid = 0;
	state->running = 0;
	block = block_of(worker->slot, cpu);
	if (!block)
		return 0;
	if (kind == TX_WORK)
		count_served(block, &(struct serving) {
			.slot = worker->slot, .cpu = cpu, .polls = TX_WORK_POLLS, .order = TX_WORK_ORDER, .transmit = true,
			.packets = worker->packets, .began = began, .now = now, .own = own,
		});
	else
		count_on_top(&worker->between,
			     &block->cell[kind == ENCRYPT_WORK ? ENCRYPT_WORK_PREEMPTED : DECRYPT_WORK_PREEMPTED]);
	cell = &block->cell[kind];
	cell->counter[X_EXECUTIONS]++;
	cell->counter[X_PACKETS] += worker->packets;
	cell->counter[X_BUSY_NS] += own;
	if (!worker->packets) {
		cell->counter[X_EMPTY]++;
		cell->counter[X_EMPTY_NS] += own;
	}
	if (worker->delay_ns) {
		cell->counter[X_WAKEUPS]++;
		cell->counter[X_DELAY_NS] += worker->delay_ns;
		cell->counter[X_DELAYED]++;
		note_duration(cell, worker->delay_ns);
	}
	return 0;
}

INLINE int on_encrypt_worker_done(u64 ret, bool typed)
{
	return worker_ends(ENCRYPT_WORK);
}

INLINE int on_decrypt_worker_done(u64 ret, bool typed)
{
	return worker_ends(DECRYPT_WORK);
}

INLINE int on_tx_worker_done(u64 ret, bool typed)
{
	return worker_ends(TX_WORK);
}

/*
 * encrypt_packet(skb, keypair, ..) and decrypt_packet(skb, keypair, ..): kworker, preemptible on
 * some kernels, so the frame lives with the worker.  Where it is done inline, a worker may lie below.
 */
INLINE int crypt_begins(u64 skb, u64 keypair, bool encrypt, bool typed)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = this_state(cpu);
	struct wire_header header = {};
	struct worker *worker;
	u64 peer;

	if (is_inline(cpu, encrypt))
		return inline_crypt_begins(cpu, skb, keypair, encrypt, typed);
	if (!state)
		return 0;
	worker = running_worker(state);
	if (!worker) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	peer = load64(keypair, OFF_KEYPAIR_PEER, typed);
	worker->crypt_slot = slot_of_peer(peer, typed);
	worker->crypt_bytes = load32(skb, OFF_SKB_LEN, typed);
	if (encrypt) {
		worker->crypt_nonce = read64(skb + OFF_SKB_CB);
		worker->crypt_key = load32(keypair, OFF_KEYPAIR_REMOTE_INDEX, typed);
	} else {
		bpf_probe_read_kernel(&header, sizeof(header), (void *)load64(skb, OFF_SKB_DATA, typed));
		worker->crypt_nonce = header.nonce;
		worker->crypt_key = header.key;
	}
	order_crypt_begins(worker, skb);
	forget_on_top(&worker->on_packet);
	frame_open(state, &worker->crypt, now_ns());
	return 0;
}

INLINE int crypt_ends(bool good, bool encrypt)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = this_state(cpu);
	struct worker *worker;
	struct block *block;
	struct cell *cell;
	u64 own, on_top, now, start;

	if (is_inline(cpu, encrypt))
		return inline_crypt_ends(cpu, good, encrypt);
	if (!state)
		return 0;
	worker = running_worker(state);
	if (!worker || !worker->crypt.start) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	now = now_ns();
	start = worker->crypt.start;
	own = frame_close(state, &worker->crypt, now, &on_top);
	worker->packets++;
	order_crypt_ends(worker, worker->crypt_slot, good, encrypt, now);
	block = block_of(worker->crypt_slot, cpu);
	if (!block)
		return 0;
	cell = &block->cell[encrypt ? TX_ENCRYPT : RX_DECRYPT];
	cell->counter[S_CALLS]++;
	if (good) {
		cell->counter[S_PACKETS]++;
		cell->counter[S_BYTES] += worker->crypt_bytes;
	} else {
		cell->counter[S_FAILED]++;
	}
	count_service(cell, own, on_top);
	count_on_top(&worker->on_packet, &block->cell[encrypt ? TX_ENCRYPT_PREEMPTED : RX_DECRYPT_PREEMPTED]);
	if (is_sampled(worker->crypt_nonce)) {
		struct step step = {
			.end = now, .nonce = worker->crypt_nonce, .service = now - start,
			.key = worker->crypt_key, .slot = worker->crypt_slot,
			.point = encrypt ? POINT_ENCRYPT : POINT_DECRYPT,
			.flags = good ? 0 : EVENT_FAILED,
		};
		emit(state, cpu, &step);
	}
	return 0;
}

INLINE int on_encrypt(u64 skb, u64 keypair, bool typed)
{
	return crypt_begins(skb, keypair, true, typed);
}

INLINE int on_decrypt(u64 skb, u64 keypair, bool typed)
{
	return crypt_begins(skb, keypair, false, typed);
}

INLINE int on_encrypt_done(u64 ret, bool typed)
{
	return crypt_ends((u8)ret, true);
}

INLINE int on_decrypt_done(u64 ret, bool typed)
{
	return crypt_ends((u8)ret, false);
}

/*
 * sched_switch(preempt, prev, next): a worker that is switched out stops its clock.  Almost every
 * switch finds nothing to do, which one load decides.
 */
INLINE int on_switch(u64 next)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = this_state(cpu);
	struct worker *worker;
	u64 now, pid;
	u32 index;

	note_switched_in(next, cpu);
	if (!state || (!state->running && !state->parked))
		return 0;
	now = now_ns();
	worker = running_worker(state);
	if (worker) {
		worker->off_at = now;
		worker->off_nested = state->nested;
		state->running = 0;
		state->parked++;
	}
	pid = read32(next + OFF_TASK_PID);
	if (!pid)
		return 0;
	index = find_worker(state, pid, false);
	if (index >= WORKERS)
		return 0;
	worker = &state->workers[index];
	if (!worker->off_at)
		return 0;
	state->nested = worker->off_nested + (now - worker->off_at);
	count_switched_out(worker, now - worker->off_at);
	worker->off_at = 0;
	state->running = index + 1;
	if (state->parked)
		state->parked--;
	return 0;
}

#endif
