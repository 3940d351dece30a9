// SPDX-License-Identifier: GPL-2.0
/*
 * The lab's crypto dial: THE PACKETS ARE NOT ENCRYPTED.
 *
 * Emulation makes ChaCha20-Poly1305 far dearer than it is on a processor, and
 * so hides everything else.  This build does a set amount of work instead, so
 * that crypto takes a chosen share of what a packet costs.  The work is a
 * number of instructions, calibrated to time once, at load.
 *
 * It loads only where the kernel's command line says that this is the lab.
 */
#include "wgprof_lab.h"

#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/string.h>

#define WGPROF_LAB_TOKEN "wgprof.lab=crypto-dial"
#define WGPROF_LAB_CALIBRATION 200000UL

MODULE_INFO(wgprof_lab_only, "the packets are not encrypted");

static unsigned int wgprof_crypto_permille;
module_param(wgprof_crypto_permille, uint, 0444);
MODULE_PARM_DESC(wgprof_crypto_permille, "Share of crypto in a packet's cost, 100 to 600 (required)");

static unsigned int wgprof_rest_ns = 35000;
module_param(wgprof_rest_ns, uint, 0444);
MODULE_PARM_DESC(wgprof_rest_ns, "What a packet costs at one end without crypto, in nanoseconds");

static unsigned int wgprof_crypto_ns;
module_param(wgprof_crypto_ns, uint, 0444);
MODULE_PARM_DESC(wgprof_crypto_ns, "What the work in the cipher's place costs (result of the calibration)");

static unsigned long wgprof_crypto_steps;
module_param(wgprof_crypto_steps, ulong, 0444);
MODULE_PARM_DESC(wgprof_crypto_steps, "How many steps that work has (result of the calibration, unless given)");

/* A chain of dependent additions and rotations, which is what the cipher is made of. */
static noinline void wgprof_lab_work(unsigned long steps)
{
	u32 a = 1, b = 2;

	while (steps--) {
		a += b;
		b = (b << 7 | b >> 25) ^ a;
		asm volatile("" : "+r" (b)); /* nobody reads the result, but it has to be worked out */
	}
}

/* Stands in for the cipher on a data packet. */
bool wgprof_lab_cipher(void)
{
	wgprof_lab_work(wgprof_crypto_steps);
	return true;
}

static void wgprof_lab_calibrate(void)
{
	u64 best = U64_MAX, took;
	int i;

	for (i = 0; i < 5; ++i) {
		took = ktime_get_ns();
		wgprof_lab_work(WGPROF_LAB_CALIBRATION);
		took = ktime_get_ns() - took;
		best = clamp(took, 1ULL, best);
	}
	wgprof_crypto_ns = (u64)wgprof_rest_ns * wgprof_crypto_permille / (1000 - wgprof_crypto_permille);
	if (!wgprof_crypto_steps) /* given: the same work as in another load, whatever the clock says today */
		wgprof_crypto_steps = wgprof_crypto_ns * WGPROF_LAB_CALIBRATION / best;
}

static bool wgprof_lab_is_lab(void)
{
	struct file *file = filp_open("/proc/cmdline", O_RDONLY, 0);
	char *line, *word, *rest;
	bool found = false;
	loff_t position = 0;

	if (IS_ERR(file))
		return false;
	line = kzalloc(PAGE_SIZE, GFP_KERNEL);
	if (line && kernel_read(file, line, PAGE_SIZE - 1, &position) > 0) {
		rest = strim(line);
		while (!found && (word = strsep(&rest, " ")) != NULL)
			found = !strcmp(word, WGPROF_LAB_TOKEN);
	}
	kfree(line);
	filp_close(file, NULL);
	return found;
}

int wgprof_lab_init(void)
{
	if (!wgprof_lab_is_lab()) {
		pr_err("this build does not encrypt and is for wgprof's lab only; refusing to load\n");
		return -EPERM;
	}
	if (wgprof_crypto_permille < 100 || wgprof_crypto_permille > 600) {
		pr_err("wgprof_crypto_permille must be 100 to 600\n");
		return -EINVAL;
	}
	wgprof_lab_calibrate();
	pr_warn("LAB BUILD: PACKETS ARE NOT ENCRYPTED; crypto is set to %u/1000 of a packet, %u ns, %lu steps\n",
		wgprof_crypto_permille, wgprof_crypto_ns, wgprof_crypto_steps);
	return 0;
}
