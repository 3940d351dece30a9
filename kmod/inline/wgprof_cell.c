// SPDX-License-Identifier: GPL-2.0
#include "wgprof_cell.h"
#include "messages.h"

#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/version.h>

/* A function of its own: where the probes see a packet's delivery go on. */
noinline void wgprof_cell_deliver(struct napi_struct *napi, struct sk_buff *skb)
{
	napi_gro_receive(napi, skb);
}

/* The queue is filled and emptied on its CPU; the lock is for a CPU that left and came back. */
int wgprof_cell_poll(struct napi_struct *napi, int budget)
{
	struct wgprof_cell *cell = container_of(napi, struct wgprof_cell, napi);
	struct sk_buff *skb;
	int work_done = 0;

	while (work_done < budget && (skb = skb_dequeue(&cell->queue)) != NULL) {
		wgprof_cell_deliver(napi, skb);
		++work_done;
	}
	if (work_done < budget)
		napi_complete_done(napi, work_done);
	return work_done;
}

/* Bottom halves are off. */
void wgprof_cell_receive(struct wgprof_cell __percpu *cells, struct sk_buff *skb)
{
	struct wgprof_cell *cell = this_cpu_ptr(cells);
	bool was_empty;

	if (unlikely(skb_queue_len_lockless(&cell->queue) >= MAX_QUEUED_PACKETS)) {
		dev_core_stats_rx_dropped_inc(skb->dev);
		kfree_skb(skb);
		return;
	}
	spin_lock(&cell->queue.lock);
	was_empty = skb_queue_empty(&cell->queue);
	__skb_queue_tail(&cell->queue, skb);
	spin_unlock(&cell->queue.lock);
	if (was_empty)
		napi_schedule(&cell->napi);
}

struct wgprof_cell __percpu *wgprof_cells_create(struct net_device *napi_dev)
{
	struct wgprof_cell __percpu *cells = alloc_percpu(struct wgprof_cell);
	int cpu;

	if (!cells)
		return NULL;
	for_each_possible_cpu(cpu) {
		struct wgprof_cell *cell = per_cpu_ptr(cells, cpu);

		skb_queue_head_init(&cell->queue);
		set_bit(NAPI_STATE_NO_BUSY_POLL, &cell->napi.state);
		netif_napi_add(napi_dev, &cell->napi, wgprof_cell_poll);
		napi_enable(&cell->napi);
	}
	return cells;
}

/* The caller made sure that nothing is received any more. */
void wgprof_cells_destroy(struct wgprof_cell __percpu *cells)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct wgprof_cell *cell = per_cpu_ptr(cells, cpu);

		napi_disable(&cell->napi);
		__netif_napi_del(&cell->napi);
		skb_queue_purge(&cell->queue);
	}
	synchronize_net(); /* __netif_napi_del() asks for it */
	free_percpu(cells);
}

bool wgprof_cells_idle(struct wgprof_cell __percpu *cells)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct wgprof_cell *cell = per_cpu_ptr(cells, cpu);

		if (!skb_queue_empty_lockless(&cell->queue) ||
		    test_bit(NAPI_STATE_SCHED, &cell->napi.state))
			return false;
	}
	return true;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0) /* alloc_netdev_dummy() came with c661050f93d3 */
struct net_device *wgprof_napi_dev_create(void)
{
	return alloc_netdev_dummy(0);
}

void wgprof_napi_dev_destroy(struct net_device *dev)
{
	free_netdev(dev);
}
#else
struct net_device *wgprof_napi_dev_create(void)
{
	struct net_device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (dev)
		init_dummy_netdev(dev);
	return dev;
}

void wgprof_napi_dev_destroy(struct net_device *dev)
{
	kfree(dev);
}
#endif
