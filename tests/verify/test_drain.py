"""The agent's drain on a real ring buffer of the running kernel: every event, once and in order."""

from __future__ import annotations

from pathlib import Path

from bench.drain import PER_CALL, check, measure

EVENTS = 400_000


def test_every_event_of_a_real_ring_reaches_the_file(tmp_path: Path) -> None:
    """Twice what the ring holds, so it wraps; slow enough for a busy machine."""
    outcome = measure("wgprof", EVENTS, 400_000, tmp_path / "events")
    # The producer's last system call, its exit, is one more.
    assert outcome.produced == EVENTS + PER_CALL
    assert outcome.lost == 0
    assert outcome.written == outcome.produced
    check(tmp_path / "events", outcome)
