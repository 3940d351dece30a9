// SPDX-License-Identifier: GPL-2.0
/*
 * Where WireGuard's tasks run.  A chosen CPU that is offline is never used:
 * what is left of the list is, and if nothing is left, WireGuard's own choice.
 */
#include "wgprof_steered.h"
#include "device.h"
#include "peer.h"
#include "queueing.h"

#include <linux/netdevice.h>
#include <linux/rcupdate.h>
#include <linux/topology.h>

/* The online CPU of @mask, and of @node unless that is NULL, that follows @last round robin; or nr_cpu_ids. */
static int wgprof_next_cpu(int last, const struct cpumask *mask, const struct cpumask *node)
{
	int first = nr_cpu_ids, cpu;

	for_each_cpu_and(cpu, mask, cpu_online_mask) {
		if (node && !cpumask_test_cpu(cpu, node))
			continue;
		if (cpu > last)
			return cpu;
		if (first >= nr_cpu_ids)
			first = cpu;
	}
	return first;
}

/*
 * The CPU whose worker is woken for a packet that was put on @queue.  As in
 * WireGuard, `last_cpu` may race, which is harmless.
 */
int wgprof_steered_crypt_cpu(struct crypt_queue *queue)
{
	const struct cpumask *mask = cpu_possible_mask;
	const struct wgprof_cpus *cpus;
	int cpu, last;

	rcu_read_lock();
	cpus = rcu_dereference(queue->wgprof.cpus);
	if (likely(!cpus && !READ_ONCE(queue->wgprof.numa_local))) {
		cpu = wg_cpumask_next_online(&queue->last_cpu);
		goto out;
	}
	if (cpus)
		mask = &cpus->mask;
	last = READ_ONCE(queue->last_cpu);
	cpu = nr_cpu_ids;
	if (READ_ONCE(queue->wgprof.numa_local))
		cpu = wgprof_next_cpu(last, mask, cpumask_of_node(numa_node_id()));
	if (cpu >= nr_cpu_ids)
		cpu = wgprof_next_cpu(last, mask, NULL);
	if (unlikely(cpu >= nr_cpu_ids))
		cpu = wg_cpumask_next_online(&queue->last_cpu);
	else
		WRITE_ONCE(queue->last_cpu, cpu);
out:
	rcu_read_unlock();
	return cpu;
}

/* The CPU of @list that serves @peer: peers take turns by their number.  nr_cpu_ids: no choice was made. */
static int wgprof_peer_cpu(const struct wgprof_cpus *list, const struct wg_peer *peer)
{
	unsigned int online = 0, nth;
	int cpu, last = nr_cpu_ids;

	if (likely(!list))
		return nr_cpu_ids;
	for_each_cpu_and(cpu, &list->mask, cpu_online_mask)
		++online;
	if (unlikely(!online))
		return nr_cpu_ids;
	nth = peer->internal_id % online;
	for_each_cpu_and(cpu, &list->mask, cpu_online_mask) {
		last = cpu;
		if (!nth--)
			break;
	}
	return last;
}

/* The CPU that runs @peer's transmit work.  The work never runs on two CPUs at once, whatever is chosen. */
int wgprof_steered_transmit_cpu(struct wg_peer *peer)
{
	int cpu;

	rcu_read_lock();
	cpu = wgprof_peer_cpu(rcu_dereference(peer->device->wgprof.transmit_cpus), peer);
	rcu_read_unlock();
	if (likely(cpu >= nr_cpu_ids))
		cpu = wg_cpumask_choose_online(&peer->serial_work_cpu, peer->internal_id);
	return cpu;
}

static void wgprof_deliver_here(void *arg)
{
	struct wg_peer *peer = arg;

	__napi_schedule(&peer->napi);
}

/*
 * Wakes @peer's NAPI on its chosen CPU.  Who wins napi_schedule_prep() owns
 * the NAPI until it was polled, so there is one wake-up at a time, and
 * napi_disable() waits for it before the peer can go.
 */
void wgprof_steered_deliver(struct wg_peer *peer)
{
	int cpu;

	rcu_read_lock();
	cpu = wgprof_peer_cpu(rcu_dereference(peer->device->wgprof.deliver_cpus), peer);
	rcu_read_unlock();
	if (!napi_schedule_prep(&peer->napi))
		return;
	if (cpu >= nr_cpu_ids || test_bit(NAPI_STATE_THREADED, &peer->napi.state)) {
		__napi_schedule(&peer->napi);
		return;
	}
	if (cpu == get_cpu() || smp_call_function_single_async(cpu, &peer->wgprof.deliver))
		__napi_schedule(&peer->napi); /* here already, or that CPU has just gone */
	put_cpu();
}

void wgprof_peer_init(struct wg_peer *peer)
{
	INIT_CSD(&peer->wgprof.deliver, wgprof_deliver_here, peer);
}
