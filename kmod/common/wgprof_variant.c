// SPDX-License-Identifier: GPL-2.0
/*
 * What this build of WireGuard is, for modinfo and for
 * /sys/module/wireguard/parameters/: nobody should ever have to guess which
 * variant produced a recording.
 *
 * The build passes WGPROF_VARIANT, WGPROF_PATCH_HASH and WGPROF_SOURCE.
 */
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sysfs.h>

MODULE_INFO(wgprof_variant, WGPROF_VARIANT);
MODULE_INFO(wgprof_patch, WGPROF_PATCH_HASH);
MODULE_INFO(wgprof_source, WGPROF_SOURCE);

static int wgprof_text_set(const char *value, const struct kernel_param *param)
{
	return -EPERM; /* a fact of the build, not a setting */
}

static int wgprof_text_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%s\n", (const char *)param->arg);
}

static const struct kernel_param_ops wgprof_text_ops = {
	.set = wgprof_text_set,
	.get = wgprof_text_get,
};

static char wgprof_variant[] = WGPROF_VARIANT;
static char wgprof_patch[] = WGPROF_PATCH_HASH;
static char wgprof_source[] = WGPROF_SOURCE;

module_param_cb(wgprof_variant, &wgprof_text_ops, wgprof_variant, 0444);
MODULE_PARM_DESC(wgprof_variant, "Which variant this module is (read-only)");
module_param_cb(wgprof_patch, &wgprof_text_ops, wgprof_patch, 0444);
MODULE_PARM_DESC(wgprof_patch, "Hash of the patch set that made it (read-only)");
module_param_cb(wgprof_source, &wgprof_text_ops, wgprof_source, 0444);
MODULE_PARM_DESC(wgprof_source, "Version of the source package it was made from (read-only)");
