/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading kernel memory and being called by it.
 *
 * A handler takes its arguments as numbers plus `typed`: true when it was called through fentry,
 * where the verifier knows the arguments' types and plain loads are allowed and safe (the kernel
 * handles a fault).  Otherwise every load is a bpf_probe_read_kernel.  `typed` is always a
 * constant, so one of the two branches disappears.  The loads are in assembly because bcc would
 * otherwise rewrite them.
 */
#ifndef WGPROF_ACCESS_H
#define WGPROF_ACCESS_H

#define INLINE static inline __attribute__((always_inline))

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

INLINE u64 load64(u64 base, u32 offset, bool typed)
{
	u64 value;

	if (!typed)
		return read64(base + offset);
	asm volatile("%0 = *(u64 *)(%1 + 0)" : "=r"(value) : "r"(base + offset));
	return value;
}

INLINE u32 load32(u64 base, u32 offset, bool typed)
{
	u32 value;

	if (!typed)
		return read32(base + offset);
	asm volatile("%0 = *(u32 *)(%1 + 0)" : "=r"(value) : "r"(base + offset));
	return value;
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
/* fexit that needs the second argument as well. */
#define FEXIT_SECOND(program, handler, n) int program(u64 *ctx) { return handler(ctx[1], ctx[n], true); }

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
#define CLOCK(program, handler) int program(void *ctx) { return handler(); }

#endif
