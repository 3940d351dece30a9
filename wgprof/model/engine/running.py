"""Steps on a CPU and wake-ups: what all mechanisms share."""

from __future__ import annotations

from wgprof.model.engine.clock import NEVER, set_time, time_of
from wgprof.model.engine.compiled import inlined
from wgprof.model.engine.fifos import length, push, push_front
from wgprof.model.engine.layout import BUSY_KINDS, BUSY_WAKE, C_WAKES, IDLE, SOFTIRQ, THREAD, WORK, Ints, Records, Sim

#: An effect wakes at most a few CPUs; they are noted here and woken when the effect is complete.
KICKS = 64


@inlined
def start(s: Sim, c: int, now: float, level: int, kind: int, what: int, n: int, packet: int, lasts: float) -> None:
    """Start a step that lasts some ns; what the CPU still owes for wake-ups and spinning comes on top."""
    cpu = s.cpus[c]
    step = s.steps[3 * c + level]
    step.kind = kind
    step.object = what
    step.n = n
    step.packet = packet
    cpu.level = level
    set_time(s, c, now + lasts + cpu.carry)
    cpu.carry = 0.0


@inlined
def suspend(s: Sim, c: int, now: float) -> None:
    """Stop the running step; it goes on later where it was."""
    level = s.cpus[c].level
    if level >= 0:
        s.steps[3 * c + level].left = time_of(s, c) - now
        s.cpus[c].level = IDLE


@inlined
def resume(s: Sim, c: int, now: float, level: int) -> None:
    """Go on with a suspended step."""
    s.cpus[c].level = level
    set_time(s, c, now + s.steps[3 * c + level].left + s.cpus[c].carry)
    s.cpus[c].carry = 0.0


@inlined
def rest(s: Sim, c: int) -> None:
    """Nothing to do."""
    set_time(s, c, NEVER)


@inlined
def spend(s: Sim, c: int, what: int, ns: float) -> None:
    """Account CPU time."""
    s.busy[c * BUSY_KINDS + what] += ns


@inlined
def serve(s: Sim, server: int, ns: float) -> None:
    """Account the time of a server's execution, which is in `spend`'s account as well."""
    s.served[server] += ns


@inlined
def owe_wake(s: Sim, c: int) -> None:
    """CPU c wakes or interrupts another one, which prolongs its next step."""
    s.counts[C_WAKES] += 1
    if c >= 0:
        s.cpus[c].carry += s.p[0].wake
        spend(s, c, BUSY_WAKE, s.p[0].wake)


@inlined
def kick(kicks: Ints, target: int, level: int) -> None:
    """Note that a CPU has something to do at a level; `cpus.wake` acts on it."""
    n = kicks[0]
    if n < KICKS:
        kicks[1 + 2 * n] = target
        kicks[2 + 2 * n] = level
        kicks[0] = n + 1


@inlined
def queue_work(s: Sim, kicks: Ints, c: int, work: int, target: int) -> None:
    """queue_work_on(): nothing if the item is already queued there.

    Work items are numbered by ring, then by tunnel (transmit).  Waking a sleeping worker costs the waker (`wake`)
    and the worker (`switch`); one that is busy finds the item when it has finished.  An item that has begun and not
    ended there is not given to a second worker (find_worker_executing_work): it goes on with it, see `end_work`.
    """
    p = s.p[0]
    if work < p.rings:
        flag = p.pending + target * p.rings + work
        if s.slots[flag]:
            return
        s.slots[flag] = 1
        if s.slots[p.executing + target * p.rings + work]:
            return
    else:
        peer = s.peers[p.tunnels + work - p.rings]
        if peer.pending:
            return
        peer.pending = 1
        if peer.executing:
            return
    cpu = s.cpus[target]
    if cpu.work < 0 and length(s, p.works + target) == 0:
        cpu.slept = 1
        owe_wake(s, c)
    push(s, p.works + target, work)
    kick(kicks, target, WORK)


@inlined
def end_work(s: Sim, c: int) -> None:
    """The work item of this CPU ends; if it was queued meanwhile its worker begins it again, in the same turn."""
    cpu, p = s.cpus[c], s.p[0]
    work = cpu.work
    cpu.work = -1
    if work < p.rings:
        s.slots[p.executing + c * p.rings + work] = 0
        cpu.again = s.slots[p.pending + c * p.rings + work]
    else:
        peer = s.peers[p.tunnels + work - p.rings]
        peer.executing = 0
        cpu.again = peer.pending
    if cpu.again:
        push_front(s, p.works + c, work)


@inlined
def load_of(s: Sim, c: int) -> int:
    """How unattractive a CPU is to the scheduler: 0 is idle."""
    cpu, p = s.cpus[c], s.p[0]
    load = 4 * length(s, p.threads + c) + (4 if cpu.thread >= 0 else 0)
    if cpu.level == SOFTIRQ or length(s, c) > 0:
        load += 2
    if cpu.work >= 0 or length(s, p.works + c) > 0:
        load += 1
    return load


@inlined
def place(s: Sim, previous: int) -> int:
    """The CPU on which the scheduler wakes a thread: the previous one, unless another has less to do."""
    best, least = previous, load_of(s, previous)
    c = previous
    for _ in range(s.p[0].cpus - 1):
        if least == 0:
            break
        c = c + 1 if c + 1 < s.p[0].cpus else 0
        load = load_of(s, c)
        if load < least:
            best, least = c, load
    return best


@inlined
def wake_thread(s: Sim, kicks: Ints, target: int, item: int) -> None:
    """A thread that takes turns with workers, as one of them, wakes on a CPU.

    It goes before workers that have run: check_preempt_wakeup_fair(), and cond_resched() in these.  From 6.6 on it
    waits: pick_eevdf() keeps to who runs until that one's slice is over (RUN_TO_PARITY).
    """
    cpu, works = s.cpus[target], s.p[0].works + target
    if cpu.work < 0 and length(s, works) == 0:
        cpu.slept = 1
    if s.p[0].parity:
        push(s, works, item)
    else:
        cpu.resched = 1
        push_front(s, works, item)
    kick(kicks, target, WORK)


@inlined
def schedule_napi(s: Sim, kicks: Ints, c: int, tunnel: int) -> None:
    """napi_schedule() of a peer on CPU c: marked as missed if it is scheduled already."""
    napi = s.napis[tunnel]
    if napi.scheduled:
        napi.missed = 1
        return
    napi.scheduled = 1
    napi.repoll = 0
    napi.done = 0
    if s.p[0].threaded:
        target = place(s, napi.cpu)
        owe_wake(s, c)
        if s.p[0].parity:
            wake_thread(s, kicks, target, s.p[0].napi_threads + tunnel)
        else:
            push(s, s.p[0].threads + target, tunnel)
            kick(kicks, target, THREAD)
        return
    steered = s.peers[tunnel].cpu
    target = c if steered < 0 else steered
    # Outside of an interrupt softirqs are only marked as pending: they run at the next unlock (ptr_ring_consume_bh).
    if target == c and length(s, c) == 0:
        s.cpus[c].raised = 1
    push(s, target, tunnel)
    if target != c:
        if s.cpus[target].level != SOFTIRQ:
            owe_wake(s, c)
        kick(kicks, target, SOFTIRQ)


@inlined
def spin(free: float, now: float) -> float:
    """Time until a spinlock is free: waiters get it in the order in which they came."""
    return free - now if free > now else 0.0


@inlined
def hop(s: Sim, c: int, packet: Records) -> float:
    """What it costs to touch a packet that another CPU touched last."""
    return 0.0 if packet.cpu == c else float(s.p[0].cross)


@inlined
def distance(s: Sim, c: int, packet: Records) -> float:
    """Factor on the service time of a packet that comes from another NUMA node."""
    return float(s.p[0].numa) if s.cpus[packet.cpu].node != s.cpus[c].node else 1.0
