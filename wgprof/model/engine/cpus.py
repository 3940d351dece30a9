"""What a CPU does next: softirqs before NAPI threads before work items; and who interrupts whom."""

from __future__ import annotations

from wgprof.model.engine.compiled import compiled, inlined
from wgprof.model.engine.crypt import start_crypt
from wgprof.model.engine.fifos import length, pop, push
from wgprof.model.engine.inline import start_inline
from wgprof.model.engine.layout import (
    BUSY_WAKE,
    C_WORKS,
    RX,
    SERVED_DECRYPT,
    SERVED_ENCRYPT,
    SERVED_TX_WORK,
    SOFTIRQ,
    THREAD,
    THREAD_BEGIN,
    WORK,
    WORK_BEGIN,
    Ints,
    Sim,
)
from wgprof.model.engine.napi import start_poll
from wgprof.model.engine.nic import start_nic
from wgprof.model.engine.reading import start_read
from wgprof.model.engine.running import rest, resume, serve, spend, start, suspend
from wgprof.model.engine.sending import start_send, start_xmit


@inlined
def has_thread_work(s: Sim, c: int) -> bool:
    """Whether anything below softirqs wants this CPU."""
    cpu, p = s.cpus[c], s.p[0]
    return bool(cpu.work >= 0 or cpu.thread >= 0 or length(s, p.works + c) > 0 or length(s, p.threads + c) > 0)


@compiled
def dispatch(s: Sim, c: int, now: float) -> None:
    """Give a CPU without a running step its next one."""
    if not s.cpus[c].raised and start_softirq(s, c, now):
        return
    s.cpus[c].in_softirq = 0
    if start_thread(s, c, now) or start_work(s, c, now):
        return
    rest(s, c)


@inlined
def start_softirq(s: Sim, c: int, now: float) -> bool:
    """Go on with the CPU's poll list, unless softirqs have had their time and something waits below.

    Then the thread below finishes its step, and at its next unlock, or interrupt, softirqs go on; or, with `fair`
    (before commit d15121be7485, v6.4), they go on in ksoftirqd alone, which takes turns with that thread.
    """
    cpu = s.cpus[c]
    if cpu.napi < 0 and length(s, c) == 0:
        cpu.ksoftirqd = 0
        return False
    if cpu.in_softirq == 0:
        cpu.in_softirq = 1
        cpu.softirq_since = now
    if cpu.napi < 0:
        limit = s.p[0].slice if cpu.ksoftirqd else s.p[0].softirq_limit
        if now - cpu.softirq_since >= limit and has_thread_work(s, c):
            cpu.yielded = 1
            cpu.ksoftirqd = s.p[0].fair
            cpu.turn_ends = now + s.p[0].slice
        if cpu.yielded:
            if has_thread_work(s, c):
                return False
            cpu.yielded = 0
        cpu.napi = pop(s, c)
    tunnels = s.p[0].tunnels
    if cpu.napi < tunnels:
        start_poll(s, c, SOFTIRQ, cpu.napi, now)
    elif s.p[0].inline:
        start_inline(s, c, cpu.napi - tunnels, now)
    else:
        start_nic(s, c, cpu.napi - tunnels, now)
    return True


@inlined
def start_thread(s: Sim, c: int, now: float) -> bool:
    """Go on with the NAPI thread of this CPU, or switch to the next one."""
    cpu = s.cpus[c]
    if s.steps[3 * c + THREAD].kind:
        resume(s, c, now, THREAD)
        return True
    if cpu.thread >= 0:
        start_poll(s, c, THREAD, cpu.thread, now)
        return True
    if length(s, s.p[0].threads + c) > 0:
        cpu.thread = pop(s, s.p[0].threads + c)
        spend(s, c, BUSY_WAKE, s.p[0].switch)
        start(s, c, now, THREAD, THREAD_BEGIN, cpu.thread, 0, -1, s.p[0].switch)
        return True
    return False


@inlined
def start_work(s: Sim, c: int, now: float) -> bool:
    """Go on with the work item of this CPU, or begin the next one."""
    cpu = s.cpus[c]
    if s.steps[3 * c + WORK].kind:
        resume(s, c, now, WORK)
        return True
    p = s.p[0]
    while True:
        if cpu.work >= 0:
            turn_over = cpu.resched or now - cpu.work_since > p.slice
            if turn_over and length(s, p.works + c) > 0 and not is_amidst(s, c):
                # Each item has a worker of its own, and the scheduler lets them take turns.
                push(s, p.works + c, cpu.work + p.items)
                cpu.work = -1
            elif cpu.work < p.rings:
                start_crypt(s, c, cpu.work, now)
                return True
            elif cpu.work >= p.readers:
                if start_read(s, c, cpu.work - p.readers, now):
                    return True
            elif cpu.work >= p.napi_threads:
                start_poll(s, c, WORK, cpu.work - p.napi_threads, now)
                return True
            elif cpu.work >= p.rings + p.tunnels:
                if start_xmit(s, c, cpu.work - p.rings - p.tunnels, now):
                    return True
            elif start_send(s, c, cpu.work - p.rings, now):
                return True
            continue
        if length(s, p.works + c) == 0:
            return False
        begin_work(s, c, now)
        return True


@inlined
def is_amidst(s: Sim, c: int) -> bool:
    """Whether this CPU's thread holds a packet, or is within a poll: it does not let another go on there."""
    cpu, first = s.cpus[c], s.p[0].napi_threads
    polls = first <= cpu.work < s.p[0].readers
    return bool(cpu.held >= 0 or (polls and s.napis[cpu.work - first].done > 0))


@inlined
def server_of(s: Sim, work: int) -> int:
    """What a recording calls the server that runs a work item."""
    if work >= s.p[0].rings:
        return SERVED_TX_WORK
    return SERVED_DECRYPT if work % 2 == RX else SERVED_ENCRYPT


@inlined
def begin_work(s: Sim, c: int, now: float) -> None:
    """Take the next work item off the run queue: it may be queued again from now on."""
    cpu = s.cpus[c]
    p = s.p[0]
    work = pop(s, p.works + c)
    lasts = p.switch
    if work >= p.items:
        work -= p.items  # it only had lost its turn
    elif work >= p.rings + p.tunnels:
        lasts = p.switch if cpu.slept else p.work
    else:
        s.counts[C_WORKS] += 1
        lasts = p.switch if cpu.slept else p.work
        if not cpu.slept:
            serve(s, server_of(s, work), lasts)
        if work < p.rings:
            s.slots[p.pending + c * p.rings + work] = 0
            s.slots[p.executing + c * p.rings + work] = 1
        else:
            s.peers[p.tunnels + work - p.rings].pending = 0
            s.peers[p.tunnels + work - p.rings].executing = 1
    cpu.slept = 0
    cpu.moved = 0
    cpu.work = work
    cpu.resched = 0
    if not cpu.again:
        cpu.work_since = now
    cpu.again = 0
    spend(s, c, BUSY_WAKE, lasts)
    start(s, c, now, WORK, WORK_BEGIN, work, 0, -1, lasts)


@inlined
def wake(s: Sim, kicks: Ints, current: int, now: float) -> None:
    """Wake or interrupt the CPUs that an effect has given something to do; the current one goes on by itself."""
    for n in range(kicks[0]):
        target, level = kicks[1 + 2 * n], kicks[2 + 2 * n]
        if target == current or s.cpus[target].level >= level:
            continue
        if level == SOFTIRQ:
            if s.cpus[target].ksoftirqd and s.cpus[target].level >= 0:
                continue  # it is another thread's turn
            s.cpus[target].yielded = 0
            s.cpus[target].raised = 0
        suspend(s, target, now)
        dispatch(s, target, now)
    kicks[0] = 0
