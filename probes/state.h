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

/* A packet that is being encrypted, decrypted or sent. */
struct packet {
	struct frame frame;
	u64 nonce;
	u32 key, slot, bytes, is_data;
};

/* A worker function that is running, or was switched out, on this CPU. */
struct worker {
	u64 pid;		/* of the task that executes it; 0: none does */
	u64 off_at;		/* when it was switched out, 0 while it runs */
	u64 off_nested;
	u64 packets;		/* moved in this execution */
	u64 delay_ns;
	struct frame run;
	struct packet packet;	/* a worker has one in hand at a time */
	struct on_top on_packet, between;	/* while a crypt worker had a packet in the works, and while it had none */
	u64 skb, first;		/* with --detail: of the packet in the works, and of its list, until that is ready */
	u32 slot;
	u32 kind;
};

/*
 * Where the executions of a CPU's work items are kept.  A work item never runs twice at a time, so each has a place
 * of its own: two a slot, since a device has one that encrypts and one that decrypts on each CPU, and a peer one that
 * transmits.  Those of unknown devices and peers share a few.
 */
#define WORKERS_OF_SLOT 2
#define WORKERS_OF_NOBODY 16
#define WORKERS (SLOTS * WORKERS_OF_SLOT + WORKERS_OF_NOBODY)

enum { HANDING_NONE, HANDING_TX, HANDING_RX };

/* The hand-off that is being put on a peer queue. */
struct handoff {
	u64 skb;		/* 0: none under way */
	u64 queue;
	u64 nonce;		/* of its first packet */
	u64 last;		/* of its last one */
	u32 key;
	u32 packets;
	u32 slot;
	u32 device_slot;
};

struct cpu_state {
	u64 nested;
	u64 losses[LOSSES];
	u32 running;		/* place + 1 of the worker on the CPU, 0 if none */
	u32 parked;		/* workers switched out in mid execution */

	struct frame xmit;
	u32 xmit_slot, xmit_packets, xmit_bytes, pad0;
	struct frame receive;
	u32 receive_slot, receive_bytes;
	struct handoff tx, rx;
	u32 handing_off, pad2;

	struct packet sending;	/* by whom is no transmit worker */

	struct frame poll;
	struct frame deliver;	/* start 0: no packet is being delivered */
	u64 poll_delay, poll_delivered, deliver_nonce;
	u32 poll_slot, poll_budget, deliver_key, deliver_bytes, deliver_sampled, poll_run;
	u32 poll_missed, pad1;

	struct frame softirq;
	u64 softirq_vector;
};

/*
 * Maps of one element, which the programs reach by address and not by look-up: memory_of gives what
 * the loader replaces by it (wgprof/agent/instructions.py).
 */
struct all_states {
	struct cpu_state cpu[CPUS];
};

struct all_objects {
	struct object slot[SLOTS];
};

BPF_F_TABLE("array", u32, struct control, control, 1, F_MMAPABLE);
BPF_F_TABLE("array", u32, struct all_states, states, 1, F_MMAPABLE);
BPF_F_TABLE("array", u32, struct all_objects, objects, 1, F_MMAPABLE);
/*
 * Of these, too, there is one element, as large as all: the loader makes it, as bcc takes minutes for a large type.
 * Kernels before 6.0 allow no such size; there they are looked up.
 */
#ifdef LARGE_MAPS_LOOKED_UP
#define LARGE_MAP(count) (count)
#else
#define LARGE_MAP(count) 1
#endif
BPF_TABLE("array", u32, struct worker, workers, LARGE_MAP(WORKERS * CPUS));	/* those of a CPU lie together */
BPF_F_TABLE("array", u32, struct block, blocks, LARGE_MAP(SLOTS * CPUS), F_MMAPABLE);	/* those of an object do */
BPF_RINGBUF_OUTPUT(events, RING_PAGES);

#define memory_of(number, type) ({					\
	u64 __address;							\
	asm("%0 = %1 ll" : "=r"(__address) : "i"(number));		\
	(type *)__address;						\
})

/* An element's address, to be kept: the compiler would add up map, place and member anew for each use. */
#define element(address) ({						\
	__typeof__(address) __element = (address);			\
	asm("" : "+r"(__element));					\
	__builtin_assume(__element != NULL);				\
	__element;							\
})
#define the_control() memory_of(MEMORY_CONTROL, struct control)

#define now_ns() bpf_ktime_get_ns()

/* As bcc's bpf_get_smp_processor_id, but of 64 bits, so that nobody cuts them to 32 before it is an index. */
static u64 (*const this_cpu)(void) = (void *)8;

/* What the compiler may know of an index, the verifier has to be shown, where it is checked and in one register. */
#define SHOW(index) asm volatile("" : "+r"(index))

INLINE struct cpu_state *this_state(u64 cpu)
{
	SHOW(cpu);
	if (cpu >= CPUS)
		return NULL;
	return element(&memory_of(MEMORY_STATES, struct all_states)->cpu[cpu]);
}

INLINE struct object *object_at(u64 slot)
{
	SHOW(slot);
	if (slot >= SLOTS)
		return NULL;
	return element(&memory_of(MEMORY_OBJECTS, struct all_objects)->slot[slot]);
}

INLINE struct worker *worker_at(u64 place, u64 cpu)
{
	u64 index = cpu * WORKERS + place;

#ifdef LARGE_MAPS_LOOKED_UP
	u32 key = index;

	return workers.lookup(&key);
#else
	SHOW(index);
	if (index >= WORKERS * CPUS)
		return NULL;
	return element(&memory_of(MEMORY_WORKERS, struct worker)[index]);
#endif
}

INLINE struct worker *running_worker(const struct cpu_state *state, u64 cpu)
{
	return state->running ? worker_at(state->running - 1, cpu) : NULL;
}

/* SLOT_IGNORED has none. */
INLINE struct block *block_of(u64 slot, u64 cpu)
{
	u64 index = slot * CPUS + cpu;

#ifdef LARGE_MAPS_LOOKED_UP
	u32 key = index;

	return slot < SLOTS ? blocks.lookup(&key) : NULL;
#else
	SHOW(index);
	if (index >= SLOTS * CPUS)
		return NULL;
	return element(&memory_of(MEMORY_BLOCKS, struct block)[index]);
#endif
}

/* One step of a binary search for the highest bit; the assembly keeps the branch, which is cheaper than a choice. */
#define HALVE(bits)						\
	if (rest >= 1ULL << (bits)) {				\
		octave += (bits);				\
		rest >>= (bits);				\
		asm volatile("" : "+r"(octave));		\
	}

/* log-linear: SUB_BUCKETS buckets a power of two; layout.py has the inverse. */
INLINE u64 bucket_of(u64 value)
{
	u64 octave = 0, rest = value >> SUB_BUCKET_BITS;

	if (value >> BUCKETS_REACH)
		return BUCKETS - 1;
	HALVE(16)
	HALVE(8)
	HALVE(4)
	HALVE(2)
	HALVE(1)
	return (octave << SUB_BUCKET_BITS) + (value >> octave);
}

INLINE void note_bucket(struct cell *cell, u64 bucket)
{
	SHOW(bucket);
	if (bucket < BUCKETS)
		cell->histogram[bucket]++;
}

/* Depths and packets, which mostly are small. */
INLINE void note(struct cell *cell, u64 value)
{
	note_bucket(cell, value < SUB_BUCKETS ? value : bucket_of(value));
}

INLINE void note_duration(struct cell *cell, u64 ns)
{
	note_bucket(cell, bucket_of(ns >> DURATION_SHIFT));
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

/* 2^32 divided by the golden ratio: multiples of it are spread evenly, and so are those of any stride of them. */
#define SAMPLE_STEP 2654435769U

INLINE u64 sample_multiple(u64 nonce)
{
	return (u32)(nonce * SAMPLE_STEP);
}

/* Which of the two is in force; whoever needs more than one of its members asks once, as the agent turns at any time. */
INLINE u32 sampling_turn(void)
{
	return the_control()->turn;
}

INLINE const struct sampling *sampling_at(u32 turn)
{
	return &the_control()->sampling[turn & 1];
}

/*
 * One nonce in N, N = 2^32 / below, evenly but out of step with whatever goes round: work items are
 * given to CPUs in turn, so every Nth nonce would be that of the same CPU each time.
 */
INLINE bool is_below(u64 nonce, u64 below)
{
	return sample_multiple(nonce) < below;
}

INLINE bool is_sampled(u64 nonce)
{
	return is_below(nonce, sampling_at(sampling_turn())->below);
}

struct step {
	u64 end, nonce, service;
	u32 key, slot, packets;
	u8 point, flags;
};

INLINE void emit(struct cpu_state *state, u64 cpu, const struct step *step)
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
