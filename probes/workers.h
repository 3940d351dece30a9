/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Work items: encrypt and decrypt workers (one a device and CPU), transmit work (one a peer),
 * when they are queued, run, and are switched out.
 * drivers/net/wireguard/{send,receive}.c, kernel/workqueue.c
 */
#ifndef WGPROF_WORKERS_H
#define WGPROF_WORKERS_H

#include "receive.h"
#include "preempt.h"

BPF_TABLE("hash", u64, u32, parked_at, TASKS);	/* task -> place of the worker it was switched out of */

/* When a device's crypt work was last queued on a CPU, 0 once it runs. */
struct queued {
	u64 encrypt_ns, decrypt_ns;
};

BPF_ARRAY(queued_work, struct queued, LARGE_MAP(SLOTS * CPUS));

/* Where the time is kept that a work item was queued at: one a peer for TX_WORK, else one a device and CPU. */
INLINE u64 *queued_at(u64 slot, u64 cpu, u32 kind)
{
	u64 index = slot * CPUS + cpu;
	struct object *object;
	struct queued *queued;

	if (slot == SLOT_NONE || slot >= SLOTS || cpu >= CPUS)
		return NULL;
	if (kind == TX_WORK) {
		object = object_at(slot);
		return object ? &object->work_queued_ns : NULL;
	}
#ifdef LARGE_MAPS_LOOKED_UP
	u32 key = index;

	queued = queued_work.lookup(&key);
	if (!queued)
		return NULL;
#else
	SHOW(index);
	if (index >= SLOTS * CPUS)
		return NULL;
	queued = element(&memory_of(MEMORY_QUEUED_WORK, struct queued)[index]);
#endif
	return kind == ENCRYPT_WORK ? &queued->encrypt_ns : &queued->decrypt_ns;
}

/* A multicore_worker points to its crypt_queue, which is a member of the device. */
INLINE u32 slot_of_worker(u64 work, u32 queue_offset)
{
	u64 queue = read64(work - OFF_WORKER_WORK + OFF_WORKER_PTR);

	return slot_of(device_id(queue - queue_offset));
}

/* workqueue_queue_work(req_cpu, pwq, work): only fires when the item was not pending yet. */
INLINE int on_queue_work(u64 on_cpu, u64 work)
{
	u64 function = read64(work + OFF_WORK_FUNC);
	u64 *at;

	if (function == ADDR_TX_WORKER)
		at = queued_at(slot_of_peer(work - OFF_PEER_TX_WORK, false), 0, TX_WORK);
	else if (function == ADDR_ENCRYPT_WORKER)
		at = queued_at(slot_of_worker(work, OFF_DEVICE_ENCRYPT_QUEUE), on_cpu, ENCRYPT_WORK);
	else if (function == ADDR_DECRYPT_WORKER)
		at = queued_at(slot_of_worker(work, OFF_DEVICE_DECRYPT_QUEUE), on_cpu, DECRYPT_WORK);
	else
		return 0;
	if (at)
		*at = now_ns();
	return 0;
}

/* The work item's own place; of an unknown device or peer it is the task's. */
INLINE u32 place_of(u32 slot, u32 kind, u64 pid)
{
	if (slot && slot < SLOTS)
		return slot * WORKERS_OF_SLOT + (kind == DECRYPT_WORK);
	return SLOTS * WORKERS_OF_SLOT + pid % WORKERS_OF_NOBODY;
}

INLINE int worker_begins(u32 slot, u32 kind)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	u64 pid = (u32)bpf_get_current_pid_tgid();
	struct worker *worker;
	u64 now, *at;
	u32 place = place_of(slot, kind, pid);

	if (!state)
		return 0;
	worker = worker_at(place, cpu);
	if (!worker)
		return 0;
	now = now_ns();
	if (worker->pid) {
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
	worker->packet.frame.start = 0;
	worker->first = 0;
	forget_on_top(&worker->between);
	worker->slot = slot;
	worker->kind = kind;
	at = queued_at(slot, cpu, kind);
	if (at && *at) {
		worker->delay_ns = now > *at ? now - *at : 1;
		*at = 0;
	}
	state->running = place + 1;
	count_worker_woken(slot, cpu, kind);
	if (kind == TX_WORK)
		order_tx_begins(slot, cpu, now);
	frame_open(state, &worker->run, now);
	return 0;
}

INLINE int on_encrypt_worker(u64 work, bool typed)
{
	return worker_begins(slot_of_worker(work, OFF_DEVICE_ENCRYPT_QUEUE), ENCRYPT_WORK);
}

INLINE int on_decrypt_worker(u64 work, bool typed)
{
	return worker_begins(slot_of_worker(work, OFF_DEVICE_DECRYPT_QUEUE), DECRYPT_WORK);
}

INLINE int on_tx_worker(u64 work, bool typed)
{
	return worker_begins(slot_of_peer(work - OFF_PEER_TX_WORK, false), TX_WORK);
}

INLINE int worker_ends(u32 kind)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct worker *worker;
	struct block *block;
	struct cell *cell;
	u64 own, on_top, now, began;

	if (!state)
		return 0;
	worker = running_worker(state, cpu);
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

/* Whose packet it is, and which. */
INLINE void identify_crypt(struct worker *worker, u64 skb, u64 keypair, bool encrypt, bool from_header, bool typed)
{
	struct wire_header header;

	worker->packet.slot = slot_of_peer(load64(keypair, OFF_KEYPAIR_PEER, typed), typed);
	worker->packet.key = load32(keypair, encrypt ? OFF_KEYPAIR_REMOTE_INDEX : OFF_KEYPAIR_INDEX, typed);
	worker->packet.nonce = load64(skb, OFF_SKB_CB + PACKET_NONCE, typed);
	if (from_header) {
		header = read_header(skb, typed);
		if (header.type == MESSAGE_DATA && header.key == worker->packet.key)
			worker->packet.nonce = header.nonce;
	}
}

/*
 * encrypt_packet(skb, keypair, ..) and decrypt_packet(skb, keypair, ..): kworker, preemptible on
 * some kernels, so the frame lives with the worker.  Where it is done inline, a worker may lie below.
 */
INLINE int crypt_begins(u64 skb, u64 keypair, bool encrypt, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct worker *worker;

	if (is_inline(cpu, encrypt))
		return inline_crypt_begins(cpu, skb, keypair, encrypt, typed);
	if (!state)
		return 0;
	worker = running_worker(state, cpu);
	if (!worker) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	worker->packet.bytes = load32(skb, OFF_SKB_LEN, typed);
	/* fexit sees the packet again, a kretprobe does not. */
	if (!typed)
		identify_crypt(worker, skb, keypair, encrypt, !encrypt, false);
	order_crypt_begins(worker, skb);
	forget_on_top(&worker->on_packet);
	frame_open(state, &worker->packet.frame, now_ns());
	return 0;
}

INLINE int crypt_ends(u64 skb, u64 keypair, bool good, bool encrypt, bool typed)
{
	u64 cpu = this_cpu();
	struct cpu_state *state = this_state(cpu);
	struct worker *worker;
	struct block *block;
	struct cell *cell;
	u64 own, on_top, now, start;

	if (is_inline(cpu, encrypt))
		return inline_crypt_ends(cpu, good, encrypt);
	if (!state)
		return 0;
	worker = running_worker(state, cpu);
	if (!worker || !worker->packet.frame.start) {
		state->losses[LOSS_UNMATCHED]++;
		return 0;
	}
	now = now_ns();
	start = worker->packet.frame.start;
	own = frame_close(state, &worker->packet.frame, now, &on_top);
	worker->packets++;
	/* decrypt_packet notes the nonce in the packet, unless it gives up at once. */
	if (typed)
		identify_crypt(worker, skb, keypair, encrypt, !encrypt && !good, true);
	order_crypt_ends(worker, worker->packet.slot, good, encrypt, now);
	block = block_of(worker->packet.slot, cpu);
	if (!block)
		return 0;
	cell = &block->cell[encrypt ? TX_ENCRYPT : RX_DECRYPT];
	cell->counter[S_CALLS]++;
	if (good) {
		cell->counter[S_PACKETS]++;
		cell->counter[S_BYTES] += worker->packet.bytes;
	} else {
		cell->counter[S_FAILED]++;
	}
	count_service(cell, own, on_top);
	count_on_top(&worker->on_packet, &block->cell[encrypt ? TX_ENCRYPT_PREEMPTED : RX_DECRYPT_PREEMPTED]);
	if (!encrypt)
		poll_wanted(worker->packet.slot, block, now);
	if (is_sampled(worker->packet.nonce)) {
		struct step step = {
			.end = now, .nonce = worker->packet.nonce, .service = now - start,
			.key = worker->packet.key, .slot = worker->packet.slot,
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

/* Their returns, as fexit sees them and as a kretprobe does. */
INLINE int on_encrypted(u64 skb, u64 keypair, u64 ret, bool typed)
{
	return crypt_ends(skb, keypair, (u8)ret, true, typed);
}

INLINE int on_decrypted(u64 skb, u64 keypair, u64 ret, bool typed)
{
	return crypt_ends(skb, keypair, (u8)ret, false, typed);
}

INLINE int on_encrypt_done(u64 ret, bool typed)
{
	return crypt_ends(0, 0, (u8)ret, true, false);
}

INLINE int on_decrypt_done(u64 ret, bool typed)
{
	return crypt_ends(0, 0, (u8)ret, false, false);
}

/* Remembers where the execution of a task goes on. */
INLINE void park(struct cpu_state *state, struct worker *worker, u64 now)
{
	u32 place = state->running - 1;
	u64 pid = worker->pid;
	u32 *known = parked_at.lookup(&pid);

	worker->off_at = now;
	worker->off_nested = state->nested;
	state->parked++;
	/* A kworker mostly goes on with the same few work items. */
	if (known)
		*known = place;
	else if (parked_at.update(&pid, &place))
		state->losses[LOSS_CLOBBERED]++;
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
	u32 *place;

	note_switched_in(next, cpu);
	if (!state || (!state->running && !state->parked))
		return 0;
	now = now_ns();
	worker = running_worker(state, cpu);
	if (worker) {
		park(state, worker, now);
		state->running = 0;
	}
	pid = read32(next + OFF_TASK_PID);
	if (!pid)
		return 0;
	place = parked_at.lookup(&pid);
	worker = place ? worker_at(*place, cpu) : NULL;
	if (!worker || worker->pid != pid || !worker->off_at)
		return 0;
	state->nested = worker->off_nested + (now - worker->off_at);
	count_switched_out(worker, now - worker->off_at);
	worker->off_at = 0;
	state->running = *place + 1;
	if (state->parked)
		state->parked--;
	return 0;
}

#endif
