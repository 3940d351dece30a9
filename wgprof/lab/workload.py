"""Workloads: the traffic a lab's tunnels carry while they are profiled, as data, and what arrived of it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from wgprof.errors import MachineError, UsageError
from wgprof.lab.channel import ChannelClosed, Job
from wgprof.lab.machine import Machine
from wgprof.lab.tunnel import DEFAULT_MTU, check_mtu

#: From the order to send until iperf3 has set up its test, and from its end until the queues are empty.
START_S = 1.0
QUIET_END_S = 1.0
#: Once the senders have ended, the receivers have too, or something went wrong.
RECEIVER_END_S = 5.0
PORT = 5201  # iperf3's
MAX_TUNNELS = 64


@dataclass(frozen=True)
class Workload:
    """A kind of traffic: iperf3's options for each tunnel's sender.  Without options nothing is sent."""

    name: str
    meaning: str
    options: tuple[str, ...] = ()


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("tcp", "one TCP stream a tunnel, full-size packets, one way", ("--parallel=1",)),
        Workload("bidir", "one TCP stream a tunnel in each direction", ("--bidir",)),
        Workload("udp-small", "64 byte datagrams as fast as the sender can", ("--udp", "--length=64", "--bitrate=0")),
        Workload("udp-paced", "1200 byte datagrams, 10 Mbit/s a tunnel", ("--udp", "--length=1200", "--bitrate=10M")),
        Workload("idle", "tunnels with a fresh handshake and no traffic"),
    )
}


def workload_named(name: str) -> Workload:
    """Raises UsageError for a name the lab does not know."""
    try:
        return WORKLOADS[name]
    except KeyError:
        raise UsageError(f"the lab has no workload {name!r}", f"It has {', '.join(WORKLOADS)}.") from None


@dataclass(frozen=True)
class TunnelResult:
    """What one tunnel carried, counted where it arrived."""

    interface: str
    received_bytes: int
    seconds: float
    retransmits: int = 0  # TCP segments sent again
    lost_packets: int = 0  # UDP datagrams that never arrived
    error: str = ""

    @property
    def goodput_bps(self) -> float:
        return self.received_bytes * 8 / self.seconds if self.seconds > 0 else 0.0


def check_tunnels(tunnels: int) -> None:
    """Raises UsageError for a number the lab's addresses do not allow."""
    if not 1 <= tunnels <= MAX_TUNNELS:
        raise UsageError(f"the lab cannot make {tunnels} tunnels", f"Choose 1 to {MAX_TUNNELS}.")


def set_up_tunnels(machine: Machine, tunnels: int, threaded: bool, mtu: int = DEFAULT_MTU) -> float:
    """Make the tunnels and complete their handshakes; returns the seconds it took.  Raises MachineError."""
    check_tunnels(tunnels)
    check_mtu(mtu)
    result = machine.run(f"sh /payload/topology.sh {tunnels} {int(threaded)} {mtu}", 30 + 2 * tunnels)
    if result.exit_code:
        raise MachineError("the lab's tunnels could not be set up", result.stderr.strip()[-500:])
    return result.seconds


def traffic_seconds(duration_s: float) -> float:
    """How long to send so that the queues are empty at both ends of a recording of `duration_s`."""
    return max(duration_s / 2, duration_s - START_S - QUIET_END_S)


class Traffic:
    """A workload on a machine whose tunnels are up."""

    def __init__(self, machine: Machine, workload: Workload, tunnels: int) -> None:
        self._machine = machine
        self._workload = workload
        self._tunnels = tunnels
        self._receivers: Job | None = None
        self._senders: Job | None = None

    def listen(self) -> None:
        """Start the receivers, which wait.  Raises MachineError if they do not come up."""
        if self._workload.options:
            self._receivers = self._machine.start(f"sh /payload/listen.sh {self._tunnels}")
            count = f"$(ip netns exec wgb ss -Hltn sport = {PORT} | wc -l)"
            self._machine.check(f"until [ {count} -ge {self._tunnels} ]; do sleep 0.1; done", 30)

    def send(self, seconds: float) -> None:
        """Start the senders; they end by themselves."""
        if self._workload.options:
            options = " ".join(self._workload.options)
            self._senders = self._machine.start(f"sh /payload/send.sh {self._tunnels} {seconds:.3f} {options}")

    def stop(self) -> None:
        """End the senders early; they still report."""
        if self._senders is not None and not self._senders.done:
            self._machine.run("pkill -INT -f 'iperf3 --client'", 10)

    def results(self, timeout: float) -> list[TunnelResult]:
        """What arrived, tunnel by tunnel, once the senders have ended; empty if nothing was sent."""
        if self._senders is None or self._receivers is None:
            return []
        # A job that does not end in time, or whose machine is gone, is told by the files, or by their absence.
        with contextlib.suppress(TimeoutError, ChannelClosed):
            self._senders.wait(timeout)
        with contextlib.suppress(TimeoutError, ChannelClosed):
            self._receivers.wait(RECEIVER_END_S)
        if not (self._senders.done and self._receivers.done):
            self._machine.run("pkill -INT iperf3; sleep 0.5; pkill -KILL iperf3", 10)
        names = [f"/run/{role}{number}.json" for number in range(self._tunnels) for role in ("receiver", "sender")]
        text = self._machine.run("; ".join(f"cat {name}; printf '\\036'" for name in names), 20).stdout
        parts = text.split("\x1e")
        return [
            tunnel_result(f"wg{number}", parts[2 * number], parts[2 * number + 1]) for number in range(self._tunnels)
        ]


def tunnel_result(interface: str, receiver_json: str, sender_json: str) -> TunnelResult:
    """Read both ends' iperf3 reports.  What arrives at the sender (bidir) is counted there."""
    try:
        receiver, sender = json.loads(receiver_json), json.loads(sender_json)
        there, here = receiver["end"], sender["end"]
    except (ValueError, KeyError, TypeError):
        return TunnelResult(interface, 0, 0.0, error=_first_line(receiver_json) or "no report of the receiver")
    arrived = _sum(there, "sum_received", "sum")
    arrived_back = _sum(here, "sum_received_bidir_reverse")
    sent, sent_back = _sum(here, "sum_sent"), _sum(there, "sum_sent_bidir_reverse")
    return TunnelResult(
        interface=interface,
        received_bytes=int(arrived.get("bytes", 0)) + int(arrived_back.get("bytes", 0)),
        seconds=float(arrived.get("seconds", 0.0)),
        retransmits=int(sent.get("retransmits", 0)) + int(sent_back.get("retransmits", 0)),
        lost_packets=int(arrived.get("lost_packets", 0)),
        error=str(receiver.get("error") or sender.get("error") or ""),
    )


def summary(results: list[TunnelResult]) -> dict[str, object]:
    """For a recording's manifest: totals, then each tunnel."""
    return {
        "goodput_bps": round(sum(result.goodput_bps for result in results)),
        "received_bytes": sum(result.received_bytes for result in results),
        "retransmits": sum(result.retransmits for result in results),
        "lost_packets": sum(result.lost_packets for result in results),
        "tunnels": [{**asdict(result), "goodput_bps": round(result.goodput_bps)} for result in results],
    }


def _sum(end: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        value = end.get(name)
        if isinstance(value, dict) and value:
            return value
    return {}


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip(" {}")), "")[:200]
