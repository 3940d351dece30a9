"""From the ring buffer into the stream, often enough that nothing is lost and seldom enough to cost little."""

from __future__ import annotations

import time

from wgprof.agent.maps import Ring
from wgprof.agent.stream import Stream

#: At most so much of the ring should fill up during a nap, at the rate of the nap before.
_FILL = 1 / 4
#: Below this a look is not worth a frame: the next tick takes it along.
_WORTH = 1 / 16
_SHORTEST_NAP_S = 0.001
_LONGEST_NAP_S = 0.25
#: The longest nap while every packet is a sample: a burst at full rate must find room until its first look.  Of one
#: sample in N (see sampling.py) it takes N times as long to fill the ring.
_DENSE_NAP_S = 0.0125


class Drain:
    """Empties a ring into a stream at the pace of what comes in."""

    def __init__(self, ring: Ring, stream: Stream) -> None:
        self._ring = ring
        self._stream = stream
        self._looked = time.monotonic()
        self._left = 0  # bytes that were in the ring after the last look
        self._rate = 0.0  # bytes a second that came in before it

    def nap_s(self, sample_every: int) -> float:
        """How long the ring can be left alone."""
        longest = min(_LONGEST_NAP_S, _DENSE_NAP_S * max(sample_every, 1))
        if self._rate <= 0:
            return longest
        return max(_SHORTEST_NAP_S, min(longest, self._ring.size * _FILL / self._rate))

    def look(self) -> None:
        """Takes out what is in the ring if it is worth it."""
        fill = self._note()
        if fill > self._ring.size * _WORTH:
            self._take(fill)

    def empty(self) -> None:
        """Takes out what is in the ring now; what comes meanwhile is for the next time."""
        self._take(self._note())

    def _note(self) -> int:
        """Bytes in the ring; notes how fast they came in, if that can be told by now."""
        fill, now = self._ring.fill(), time.monotonic()
        passed = now - self._looked
        if passed >= _SHORTEST_NAP_S:
            self._rate = (fill - self._left) / passed
            self._looked, self._left = now, fill
        return fill

    def _take(self, left: int) -> None:
        if not left:
            return
        while left > 0:
            records = self._ring.look()
            if not records:
                break
            self._stream.events(records)
            self._ring.release(len(records))
            left -= len(records)
        self._looked, self._left = time.monotonic(), self._ring.fill()
