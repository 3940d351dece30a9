"""What the agent's looks at /proc and /sys cost on this machine: `python -m bench.readers`.

Of its own network namespace, without probes and without root: the time of a look with the kernel's part
in it, and what of it falls on a second of recording at the default interval.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from wgprof.agent.accounts import Accounts
from wgprof.agent.kernel import online_cpus
from wgprof.agent.netns import Counters, Interface, namespaces
from wgprof.agent.outer import describe
from wgprof.agent.sockets import EVERY_NS, Sockets
from wgprof.agent.softnet import Softnet

ROUNDS = 500
TICKS_A_SECOND = 10
PORT = 51820


def cost_us(look: Callable[[], object]) -> float:
    """Median of single looks, in microseconds."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        look()
        took.append(time.perf_counter_ns() - began)
    return sorted(took)[ROUNDS // 2] / 1e3


def main() -> None:
    (own, *_), cpus = namespaces(), online_cpus()
    accounts, softnet, sockets = Accounts(), Softnet(cpus), Sockets([(own, PORT)])
    counters = Counters([Interface(own, "lo", 1, 65536, -1)])
    looks: list[tuple[str, str, float, Callable[[], object]]] = [
        ("cpu", "/proc/stat", TICKS_A_SECOND, accounts.cpu_times),
        ("softirqs", "/proc/softirqs", TICKS_A_SECOND, accounts.softirqs),
        ("interfaces", "/proc/net/dev", TICKS_A_SECOND, counters.read),
        ("softnet", "/proc/net/softnet_stat", TICKS_A_SECOND, softnet.read),
        ("udp", "/proc/net/snmp, snmp6", 1e9 / EVERY_NS, sockets.udp),
        ("sockets", "/proc/net/udp, udp6", 1e9 / EVERY_NS, sockets.sockets),
        ("outer", "sysfs and ethtool of lo, once", 0, lambda: describe({1: ["wg0"]})),
    ]
    print(f"{len(cpus)} CPUs")
    print(f"{'part':12}{'read':32}{'us a look':>10}{'us a second':>13}")
    for name, read, times, look in looks:
        us = cost_us(look)
        print(f"{name:12}{read:32}{us:10.1f}{us * times:13.1f}")


if __name__ == "__main__":
    main()
