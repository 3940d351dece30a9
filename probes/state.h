/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Maps, cells and time.
 *
 * Time is exclusive.  `nested` of a CPU grows by every measured frame that ended there, so a frame
 * that notes it at its start knows at its end how much of its time something else measured ran on
 * top of it: a softirq, a nested stage, another task.  No nanosecond is counted twice.
 */
#ifndef WGPROF_STATE_H
#define WGPROF_STATE_H

#include "layout.h"

#define F_MMAPABLE (1U << 10)
#define RB_NO_WAKEUP 1

struct frame {
	u64 start;
	u64 nested;
};

/* What ran on top of a worker. */
struct on_top {
	u32 softirqs, net_rx, switches, pad;
	u64 softirq_ns, net_rx_ns, switched_ns;
};

/* A worker function that is running, or was switched out, on this CPU. */
struct worker {
	u64 pid;		/* 0: free */
	u64 off_at;		/* when it was switched out, 0 while it runs */
	u64 off_nested;
	u64 packets;		/* moved in this execution */
	u64 delay_ns;
	struct frame run;
	struct frame crypt;
	struct on_top on_packet, between;	/* while it had a packet in the works, and while it had none */
	u64 crypt_nonce;
	u64 crypt_skb, crypt_first;	/* with --detail; crypt_first: of its list, until that is ready */
	u32 crypt_key;
	u32 crypt_slot;
	u32 crypt_bytes;
	u32 crypt_flags;
	u32 slot;
	u32 kind;
};

/* Workers in mid execution on a CPU, most at once, and places one may be in. */
#define WORKERS 64
#define WORKER_PLACES 8

enum { HANDING_NONE, HANDING_TX, HANDING_RX };

/* The hand-off that is being put on a peer queue. */
struct handoff {
	u64 skb;		/* 0: none under way */
	u64 queue;
	u64 nonce;		/* of its first packet */
	u32 key;
	u32 packets;
	u32 slot;
	u32 device_slot;
};

struct cpu_state {
	u64 nested;
	u64 losses[LOSSES];
	u32 running;		/* index + 1 of the worker on the CPU, 0 if none */
	u32 parked;		/* workers switched out in mid execution */

	struct frame xmit;
	u32 xmit_slot, xmit_packets, xmit_bytes, pad0;
	struct frame receive;
	u32 receive_slot, receive_bytes;
	struct handoff tx, rx;
	u32 handing_off, pad2;

	struct frame send;
	u64 send_nonce;
	u32 send_key, send_slot, send_bytes, send_data;

	struct frame poll;
	struct frame deliver;	/* start 0: no packet is being delivered */
	u64 poll_delay, poll_delivered, deliver_nonce;
	u32 poll_slot, deliver_key, deliver_bytes, poll_run;
	u32 poll_missed, pad1;

	struct frame softirq;
	u64 softirq_vector;

	struct worker workers[WORKERS];
};

BPF_F_TABLE("array", u32, struct control, control, 1, F_MMAPABLE);
BPF_F_TABLE("array", u32, struct cpu_state, states, CPUS, F_MMAPABLE);
BPF_F_TABLE("array", u32, struct block, blocks, SLOTS * CPUS, F_MMAPABLE);
BPF_F_TABLE("array", u32, struct object, objects, SLOTS, F_MMAPABLE);
BPF_RINGBUF_OUTPUT(events, RING_PAGES);

#define now_ns() bpf_ktime_get_ns()

INLINE struct cpu_state *this_state(u32 cpu)
{
	return states.lookup(&cpu);
}

INLINE struct block *block_of(u32 slot, u32 cpu)
{
	u32 index = slot * CPUS + cpu;

	if (slot >= SLOTS)
		return NULL;
	return blocks.lookup(&index);
}

INLINE struct worker *running_worker(struct cpu_state *state)
{
	u32 index = state->running;

	if (!index)
		return NULL;
	return &state->workers[(index - 1) & (WORKERS - 1)];
}

/* log-linear: SUB_BUCKETS buckets a power of two; layout.py has the inverse. */
INLINE u32 bucket_of(u64 value)
{
	u64 v = value;
	u32 exponent = 0;
	u32 bucket;

	if (v < SUB_BUCKETS)
		return v;
	if (v >= 1ULL << 32)
		return BUCKETS - 1;
	if (v >= 1ULL << 16) { exponent += 16; v >>= 16; }
	if (v >= 1ULL << 8) { exponent += 8; v >>= 8; }
	if (v >= 1ULL << 4) { exponent += 4; v >>= 4; }
	if (v >= 1ULL << 2) { exponent += 2; v >>= 2; }
	if (v >= 1ULL << 1)
		exponent += 1;
	bucket = ((exponent - SUB_BUCKET_BITS + 1) << SUB_BUCKET_BITS)
		+ (value >> (exponent - SUB_BUCKET_BITS)) - SUB_BUCKETS;
	return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

INLINE void note(struct cell *cell, u64 value)
{
	u32 bucket = bucket_of(value);

	/* The compiler knows the bound, the verifier has to be shown it. */
	asm volatile("" : "+r"(bucket));
	if (bucket < BUCKETS)
		cell->histogram[bucket]++;
}

INLINE void note_duration(struct cell *cell, u64 ns)
{
	note(cell, ns >> DURATION_SHIFT);
}

/* A frame that is still open lost its return, to a kretprobe without a free instance for example. */
INLINE void frame_open(struct cpu_state *state, struct frame *frame, u64 now)
{
	if (frame->start)
		state->losses[LOSS_CLOBBERED]++;
	frame->start = now;
	frame->nested = state->nested;
}

/*
 * Closes a frame and returns its own time; what ran on top of it goes to *on_top.  The whole
 * time then counts as nested for the frames around it.
 */
INLINE u64 frame_close(struct cpu_state *state, struct frame *frame, u64 now, u64 *on_top)
{
	u64 gross = now - frame->start;
	u64 nested = state->nested - frame->nested;

	if (nested > gross)
		nested = gross;
	state->nested = frame->nested + gross;
	frame->start = 0;
	*on_top = nested;
	return gross - nested;
}

INLINE void count_service(struct cell *cell, u64 own, u64 on_top)
{
	cell->counter[S_SERVICE_NS] += own;
	cell->counter[S_NESTED_NS] += on_top;
	note_duration(cell, own);
}

INLINE bool is_sampled(u64 nonce)
{
	u32 zero = 0;
	struct control *c = control.lookup(&zero);

	return c && c->sample_every && nonce % c->sample_every == 0;
}

struct step {
	u64 end, nonce, service;
	u32 key, slot, packets;
	u8 point, flags;
};

INLINE void emit(struct cpu_state *state, u32 cpu, const struct step *step)
{
	struct journey_event *event = events.ringbuf_reserve(sizeof(*event));

	if (!event) {
		state->losses[LOSS_RING_FULL]++;
		return;
	}
	event->end_ns = step->end;
	event->nonce = step->nonce;
	event->key_index = step->key;
	event->service_ns = step->service > 0xffffffff ? 0xffffffff : step->service;
	event->cpu = cpu;
	event->slot = step->slot;
	event->point = step->point;
	event->flags = step->flags;
	event->extra = step->packets > 0xffff ? 0xffff : step->packets;
	events.ringbuf_submit(event, RB_NO_WAKEUP);
}

#endif
