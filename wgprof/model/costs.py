"""What a packet costs at each step: the parameters of the model, each with a range and a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wgprof.errors import UsageError

#: Every cost in nanoseconds, and what it is.
MEANINGS: Mapping[str, str] = {
    "receive": "NIC's NAPI, UDP and wg_receive, a packet, without the hand-off",
    "decrypt": "decrypt_packet, a packet, its data in this CPU's reach",
    "deliver": "wg_packet_rx_poll's own part and GRO, a packet",
    "encrypt": "encrypt_packet, a packet",
    "send": "wg_socket_send_skb_to_peer, a packet",
    "stage": "wg_xmit, a hand-off of segments",
    "segment": "wg_xmit, a segment: GSO, nonce",
    "handoff": "two enqueues and the attempt to queue a work item, a hand-off",
    "consume": "a worker's loop around a hand-off, outside of locks and of the stage itself",
    "wake": "waking a sleeping worker or thread, for the waker",
    "switch": "from sleep to running, for the worker or thread",
    "work": "from one work item to the next without sleep",
    "hold": "a ring's spinlock is held",
    "transfer": "more, if another CPU held it before",
    "cross": "a packet was touched by another CPU last, a hop",
    "poll_empty": "a poll that delivers nothing",
    "poll_setup": "a poll that delivers, beside its packets",
    "stack": "what GRO made of several packets goes up the stack",
    "softirq": "net_rx_action() around a peer's poll, outside of it",
    "unlock": "softirqs with a peer's poll begun at a decrypt worker's unlock, of the worker's time",
    "write": "the sending application and its socket, a packet",
    "read": "the receiving application and its socket, what GRO made of several packets",
    "ack_encrypt": "acknowledgements of what GRO made of several packets: their encryption",
    "ack_send": "acknowledgements of the same: their transmit work",
    "ack_decrypt": "acknowledgements of the same: their decryption",
    "ack_deliver": "acknowledgements of the same: their delivery to the sender's socket",
}
#: Costs with a distribution; the others are constants.
DISTRIBUTED = ("receive", "decrypt", "deliver", "encrypt", "send")
#: Costs that only one direction has.
ONLY_RX = ("receive", "decrypt", "deliver", "poll_empty", "poll_setup", "stack", "softirq", "unlock")
ONLY_TX = ("encrypt", "send", "stage", "segment")
#: Costs of the two ends of a tunnel, which are on this machine in a loop alone.
ONLY_LOOP = ("write", "read", "ack_encrypt", "ack_send", "ack_decrypt", "ack_deliver")
#: Costs that a description may leave out; they are then 0.
OPTIONAL = ("softirq", "unlock", *ONLY_LOOP)
#: Costs of which a share may grow with the packet, beside those of crypto.
OF_BYTES = ("receive", "deliver", "send", "segment", "stack", "write", "read")
SHAPES = ("constant", "exponential", "table")


@dataclass(frozen=True)
class Quantity:
    """A parameter with the range it may lie in, in its own unit (of a cost: ns); `assumed` if nobody measured it."""

    value: float
    low: float
    high: float
    assumed: bool = False
    why: str = ""
    shape: str = "constant"
    table: tuple[float, ...] = ()  # quantiles at equal steps, with mean 1

    def check(self, name: str) -> None:
        """Raise UsageError, naming the parameter, unless 0 <= low <= value <= high."""
        if self.low < 0 or self.value < 0 or self.high < 0:
            raise UsageError(f"{name} is negative: {min(self.low, self.value, self.high):g}", "It must be 0 or more.")
        if not self.low <= self.value <= self.high < float("inf"):
            raise UsageError(
                f"{name} is inconsistent: value {self.value:g}, range {self.low:g} to {self.high:g}",
                "The value must lie in its range.",
            )

    def scaled(self, factor: float) -> Quantity:
        """All of it larger by a factor."""
        return replace(self, value=self.value * factor, low=self.low * factor, high=self.high * factor)

    def plus(self, amount: float) -> Quantity:
        """All of it larger by an amount, but none of it negative."""
        return replace(
            self,
            value=max(self.value + amount, 0.0),
            low=max(self.low + amount, 0.0),
            high=max(self.high + amount, 0.0),
        )

    def at(self, value: float) -> Quantity:
        """Known to be a value."""
        return replace(self, value=value, low=value, high=value)


def known(value: float, why: str = "") -> Quantity:
    """A parameter without uncertainty."""
    return Quantity(value, value, value, why=why)


@dataclass(frozen=True)
class Costs:
    """All costs of a machine, for packets of `packet_bytes`; those of one direction may be missing.

    `crypto_fixed` is the part of decrypt and encrypt that does not grow with the packet; `by_bytes` has the share of
    other costs that does.  `numa` is a factor on the service time of a packet that comes from another node.
    """

    packet_bytes: int
    costs: Mapping[str, Quantity]
    crypto_fixed: Quantity = field(default_factory=lambda: known(0.0))
    numa: Quantity = field(default_factory=lambda: known(1.0))
    by_bytes: Mapping[str, Quantity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, quantity in self.parameters().items():
            quantity.check(name)
        if self.numa.low < 1:
            raise UsageError("machine.numa_factor is below 1", "Work on another node is not faster.")
        for name, share in self.by_bytes.items():
            if share.high > 1:
                raise UsageError(f"bytes.{name} is above 1", "It is a share of the cost.")
        for name in ("decrypt", "encrypt"):
            if name in self.costs and self.crypto_fixed.low > self.costs[name].high:
                raise UsageError(
                    f"costs.crypto_fixed is larger than costs.{name}", "It is the part of it that all packets have."
                )

    def require(self, direction: str) -> None:
        """Raise UsageError, naming it, if a cost is missing that packets of a direction have."""
        other = {"rx": ONLY_TX, "tx": ONLY_RX, "loop": ()}[direction]
        for name in MEANINGS:
            if name not in self.costs and name not in (*other, *OPTIONAL):
                raise UsageError(f"costs.{name} is missing", f"It is: {MEANINGS[name]}, in nanoseconds.")

    def parameters(self) -> dict[str, Quantity]:
        """Every parameter by its full name."""
        named = {f"costs.{name}": self.costs[name] for name in MEANINGS if name in self.costs}
        shares = {f"bytes.{name}": share for name, share in self.by_bytes.items()}
        return {**named, "costs.crypto_fixed": self.crypto_fixed, **shares, "machine.numa_factor": self.numa}

    def shape(self, name: str) -> str:
        """The distribution of a cost around its mean."""
        return self.costs[name].shape if name in self.costs else "constant"

    def ns(self, name: str, packet_bytes: int) -> float:
        """A cost for packets of a size; only what touches all bytes depends on it."""
        mean = self.costs[name].value if name in self.costs else 0.0
        growing = mean * self.by_bytes[name].value if name in self.by_bytes else 0.0
        if name in ("decrypt", "encrypt"):
            growing = max(mean - self.crypto_fixed.value, 0.0)
        return mean - growing + growing * packet_bytes / self.packet_bytes

    def scaled(self, name: str, factor: float) -> Costs:
        """With one cost multiplied: a what-if."""
        if name not in self.costs:
            raise UsageError(f"there is no cost {name!r} to change", f"Costs are {', '.join(self.costs)}.")
        if not 0 <= factor < float("inf"):
            raise UsageError(f"the factor of {name} is {factor:g}", "It must be 0 or more, as in decrypt=0.8.")
        other = {**self.costs, name: self.costs[name].scaled(factor)}
        fixed = self.crypto_fixed.scaled(factor) if name == "decrypt" else self.crypto_fixed
        return replace(self, costs=other, crypto_fixed=fixed)

    def at(self, parameter: str, value: float) -> Costs:
        """With one parameter, by its full name, at another value."""
        if parameter == "machine.numa_factor":
            return replace(self, numa=self.numa.at(value))
        if parameter == "costs.crypto_fixed":
            return replace(self, crypto_fixed=self.crypto_fixed.at(value))
        name = parameter.removeprefix("bytes.")
        if name != parameter:
            return replace(self, by_bytes={**self.by_bytes, name: self.by_bytes[name].at(value)})
        name = parameter.removeprefix("costs.")
        return replace(self, costs={**self.costs, name: self.costs[name].at(value)})
