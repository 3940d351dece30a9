"""The address: what it says comes back, and what makes no sense in it does no harm."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wgprof.analysis.selection import Selection
from wgprof.dashboard.state import State, parse

_NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="._-"), max_size=30)
_SECONDS = st.none() | st.integers(0, 99_999).map(lambda tenths: tenths / 10)


@given(
    file=_NAMES,
    page=_NAMES,
    times=st.tuples(_SECONDS, _SECONDS).filter(lambda t: None in t or (t[0] or 0) < (t[1] or 0)),
    direction=st.sampled_from([None, "tx", "rx"]),
    peers=st.sets(st.integers(1, 60_000), max_size=8),
    theme=st.sampled_from(["", "light", "dark"]),
    sweep=_NAMES,
)
def test_a_state_survives_its_address(
    file: str,
    page: str,
    times: tuple[float | None, float | None],
    direction: str | None,
    peers: set[int],
    theme: str,
    sweep: str,
) -> None:
    state = State(file, page, *times, direction, tuple(sorted(peers)), "", theme, sweep)
    assert parse(state.query()) == state


@given(st.text(max_size=300))
def test_whatever_is_asked_gives_a_state(text: str) -> None:
    for query in (text, f"?from={text}", f"?to={text}&from=1", f"?peers={text}", f"?dir={text}&theme={text}"):
        state = parse(query)
        assert state.direction in (None, "tx", "rx") and state.theme in ("", "light", "dark")
        assert all(0 < peer < 1 << 16 for peer in state.peers)
        assert parse(state.query()) == state


def test_what_makes_no_sense_is_left_out() -> None:
    assert parse("?from=5&to=2") == State()
    assert parse("?from=nan&to=inf") == State()
    assert parse("?from=-1&to=1e99") == State()
    assert parse("?dir=up&peers=a,-3,0,99999999&theme=pink") == State()
    assert parse("?page=a&page=b").page == "b"


def test_an_address_selects() -> None:
    assert parse("?from=1.5&to=4&dir=rx&peers=3,5").selection == Selection(1.5, 4.0, "rx", frozenset({3, 5}))
    assert parse("").selection.everything
    assert State(file="a", direction="tx").at("cores") == "?file=a&page=cores&dir=tx"
