/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the probes share with user space.  The Python twin is wgprof/agent/layout.py;
 * tests/unit/test_layout.py compares the two.
 *
 * Set by the loader with -D:
 *	SLOTS		objects that can be told apart, slot 0 included
 *	CPUS		highest possible CPU number + 1
 *	INLINE_PATH	1 if the module is the inline variant, else 0
 *	DETAIL		1 with --detail, else 0
 *	OFF_*		offsets of kernel structure members, read from BTF
 */
#ifndef WGPROF_LAYOUT_H
#define WGPROF_LAYOUT_H

#define COUNTERS 8
#define BUCKETS 192
#define SUB_BUCKET_BITS 3
#define SUB_BUCKETS (1 << SUB_BUCKET_BITS)
#define DURATION_SHIFT 2
/* Values from 1 << BUCKETS_REACH on are in the last bucket. */
#define BUCKETS_REACH (BUCKETS / SUB_BUCKETS - 1 + SUB_BUCKET_BITS)

/* Work of no known peer. */
#define SLOT_NONE 0
/* Work of an interface the user did not ask for: no block exists, so nothing is counted. */
#define SLOT_IGNORED 0xffff

enum cell_kind {
	TX_STAGE, TX_ENCRYPT, TX_SEND,
	RX_RECEIVE, RX_DECRYPT, RX_DELIVER,
	ENCRYPT_WORK, DECRYPT_WORK, TX_WORK, RX_NAPI,
	ENCRYPT_RING_ARRIVAL, DECRYPT_RING_ARRIVAL, TX_QUEUE_ARRIVAL, RX_QUEUE_ARRIVAL,
	ENCRYPT_RING_DEPTH, DECRYPT_RING_DEPTH, TX_QUEUE_DEPTH, RX_QUEUE_DEPTH, TX_STAGED_DEPTH,
	SOFTIRQ,
	TX_WORK_POLLS, RX_NAPI_POLLS,
	TX_WORK_ORDER, RX_NAPI_ORDER,
	TX_ENCRYPT_PREEMPTED, RX_DECRYPT_PREEMPTED, ENCRYPT_WORK_PREEMPTED, DECRYPT_WORK_PREEMPTED,
	KINDS
};

/* Counted with --detail alone, in blocks of their own; the numbers go on. */
enum detail_kind {
	ENCRYPT_WORK_WAKE = KINDS, DECRYPT_WORK_WAKE, TX_WORK_WAKE, RX_NAPI_WAKE,
	ENCRYPT_RING_PRODUCER_LOCK, ENCRYPT_RING_CONSUMER_LOCK, DECRYPT_RING_PRODUCER_LOCK, DECRYPT_RING_CONSUMER_LOCK,
	IPIS,
	ALL_KINDS
};

/* Counters of a stage. */
enum { S_PACKETS, S_BYTES, S_SERVICE_NS, S_NESTED_NS, S_FAILED, S_CALLS };
/* Counters of a work item or NAPI. */
enum { X_EXECUTIONS, X_PACKETS, X_BUSY_NS, X_EMPTY, X_EMPTY_NS, X_WAKEUPS, X_DELAY_NS, X_DELAYED };
/* Counters of arrivals at a queue. */
enum { A_HANDOFFS, A_PACKETS, A_REFUSED, A_REFUSED_PACKETS, A_DEPTH_SUM, A_DEPTH_MAX, A_OUTSIDE };
/* Counters of depths seen by the clock. */
enum { D_SAMPLES, D_DEPTH_SUM, D_DEPTH_MAX, D_OCCUPIED };
/* Counters of softirqs: runs and time outside the stages. */
enum { I_NET_RX_RUNS, I_NET_RX_NS, I_NET_TX_RUNS, I_NET_TX_NS, I_OTHER_RUNS, I_OTHER_NS };
/* Of the cells below, too, every event raises the first, the fifth or the sixth counter. */
/* Counters of executions by what they found. */
enum { P_PRODUCTIVE, P_MISSED, P_MISSED_WASTED, P_NESTED, P_EMPTY_QUEUE, P_HEAD_NOT_READY, P_NESTED_WASTED, P_NESTED_WASTED_NS };
/* Counters of a server that keeps order: heads that were not ready, and moves to another CPU. */
enum { O_EPISODES, O_BLOCKED_NS, O_TIMED, O_TIMED_NS, O_MOVES, O_READY_NS, O_STAY_NS };
/* Counters of what ran on top of a packet's encryption or decryption, or of its worker between packets. */
enum { N_CALLS, N_SOFTIRQ_NS, N_NET_RX, N_NET_RX_NS, N_SOFTIRQS, N_SWITCHES, N_SWITCHED_NS };
/* Counters of threads that were woken to work. */
enum { W_WOKEN, W_RUNQUEUE_NS };
/* Counters of a lock. */
enum { L_WAITS, L_WAIT_NS };
/* Counters of interrupts between CPUs. */
enum { C_RESCHEDULES, C_CALLS, C_SENT_STAGE, C_SENT_RECEIVE, C_SENT_WORK, C_SENT_POLL, C_SENT_ELSEWHERE };

struct cell {
	u64 counter[COUNTERS];
	u32 histogram[BUCKETS];
};

/* All cells of one object on one CPU. */
struct block {
	struct cell cell[KINDS];
};

enum point {
	POINT_STAGE = 1, POINT_ENCRYPT, POINT_SEND,
	POINT_RECEIVE, POINT_DECRYPT, POINT_DELIVER,
};

#define EVENT_HEAD 1
#define EVENT_FAILED 2

/* One step of a sampled packet. */
struct journey_event {
	u64 end_ns;
	u64 nonce;
	u32 key_index;
	u32 service_ns;
	u16 cpu;
	u16 slot;
	u8 point;
	u8 flags;
	u16 extra;
};

enum object_kind { OBJECT_FREE, OBJECT_DEVICE, OBJECT_PEER, OBJECT_GONE };

#define NAME_SIZE 16
#define KEY_SIZE 32
#define ENDPOINT_SIZE 28

struct object {
	u64 address;		/* of the wg_peer or wg_device */
	u64 id;			/* peer: internal_id; device: its address */
	u64 device;		/* address of the wg_device */
	u64 netns;		/* inode number */
	u64 first_seen_ns;
	u64 napi_scheduled_ns;	/* peer: since when its NAPI is to be polled, 0 once it is */
	u64 work_queued_ns;	/* peer: when its transmit work was last queued, 0 once it runs */
	u32 kind;
	u32 device_slot;
	u32 ifindex;
	u32 threaded;
	char name[NAME_SIZE];	/* of the interface */
	u8 public_key[KEY_SIZE];
	u8 endpoint[ENDPOINT_SIZE];	/* a sockaddr_in or sockaddr_in6 */
	u32 reserved;
};

/* Losses, one row a CPU. */
enum loss {
	LOSS_RING_FULL,		/* journey events that found the ring buffer full */
	LOSS_UNMATCHED,		/* returns whose start was not seen */
	LOSS_CLOBBERED,		/* starts overwritten before their return */
	LOSS_SLOTS,		/* packets of objects for which no slot was free */
	LOSSES
};

/* Which nonces are sampled, see is_below, and how far apart they are. */
struct sampling {
	u64 below;		/* 0: none */
	u32 up;			/* nonces until one that may be sampled, */
	u32 up_by;		/* and what that adds to its multiple */
	u32 down;		/* likewise, */
	u32 down_by;		/* with what it takes away */
};

struct control {
	struct sampling sampling[2];	/* one is in force, the agent writes the other and then turns */
	u32 turn;
	u32 filter_names;	/* how many of the names below are set; 0 takes all interfaces */
	u32 top_slot;		/* highest slot claimed so far */
	u32 clock_cursor;	/* slot the clock looked at last */
	char names[8][NAME_SIZE];
};

#endif
