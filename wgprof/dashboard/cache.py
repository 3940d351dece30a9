"""A cache whose memory is bounded, for threads: what is wanted twice at once is made once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Cache(Generic[Key, Value]):
    """Keeps what was used last while the sum of weights is at most `most`; the newest stays whatever it weighs."""

    def __init__(self, most: int, weigh: Callable[[Value], int]) -> None:
        self._most = most
        self._weigh = weigh
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._making: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of `key`, made if it is not there.  What `make` raises is raised, and nothing is kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._kept:
                    return self._kept[key][0]
            try:
                value = make()
            except BaseException:
                with self._lock:
                    self._making.pop(key, None)
                raise
            with self._lock:  # both at once: whoever asks in between would make it again
                self._making.pop(key, None)
                self._kept[key] = value, self._weigh(value)
                while self.weight > self._most and len(self._kept) > 1:
                    self._kept.popitem(last=False)
            return value

    @property
    def weight(self) -> int:
        """What everything kept weighs together."""
        return sum(weight for _, weight in self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)
