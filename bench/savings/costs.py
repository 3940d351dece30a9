"""Instructions a packet costs on each way, with and without the cipher, for a few kinds of traffic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.cost import Cost, Meter
from bench.load import Load
from bench.savings.place import VANILLA, WAYS, Dial, Place, Way

#: The dial at one step: next to nothing in the cipher's place.
NO_CRYPTO = Dial(steps=1)
#: Work of a known size, to see whether the method finds it: five instructions a step (kmod/lab/wgprof_lab.c compiled).
KNOWN_STEPS = 20_001
INSTRUCTIONS_PER_STEP = 5

BURST = 16
_DATAGRAMS = Load("udp", packets=1280)


@dataclass(frozen=True)
class Shape:
    """A kind of traffic; packets are of full size at an MTU of 1420 bytes unless their size is named."""

    name: str
    load: Load

    @property
    def has_sides(self) -> bool:
        """A datagram's sender does not need a receiver, so the transmit side can be measured alone."""
        return self.load.kind == "udp"


_SMALL = replace(_DATAGRAMS, size=64, gap_ns=250_000)
_LARGE = replace(_DATAGRAMS, size=1420, gap_ns=400_000)
#: A hand-off's wake-ups are shared by what is handed over meanwhile, so it matters how packets come.
SHAPES = (
    Shape("64 bytes, single", _SMALL),
    Shape("64 bytes, bursts", replace(_SMALL, burst=BURST)),
    Shape("1420 bytes, single", _LARGE),
    Shape("1420 bytes, bursts", replace(_LARGE, burst=BURST)),
    Shape("TCP, full size", Load("tcp", bytes=4 << 20)),
)
TUNNELS = (1, 4)
BOTH, TRANSMIT = "both", "transmit"


@dataclass(frozen=True)
class Sample:
    """One measurement."""

    boot: int
    has_cipher: bool
    way: str
    tunnels: int
    shape: str
    side: str
    cost: Cost


def known_work(place: Place) -> float:
    """How many instructions work of (KNOWN_STEPS - 1) * INSTRUCTIONS_PER_STEP is found to take."""
    place.use(VANILLA.module, NO_CRYPTO)
    meter = Meter(place.machine)
    load = replace(SHAPES[1].load, gap_ns=1_500_000, packets=640)
    without = meter.cost(load).instructions
    place.use(VANILLA.module, Dial(steps=KNOWN_STEPS))
    return (meter.cost(load).instructions - without) / 2  # both ends do it


def measure(place: Place, boot: int, keep: Callable[[Sample], None]) -> None:
    """All points of one boot.  The order of the modules alternates from boot to boot."""
    place.use(VANILLA.module, NO_CRYPTO)
    meter = Meter(place.machine)
    modules = list(dict.fromkeys(way.module for way in WAYS))
    for dial in (NO_CRYPTO, None):
        for module in modules if boot % 2 else modules[::-1]:
            place.use(module, dial)
            ways = [way for way in WAYS if way.module == module]
            for tunnels in TUNNELS:
                for shape in SHAPES:
                    for way in ways:
                        for side, cost in _point(place, meter, way, shape, tunnels):
                            keep(Sample(boot, dial is None, way.name, tunnels, shape.name, side, cost))


def _point(place: Place, meter: Meter, way: Way, shape: Shape, tunnels: int) -> list[tuple[str, Cost]]:
    place.switch(way)
    load = replace(shape.load, tunnels=tunnels)
    costs = [(BOTH, meter.cost(load))]
    if shape.has_sides:
        place.cut(True)
        costs.append((TRANSMIT, meter.cost(load, arrives=False)))
        place.cut(False)
    return costs
