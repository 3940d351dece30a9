"""The cache stays within its bound, and makes nothing twice."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgprof.dashboard.cache import Cache


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 50)), max_size=60))
def test_it_never_weighs_more_than_allowed(asked: list[tuple[int, int]]) -> None:
    cache: Cache[int, int] = Cache(100, lambda weight: weight)
    for key, weight in asked:
        cache.get(key, lambda weight=weight: weight)  # type: ignore[misc]
        assert cache.weight <= 100


def test_what_was_used_last_stays() -> None:
    cache: Cache[str, int] = Cache(2, lambda _: 1)
    made: list[str] = []
    for key in ("a", "b", "a", "c", "a", "b"):
        cache.get(key, lambda key=key: made.append(key) or 1)  # type: ignore[misc,func-returns-value]
    assert made == ["a", "b", "c", "b"]


def test_one_that_is_too_heavy_is_kept_alone() -> None:
    cache: Cache[str, int] = Cache(10, lambda weight: weight)
    assert (cache.get("a", lambda: 3), cache.get("b", lambda: 99), len(cache)) == (3, 99, 1)
    assert cache.get("b", lambda: 0) == 99


def test_many_that_want_it_at_once_wait_for_one() -> None:
    cache: Cache[str, int] = Cache(10, lambda _: 1)
    begun, go, made, got = threading.Event(), threading.Event(), [], []

    def make() -> int:
        begun.set()
        assert go.wait(30)
        made.append(1)
        return 7

    threads = [threading.Thread(target=lambda: got.append(cache.get("a", make))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    go.set()
    for thread in threads:
        thread.join(30)
    assert (made, got) == ([1], [7] * 8)


def test_whoever_asks_just_after_it_was_made_gets_it() -> None:
    cache: Cache[str, int] = Cache(10, lambda _: 1)
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return 7

    class Asked:
        """The cache's lock; whenever it is free again after the first making, somebody else asks."""

        lock = cache._lock
        asks = True

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()
            if made and self.asks:
                self.asks = False
                other = threading.Thread(target=cache.get, args=("a", make), daemon=True)
                other.start()
                other.join(30)
                assert not other.is_alive()

    cache._lock = Asked()  # type: ignore[assignment]
    assert (cache.get("a", make), made) == (7, [1])


def test_what_fails_is_tried_again() -> None:
    cache: Cache[str, int] = Cache(10, lambda _: 1)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 // 0)
    assert cache.get("a", lambda: 5) == 5
