"""What is done to a lab's machine so that it has the bottleneck a scenario is about."""

from __future__ import annotations

from dataclasses import dataclass

from wgprof.lab.channel import Job
from wgprof.lab.machine import Machine
from wgprof.lab.workload import Workload

#: Thousands of netfilter rules take an emulated CPU some seconds to load.
SETUP_S = 60.0
#: A peer's transmit work runs on its number modulo the number of CPUs (wg_cpumask_choose_online, queueing.h); numbers
#: begin with 1, and a tunnel has two peers, of which the first sends.  Peers that are made and removed before shift
#: all that follow.
_SHIFT_PEERS = """
ip link add wgshift type wireguard
for number in $(seq {seed}); do wg set wgshift peer "$(wg genkey | wg pubkey)"; done
ip link delete wgshift
"""


@dataclass(frozen=True)
class Plant:
    """The traffic and two shell scripts of the guest.

    They find in their environment `SEND_CPU`, on which the first tunnel's packets are sent, `OTHER_CPU`, the one after
    it, and `CPUS`.  `setup` runs when the tunnels are up and has to end; `during` begins with the traffic and
    is ended with it.
    """

    workload: Workload
    setup: str = ""
    during: str = ""
    seed: int = 0  # shifts the peers' internal ids, and with them the CPUs of their transmit work

    def before_tunnels(self, machine: Machine) -> None:
        """Shift the ids.  Raises MachineError."""
        if self.seed:
            machine.check(f"set -e; modprobe wireguard; {_SHIFT_PEERS.format(seed=self.seed)}", SETUP_S)

    def before_traffic(self, machine: Machine) -> None:
        """Run `setup`.  Raises MachineError, with what the script said."""
        if self.setup:
            machine.check(f"{self._environment(machine)}\nset -e\n{self.setup}", SETUP_S)

    def with_traffic(self, machine: Machine, seconds: float) -> Job | None:
        """Start `during`, which is ended after `seconds`."""
        return machine.start(f"{self._environment(machine)}\n{self.during}", seconds) if self.during else None

    def _environment(self, machine: Machine) -> str:
        cpus = machine.settings.cpus
        first = 1 + self.seed
        return f"export CPUS={cpus} SEND_CPU={first % cpus} OTHER_CPU={(first + 1) % cpus}"
