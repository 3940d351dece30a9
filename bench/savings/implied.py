"""What a saving in instructions would be worth where the cipher costs what it costs on a real processor.

It rests on one assumption: that the ratio of the two ways' instructions without the cipher is also the
ratio of their times.  Hand-offs between cores cost cache misses and interrupts that an instruction count
does not show, so on a real processor they are rather dearer than this says.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Native:
    """A queued WireGuard's time for a packet on a real processor, microseconds."""

    name: str
    total_us: float
    crypto_us: float


#: Receive side, 1420-byte packets, one tunnel, two Xeon E5-2660v3: public CloudLab measurements
#: (github.com/AnasAEA/wireguard-receive-path), the middle of "5 to 6 us" for decryption.
XEON_2014 = Native("2014 Xeon, measured", 12.8, 5.5)
_REST_US = XEON_2014.total_us - XEON_2014.crypto_us
NATIVE = (
    XEON_2014,
    Native("the same, cipher 2 us", _REST_US + 2, 2.0),
    Native("the same, cipher 1 us", _REST_US + 1, 1.0),
    Native("the same, no cipher", _REST_US, 0.0),
)


@dataclass(frozen=True)
class Parts:
    """A packet's time, microseconds."""

    hand_off: float  # what inline does not do
    rest: float
    crypto: float

    @property
    def gain(self) -> float:
        """How many times as many packets the same CPU time carries inline."""
        return (self.hand_off + self.rest + self.crypto) / (self.rest + self.crypto)


def parts(native: Native, instruction_ratio: float) -> Parts:
    """Divide a native packet's time; `instruction_ratio` is queued / inline without the cipher."""
    rest = (native.total_us - native.crypto_us) / instruction_ratio
    return Parts(native.total_us - native.crypto_us - rest, rest, native.crypto_us)


def ratio_for(native: Native, gain: float) -> float | None:
    """The instruction ratio that a gain needs; None if the cipher alone takes too long for it."""
    rest = native.total_us / gain - native.crypto_us
    return (native.total_us - native.crypto_us) / rest if rest > 0 else None
