// SPDX-License-Identifier: GPL-2.0
/*
 * The switch between queued and inline, per device and at run time:
 * /sys/class/net/DEVICE/wgprof/mode.  Nothing in flight is lost, and no packet
 * of a flow overtakes another: between the two ways lies a moment in which new
 * packets wait (WGPROF_HOLD) until the old way is empty.
 */
#include "wgprof_inline.h"
#include "wgprof_cell.h"
#include "device.h"
#include "messages.h"
#include "peer.h"
#include "queueing.h"

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sysfs.h>

/* How long a switch waits for the old way to empty before it goes on and says so. */
#define WGPROF_SWITCH_TIMEOUT (2 * HZ)

/* Held packets handled in one go with bottom halves off. */
#define WGPROF_RELEASE_BATCH 64

/* After this many batches the rest is done while arrivals wait, or a flood would never let it end. */
#define WGPROF_RELEASE_ROUNDS 128
#define WGPROF_REQUEUE_ROUNDS 16

static const char *const wgprof_mode_names[] = {
	[WGPROF_QUEUED] = "queued",
	[WGPROF_INLINE] = "inline",
	NULL,
};

static int wgprof_default_mode = WGPROF_INLINE;

static int wgprof_default_set(const char *value, const struct kernel_param *param)
{
	int mode = sysfs_match_string(wgprof_mode_names, value);

	if (mode < 0)
		return mode;
	WRITE_ONCE(wgprof_default_mode, mode);
	return 0;
}

static int wgprof_default_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%s\n", wgprof_mode_names[READ_ONCE(wgprof_default_mode)]);
}

static const struct kernel_param_ops wgprof_default_ops = {
	.set = wgprof_default_set,
	.get = wgprof_default_get,
};
module_param_cb(wgprof_mode, &wgprof_default_ops, NULL, 0644);
MODULE_PARM_DESC(wgprof_mode, "Mode of devices made from now on: inline (default) or queued");

static bool wgprof_peer_idle(struct wg_peer *peer)
{
	return !atomic_read(&peer->rx_queue.count) && !READ_ONCE(peer->rx_queue.peeked) &&
	       !test_bit(NAPI_STATE_SCHED, &peer->napi.state);
}

static bool wgprof_device_idle(struct wg_device *wg)
{
	struct wg_peer *peer;

	list_for_each_entry(peer, &wg->peer_list, peer_list) {
		if (!wgprof_peer_idle(peer))
			return false;
	}
	return wgprof_cells_idle(wg->wgprof.cells);
}

/* Waits until nothing is left in either way.  The mode is WGPROF_HOLD. */
static void wgprof_wait_idle(struct wg_device *wg)
{
	unsigned long deadline = jiffies + WGPROF_SWITCH_TIMEOUT;

	synchronize_rcu_expedited();		/* whoever saw the old mode is through */
	flush_workqueue(wg->packet_crypt_wq);	/* encrypted, decrypted */
	flush_workqueue(wg->packet_crypt_wq);	/* sent */
	while (!wgprof_device_idle(wg)) {	/* delivered */
		if (time_after(jiffies, deadline)) {
			netdev_warn(wg->dev, "packets are still being delivered after the mode switch; order may suffer\n");
			return;
		}
		usleep_range(100, 500);
	}
}

static void wgprof_receive_queued(struct wg_peer *peer, struct sk_buff *skb)
{
	struct wg_device *wg = peer->device;
	int ret = wg_queue_enqueue_per_device_and_peer(&wg->decrypt_queue, &peer->rx_queue, skb,
						       wg->packet_crypt_wq);

	if (unlikely(ret == -EPIPE))
		wg_queue_enqueue_per_peer_rx(skb, PACKET_STATE_DEAD);
	if (likely(!ret || ret == -EPIPE))
		return;
	wg_noise_keypair_put(PACKET_CB(skb)->keypair, false);
	wg_peer_put(peer);
	dev_kfree_skb(skb);
}

/* Room in the peer's queue, or what was held would be dropped for want of it. */
static void wgprof_wait_room(struct wg_peer *peer)
{
	unsigned long deadline = jiffies + WGPROF_SWITCH_TIMEOUT;

	while (atomic_read(&peer->rx_queue.count) > MAX_QUEUED_PACKETS / 4 &&
	       time_before(jiffies, deadline))
		usleep_range(100, 500);
}

static void wgprof_release_batch(struct wg_peer *peer, struct sk_buff_head *packets)
{
	struct sk_buff *skb;

	while ((skb = __skb_dequeue(packets)) != NULL) {
		if (READ_ONCE(peer->device->wgprof.mode) == WGPROF_INLINE)
			wgprof_inline_decrypt(peer, skb, true);
		else
			wgprof_receive_queued(peer, skb);
	}
}

/* Handles, in order, what was received during the switch.  The last batch is done under the lock. */
static void wgprof_release_held(struct wg_peer *peer)
{
	struct sk_buff_head *hold = &peer->wgprof.rx_hold, batch;
	unsigned int round, taken;
	bool last;

	__skb_queue_head_init(&batch);
	for (round = 0, last = false; !last; ++round) {
		wgprof_wait_room(peer);
		rcu_read_lock_bh();
		spin_lock(&hold->lock);
		last = skb_queue_len(hold) <= WGPROF_RELEASE_BATCH || round >= WGPROF_RELEASE_ROUNDS;
		if (last) {
			wgprof_release_batch(peer, hold);
			smp_store_release(&peer->wgprof.rx_held, false);
			spin_unlock(&hold->lock);
		} else {
			for (taken = 0; taken < WGPROF_RELEASE_BATCH; ++taken)
				__skb_queue_tail(&batch, __skb_dequeue(hold));
			spin_unlock(&hold->lock);
			wgprof_release_batch(peer, &batch);
		}
		rcu_read_unlock_bh();
		cond_resched();
	}
}

/*
 * A switch to queued: packets that were held go into the rings before any
 * other.  `draining` is set before the mode is, so that whoever stages a packet
 * from then on leaves it to us, and we look once more before we end.
 */
static void wgprof_requeue_begin(struct wg_peer *peer)
{
	spin_lock_bh(&peer->staged_packet_queue.lock);
	WRITE_ONCE(peer->wgprof.requeuer, current);
	smp_store_release(&peer->wgprof.draining, true);
	spin_unlock_bh(&peer->staged_packet_queue.lock);
}

static void wgprof_requeue(struct wg_peer *peer)
{
	unsigned int round;
	bool empty = false;

	for (round = 0; !empty && round < WGPROF_REQUEUE_ROUNDS; ++round) {
		local_bh_disable(); /* a softirq on this CPU would pass for us, see wgprof_inline_send_staged() */
		wg_packet_send_staged_packets(peer);
		spin_lock(&peer->staged_packet_queue.lock);
		empty = skb_queue_empty(&peer->staged_packet_queue);
		if (empty || round == WGPROF_REQUEUE_ROUNDS - 1) {
			WRITE_ONCE(peer->wgprof.requeuer, NULL);
			smp_store_release(&peer->wgprof.draining, false);
		}
		spin_unlock(&peer->staged_packet_queue.lock);
		local_bh_enable();
	}
	if (!empty) /* no key, or a flood */
		wg_packet_send_staged_packets(peer);
}

static void wgprof_switch(struct wg_device *wg, enum wgprof_mode mode)
{
	struct wg_peer *peer;

	lockdep_assert_held(&wg->device_update_lock);
	if (wg->wgprof.mode == mode)
		return;
	WRITE_ONCE(wg->wgprof.switching, true);
	smp_store_release(&wg->wgprof.mode, WGPROF_HOLD);
	wgprof_wait_idle(wg);
	if (mode == WGPROF_QUEUED) {
		list_for_each_entry(peer, &wg->peer_list, peer_list)
			wgprof_requeue_begin(peer);
	}
	smp_store_release(&wg->wgprof.mode, mode);
	synchronize_rcu_expedited(); /* nobody puts anything on hold any more, except behind what is there */
	if (mode == WGPROF_INLINE)
		usleep_range(1000, 2000); /* who sends now sends what was held, on the CPU its flow is on */
	list_for_each_entry(peer, &wg->peer_list, peer_list) {
		if (mode == WGPROF_QUEUED)
			wgprof_requeue(peer);
		else
			wg_packet_send_staged_packets(peer);
		wgprof_release_held(peer);
	}
	WRITE_ONCE(wg->wgprof.switching, false);
}

static ssize_t mode_show(struct device *device, struct device_attribute *attr, char *buffer)
{
	struct wg_device *wg = netdev_priv(to_net_dev(device));
	ssize_t len;

	mutex_lock(&wg->device_update_lock);
	len = sysfs_emit(buffer, "%s\n", wgprof_mode_names[wg->wgprof.mode]);
	mutex_unlock(&wg->device_update_lock);
	return len;
}

static ssize_t mode_store(struct device *device, struct device_attribute *attr, const char *text, size_t len)
{
	struct wg_device *wg = netdev_priv(to_net_dev(device));
	int mode = sysfs_match_string(wgprof_mode_names, text);

	if (mode < 0)
		return mode;
	mutex_lock(&wg->device_update_lock);
	if (wg->wgprof.cells)
		wgprof_switch(wg, mode);
	else
		mode = -ENODEV; /* written while the device is being removed */
	mutex_unlock(&wg->device_update_lock);
	return mode < 0 ? mode : len;
}
static DEVICE_ATTR_RW(mode);

static struct attribute *wgprof_attrs[] = {
	&dev_attr_mode.attr,
	NULL,
};

static const struct attribute_group wgprof_group = {
	.name = "wgprof",
	.attrs = wgprof_attrs,
};

/* ndo_init: before the device can be seen. */
int wgprof_device_init(struct net_device *dev)
{
	struct wg_device *wg = netdev_priv(dev);

	wg->wgprof.mode = READ_ONCE(wgprof_default_mode);
	wg->wgprof.napi_dev = wgprof_napi_dev_create();
	if (!wg->wgprof.napi_dev)
		return -ENOMEM;
	wg->wgprof.cells = wgprof_cells_create(wg->wgprof.napi_dev);
	if (!wg->wgprof.cells) {
		wgprof_napi_dev_destroy(wg->wgprof.napi_dev);
		return -ENOMEM;
	}
	dev->sysfs_groups[0] = &wgprof_group;
	return 0;
}

/*
 * ndo_uninit: the device is down, its sockets are closed, so nothing is
 * received any more.  But its files in sysfs go only after this, and a write to
 * `mode` may be under way.
 */
void wgprof_device_uninit(struct net_device *dev)
{
	struct wg_device *wg = netdev_priv(dev);

	mutex_lock(&wg->device_update_lock);
	wgprof_cells_destroy(wg->wgprof.cells);
	wg->wgprof.cells = NULL;
	wgprof_napi_dev_destroy(wg->wgprof.napi_dev);
	mutex_unlock(&wg->device_update_lock);
}
