// SPDX-License-Identifier: GPL-2.0
/*
 * The choices in /sys/class/net/DEVICE/wgprof/: encrypt_cpus, decrypt_cpus,
 * transmit_cpus, deliver_cpus (CPU lists such as 0-3,8; "any" is WireGuard's
 * own choice) and numa_local (0 or 1).  A list that cannot be is refused with
 * EINVAL and changes nothing.
 */
#include "wgprof_steered.h"
#include "device.h"

#include <linux/cpumask.h>
#include <linux/netdevice.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

static struct wg_device *wgprof_wg(struct device *device)
{
	return netdev_priv(to_net_dev(device));
}

/* The list in @text, NULL for "any", or an error. */
static struct wgprof_cpus *wgprof_cpus_parse(const char *text)
{
	struct wgprof_cpus *cpus;

	if (sysfs_streq(text, "any"))
		return NULL;
	cpus = kzalloc(sizeof(*cpus), GFP_KERNEL);
	if (!cpus)
		return ERR_PTR(-ENOMEM);
	if (!cpulist_parse(text, &cpus->mask) &&
	    cpumask_subset(&cpus->mask, cpu_possible_mask) &&
	    cpumask_intersects(&cpus->mask, cpu_online_mask))
		return cpus;
	kfree(cpus);
	return ERR_PTR(-EINVAL);
}

static ssize_t wgprof_cpus_store(struct wg_device *wg, struct wgprof_cpus __rcu **place,
				 const char *text, size_t len)
{
	struct wgprof_cpus *new = wgprof_cpus_parse(text), *old;

	if (IS_ERR(new))
		return PTR_ERR(new);
	mutex_lock(&wg->device_update_lock);
	if (wg->wgprof.is_gone) { /* written while the device is being removed */
		mutex_unlock(&wg->device_update_lock);
		kfree(new);
		return -ENODEV;
	}
	old = rcu_replace_pointer(*place, new, lockdep_is_held(&wg->device_update_lock));
	mutex_unlock(&wg->device_update_lock);
	if (old)
		kfree_rcu(old, rcu);
	return len;
}

static ssize_t wgprof_cpus_show(struct wgprof_cpus __rcu **place, char *buffer)
{
	const struct wgprof_cpus *cpus;
	ssize_t len;

	rcu_read_lock();
	cpus = rcu_dereference(*place);
	if (cpus)
		len = sysfs_emit(buffer, "%*pbl\n", cpumask_pr_args(&cpus->mask));
	else
		len = sysfs_emit(buffer, "any\n");
	rcu_read_unlock();
	return len;
}

#define WGPROF_CPUS_ATTR(_name, _place)								\
static ssize_t _name##_show(struct device *device, struct device_attribute *attr, char *buffer)	\
{												\
	return wgprof_cpus_show(&wgprof_wg(device)->_place, buffer);				\
}												\
static ssize_t _name##_store(struct device *device, struct device_attribute *attr,		\
			     const char *text, size_t len)					\
{												\
	struct wg_device *wg = wgprof_wg(device);						\
												\
	return wgprof_cpus_store(wg, &wg->_place, text, len);					\
}												\
static DEVICE_ATTR_RW(_name)

WGPROF_CPUS_ATTR(encrypt_cpus, encrypt_queue.wgprof.cpus);
WGPROF_CPUS_ATTR(decrypt_cpus, decrypt_queue.wgprof.cpus);
WGPROF_CPUS_ATTR(transmit_cpus, wgprof.transmit_cpus);
WGPROF_CPUS_ATTR(deliver_cpus, wgprof.deliver_cpus);

static ssize_t numa_local_show(struct device *device, struct device_attribute *attr, char *buffer)
{
	return sysfs_emit(buffer, "%d\n", READ_ONCE(wgprof_wg(device)->encrypt_queue.wgprof.numa_local));
}

static ssize_t numa_local_store(struct device *device, struct device_attribute *attr,
				const char *text, size_t len)
{
	struct wg_device *wg = wgprof_wg(device);
	bool value;

	if (kstrtobool(text, &value))
		return -EINVAL;
	WRITE_ONCE(wg->encrypt_queue.wgprof.numa_local, value);
	WRITE_ONCE(wg->decrypt_queue.wgprof.numa_local, value);
	return len;
}
static DEVICE_ATTR_RW(numa_local);

static struct attribute *wgprof_attrs[] = {
	&dev_attr_encrypt_cpus.attr,
	&dev_attr_decrypt_cpus.attr,
	&dev_attr_transmit_cpus.attr,
	&dev_attr_deliver_cpus.attr,
	&dev_attr_numa_local.attr,
	NULL,
};

static const struct attribute_group wgprof_group = {
	.name = "wgprof",
	.attrs = wgprof_attrs,
};

/* ndo_init: before the device can be seen. */
int wgprof_device_init(struct net_device *dev)
{
	dev->sysfs_groups[0] = &wgprof_group;
	return 0;
}

static void wgprof_cpus_drop(struct wgprof_cpus __rcu **place)
{
	struct wgprof_cpus *old = unrcu_pointer(xchg(place, NULL));

	if (old)
		kfree_rcu(old, rcu);
}

/*
 * ndo_uninit: packets may still be on their way, with WireGuard's own choices.
 * The files in sysfs go only after this: a late write must not leave a list.
 */
void wgprof_device_uninit(struct net_device *dev)
{
	struct wg_device *wg = netdev_priv(dev);

	mutex_lock(&wg->device_update_lock);
	wg->wgprof.is_gone = true;
	wgprof_cpus_drop(&wg->encrypt_queue.wgprof.cpus);
	wgprof_cpus_drop(&wg->decrypt_queue.wgprof.cpus);
	wgprof_cpus_drop(&wg->wgprof.transmit_cpus);
	wgprof_cpus_drop(&wg->wgprof.deliver_cpus);
	mutex_unlock(&wg->device_update_lock);
}
