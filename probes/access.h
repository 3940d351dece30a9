/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading kernel memory and being called by it.
 *
 * A handler takes its arguments as numbers plus `typed`: true when it was called through fentry,
 * where the verifier knows the arguments' types and plain loads are allowed and safe (the kernel
 * handles a fault).  `typed` is always a constant, so one of the two branches disappears.  The loads
 * are in assembly because bcc would otherwise rewrite them.
 *
 * Any other address is given a type first where the kernel has bpf_rdonly_cast (6.2 and newer): the
 * verifier makes that a move, and the load is as safe and as cheap as a typed one.  Set by the loader with
 * -D: CAST_CALL, a number the loader replaces by the kernel function's, and CAST_TYPE, the BTF id of a
 * structure that is nothing but 16 bytes of numbers.  Without it a load is a bpf_probe_read_kernel.
 */
#ifndef WGPROF_ACCESS_H
#define WGPROF_ACCESS_H

#define INLINE static inline __attribute__((always_inline))

INLINE u64 direct64(u64 typed_address)
{
	u64 value;

	asm volatile("%0 = *(u64 *)(%1 + 0)" : "=r"(value) : "r"(typed_address));
	return value;
}

INLINE u32 direct32(u64 typed_address)
{
	u32 value;

	asm volatile("%0 = *(u32 *)(%1 + 0)" : "=r"(value) : "r"(typed_address));
	return value;
}

/* Two words that lie side by side. */
struct pair {
	u64 first, second;
};

#ifdef CAST_CALL
static u64 (*const rdonly_cast)(u64 address, u64 type) = (void *)CAST_CALL;

INLINE u64 read64(u64 address)
{
	return direct64(rdonly_cast(address, CAST_TYPE));
}

INLINE u32 read32(u64 address)
{
	return direct32(rdonly_cast(address, CAST_TYPE));
}

INLINE struct pair read_pair(u64 address)
{
	u64 cast = rdonly_cast(address, CAST_TYPE);
	struct pair pair = { .first = direct64(cast), .second = direct64(cast + 8) };

	return pair;
}
#else
INLINE u64 read64(u64 address)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

INLINE u32 read32(u64 address)
{
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

INLINE struct pair read_pair(u64 address)
{
	struct pair pair = {};

	bpf_probe_read_kernel(&pair, sizeof(pair), (void *)address);
	return pair;
}
#endif

INLINE u64 load64(u64 base, u32 offset, bool typed)
{
	return typed ? direct64(base + offset) : read64(base + offset);
}

INLINE u32 load32(u64 base, u32 offset, bool typed)
{
	return typed ? direct32(base + offset) : read32(base + offset);
}

/*
 * Attachments.  The loader appends one line for each point it could resolve, for example
 * FENTRY2(kfunc__wireguard__wg_xmit, on_xmit) or KPROBE2(probe_xmit, on_xmit).  The number is
 * that of the arguments the handler takes; n is that of the arguments the kernel function has,
 * behind which fexit finds the return value.
 */
#define FENTRY1(program, handler) int program(u64 *ctx) { return handler(ctx[0], true); }
#define FENTRY2(program, handler) int program(u64 *ctx) { return handler(ctx[0], ctx[1], true); }
#define FENTRY3(program, handler) int program(u64 *ctx) { return handler(ctx[0], ctx[1], ctx[2], true); }
#define FEXIT(program, handler, n) int program(u64 *ctx) { return handler(ctx[n], true); }

/* fexit of a handler that also takes the first two arguments. */
#define FEXIT_TWO(program, handler, n) int program(u64 *ctx) { return handler(ctx[0], ctx[1], ctx[n], true); }

#if defined(__TARGET_ARCH_arm64) || defined(__aarch64__)
#define ARG1(ctx) ((ctx)->regs[0])
#define ARG2(ctx) ((ctx)->regs[1])
#define ARG3(ctx) ((ctx)->regs[2])
#define RETVAL(ctx) ((ctx)->regs[0])
#else
#define ARG1(ctx) ((ctx)->di)
#define ARG2(ctx) ((ctx)->si)
#define ARG3(ctx) ((ctx)->dx)
#define RETVAL(ctx) ((ctx)->ax)
#endif
#define KPROBE1(program, handler) int program(struct pt_regs *ctx) { return handler(ARG1(ctx), false); }
#define KPROBE2(program, handler) int program(struct pt_regs *ctx) { return handler(ARG1(ctx), ARG2(ctx), false); }
#define KPROBE3(program, handler) \
	int program(struct pt_regs *ctx) { return handler(ARG1(ctx), ARG2(ctx), ARG3(ctx), false); }
#define KRETPROBE(program, handler) int program(struct pt_regs *ctx) { return handler(RETVAL(ctx), false); }

#define TRACEPOINT(program, handler, i) \
	int program(struct bpf_raw_tracepoint_args *ctx) { return handler(ctx->args[i]); }
#define TRACEPOINT_TWO(program, handler, i, j) \
	int program(struct bpf_raw_tracepoint_args *ctx) { return handler(ctx->args[i], ctx->args[j]); }
#define CLOCK(program, handler) int program(void *ctx) { return handler(); }

#endif
