"""What is simulated: a machine, a module, and the traffic it is given."""

from __future__ import annotations

from dataclasses import dataclass

from wgprof.errors import UsageError
from wgprof.model.limits import GSO_MAX_BYTES, POLL_BUDGET, QUEUE_LIMIT

MODULES = ("vanilla", "steered", "inline")
DIRECTIONS = ("rx", "tx", "loop")
#: More would not fit the simulator's memory.
MOST_CORES, MOST_TUNNELS = 512, 4096


@dataclass(frozen=True)
class Scenario:
    """One machine with one kind of traffic.

    `direction`: rx receives from elsewhere, tx sends to elsewhere, loop does both over a virtual link on one machine.
    `rate_pps` is what each tunnel is offered (open); None keeps a window in flight (closed).
    """

    cores: int
    tunnels: int
    module: str = "vanilla"
    threaded: bool = False
    direction: str = "rx"
    rss_queues: int = 0  # 0: one a core
    nodes: int = 1  # NUMA
    spread: str = "hash"  # of outer flows over the NIC's queues: by hash, or evenly
    shared_device: bool = False  # all tunnels are peers of one device
    packet_bytes: int = 1420
    gso: int = 45  # packets in a burst
    flows: int = 1  # inner flows a tunnel
    window: int = 2048  # most packets in flight a tunnel
    rtt_us: float = 100.0  # without queueing here
    rate_pps: float | None = None
    link_gbit_s: float = 0.0  # 0: no limit
    sender_ns: float = 0.0  # a packet: each tunnel's sender does one at a time; 0: it is never the limit
    nic_limit: int = 1024
    queue_limit: int = QUEUE_LIMIT
    budget: int = POLL_BUDGET
    fair_softirqs: bool = False  # a kernel before 6.4: ksoftirqd takes turns with workers
    run_to_parity: bool = False  # a kernel from 6.6 on: a NAPI thread that wakes waits for its turn among workers
    unbound: bool = False  # crypt work goes to an idle CPU if there is one, not to the next in turn
    decrypt_cpus: tuple[int, ...] = ()  # steering lists; empty: all, or for delivery in `steered`, all in turn
    encrypt_cpus: tuple[int, ...] = ()
    deliver_cpus: tuple[int, ...] = ()
    transmit_cpus: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check(1 <= self.cores <= MOST_CORES, f"cores must be 1 to {MOST_CORES}, not {self.cores}")
        _check(1 <= self.tunnels <= MOST_TUNNELS, f"tunnels must be 1 to {MOST_TUNNELS}, not {self.tunnels}")
        _check(self.module in MODULES, f"module must be one of {', '.join(MODULES)}, not {self.module!r}")
        _check(self.direction in DIRECTIONS, f"direction must be one of {', '.join(DIRECTIONS)}")
        _check(self.spread in ("hash", "even"), f"spread must be hash or even, not {self.spread!r}")
        _check(
            self.rss_queues == 0 or self.cores <= self.rss_queues,
            f"cores is {self.cores}, more than the NIC's rss_queues, {self.rss_queues}",
            "The model has a NIC queue on every core: ask for fewer cores, or say that the NIC has more queues.",
        )
        _check(1 <= self.nodes <= self.cores, f"nodes must be 1 to cores ({self.cores}), not {self.nodes}")
        _check(64 <= self.packet_bytes <= GSO_MAX_BYTES, f"packet_bytes must be 64 to {GSO_MAX_BYTES}")
        _check(1 <= self.gso <= self.queue_limit, f"gso must be 1 to {self.queue_limit}, not {self.gso}")
        _check(self.flows >= 1, f"flows must be at least 1, not {self.flows}")
        _check(self.window >= self.gso, f"window is {self.window}, less than one burst (gso is {self.gso})")
        _check(self.rtt_us > 0, f"rtt_us must be above 0, not {self.rtt_us:g}")
        _check(self.rate_pps is None or self.rate_pps > 0, "rate_pps must be above 0")
        _check(self.link_gbit_s >= 0, f"link_gbit_s must not be negative, it is {self.link_gbit_s:g}")
        _check(self.sender_ns >= 0, f"sender_ns must not be negative, it is {self.sender_ns:g}")
        _check(self.nic_limit >= self.gso, f"nic_limit is {self.nic_limit}, less than one burst (gso is {self.gso})")
        _check(not (self.threaded and self.module == "inline"), "inline has no NAPI a peer that could be threaded")
        for name in ("decrypt_cpus", "encrypt_cpus", "deliver_cpus", "transmit_cpus"):
            listed: tuple[int, ...] = getattr(self, name)
            _check(all(0 <= c < self.cores for c in listed), f"{name} names a CPU that is not one of {self.cores}")
            _check(not listed or self.module == "steered", f"{name} is a choice of the module steered alone")

    @property
    def sender_thread(self) -> bool:
        """Whether wg_xmit runs in an application's thread here; what a gateway forwards is sent in a softirq."""
        return self.direction == "loop"

    @property
    def first_window(self) -> float:
        """A source's window at first: a thread's socket has no NIC to overrun, and is long past its slow start."""
        return float(self.window if self.sender_thread else min(4 * self.gso, self.window))

    @property
    def label(self) -> str:
        """The architecture's name."""
        return self.module + (" + threaded" if self.threaded else "")


def _check(holds: bool, sentence: str, remedy: str = "") -> None:
    if not holds:
        raise UsageError(sentence, remedy)
