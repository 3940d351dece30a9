/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * With --detail: spinning on the locks of the devices' rings.  Each ring has two, one for who puts in
 * and one for who takes out.  include/linux/ptr_ring.h, kernel/locking/qspinlock.c
 */
#ifndef WGPROF_CONTENTION_H
#define WGPROF_CONTENTION_H

#include "detail.h"

#if DETAIL

#define RING_LOCKS 4	/* of a device */

struct ring_lock {
	u32 slot;		/* of the device */
	u32 kind;
};

/* What a CPU spins on.  A ring's lock is taken with softirqs off, so only an interrupt's lock can come on top. */
struct lock_wait {
	u64 since;		/* 0: on no ring's lock */
	u32 slot, which;
	u32 on_top, pad;	/* waits for other locks in interrupts meanwhile */
};

BPF_TABLE("hash", u64, struct ring_lock, ring_locks, RING_LOCKS * SLOTS);
BPF_TABLE("array", u32, struct lock_wait, lock_waits, CPUS);

INLINE void know_lock(u64 address, u32 slot, u32 kind)
{
	struct ring_lock lock = { .slot = slot, .kind = kind };

	ring_locks.update(&address, &lock);
}

INLINE void know_locks(u64 device, u32 slot)
{
	know_lock(device + OFF_DEVICE_ENCRYPT_RING + OFF_RING_PRODUCER_LOCK, slot, ENCRYPT_RING_PRODUCER_LOCK);
	know_lock(device + OFF_DEVICE_ENCRYPT_RING + OFF_RING_CONSUMER_LOCK, slot, ENCRYPT_RING_CONSUMER_LOCK);
	know_lock(device + OFF_DEVICE_DECRYPT_RING + OFF_RING_PRODUCER_LOCK, slot, DECRYPT_RING_PRODUCER_LOCK);
	know_lock(device + OFF_DEVICE_DECRYPT_RING + OFF_RING_CONSUMER_LOCK, slot, DECRYPT_RING_CONSUMER_LOCK);
}

/* native_queued_spin_lock_slowpath(lock, value): the lock was not free. */
INLINE int on_lock_wait(u64 lock, bool typed)
{
	u64 cpu = this_cpu();
	u32 index = cpu;
	struct lock_wait *wait = lock_waits.lookup(&index);
	struct ring_lock *ring;
	volatile u64 key = lock;
	u64 address = key;

	if (!wait)
		return 0;
	ring = ring_locks.lookup(&address);
	if (!ring) {
		if (wait->since)
			wait->on_top++;
		return 0;
	}
	wait->slot = ring->slot;
	wait->which = ring->kind - ENCRYPT_RING_PRODUCER_LOCK;
	wait->on_top = 0;
	wait->since = now_ns();
	return 0;
}

INLINE int on_lock_got(u64 ret, bool typed)
{
	u64 cpu = this_cpu();
	u32 index = cpu;
	struct lock_wait *wait = lock_waits.lookup(&index);
	struct detail_block *block;
	struct cell *cell;
	u64 waited;

	if (!wait || !wait->since)
		return 0;
	if (wait->on_top) {
		wait->on_top--;
		return 0;
	}
	waited = now_ns() - wait->since;
	wait->since = 0;
	block = detail_block_of(wait->slot, cpu);
	if (!block)
		return 0;
	cell = &block->cell[ENCRYPT_RING_PRODUCER_LOCK - KINDS + (wait->which & (RING_LOCKS - 1))];
	cell->counter[L_WAITS]++;
	cell->counter[L_WAIT_NS] += waited;
	note_duration(cell, waited);
	return 0;
}

/* contention_begin(lock, flags), contention_end(lock, ret): without those who wait as the only one. */
INLINE int on_contention(u64 lock)
{
	return on_lock_wait(lock, false);
}

INLINE int on_contention_end(u64 lock)
{
	return on_lock_got(0, false);
}

#else

INLINE void know_locks(u64 device, u32 slot) { }

#endif

#endif
