"""Every view draws every recording: empty, small, large, hostile; whatever is not there is said, with a command."""

from __future__ import annotations

import base64
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.simulated import InMemory, Load, gateway
from tests.unit.test_report import HOSTILE, hostile
from tests.unit.test_show import with_mechanics, with_perf
from tests.unit.test_views_figures import strings
from wgprof.analysis.coarser import for_screens
from wgprof.analysis.selection import Part, Selection
from wgprof.analysis.summary import Analysis, analyse, analyse_part
from wgprof.analysis.tables import Tables
from wgprof.recording.reader import open_recording
from wgprof.recording.schema import BY_NAME
from wgprof.resources import resource_dir
from wgprof.views.catalogue import MORE_VIEWS, VIEWS, pictures, view_of
from wgprof.views.picture import Picture, View

EXAMPLE = Path(str(resource_dir("reports"))) / "example.wgprof"
RECORDINGS = sorted((Path(__file__).resolve().parent.parent / "captures" / "recordings").glob("**/*.wgprof"))
#: Of all figures of a recording, uncompressed: a page must stay quick.
MOST_JSON = 1_500_000


def drawn(recording: Tables, selection: Selection | None = None) -> dict[str, list[Picture]]:
    chosen = selection or Selection()
    part = for_screens(recording) if selection is None else Part(for_screens(recording), chosen)
    analysis = analyse(part)
    return {view.name: list(pictures(view, part, analysis, chosen)) for view in VIEWS}


def all_of(found: dict[str, list[Picture]]) -> list[Picture]:
    return [picture for mine in found.values() for picture in mine]


@pytest.fixture(scope="module")
def recording() -> InMemory:
    tx, rx = Load(rate=900, segments=2, crypt_ns=100_000), Load(rate=400, crypt_ns=100_000)
    return gateway(seconds=4, peers=2, workers=3, tx=tx, rx=rx, sample_every=2, seed=5)


@pytest.mark.parametrize("file", [EXAMPLE, *RECORDINGS], ids=lambda path: path.stem)
def test_every_view_draws_every_recording_or_says_why_not(file: Path) -> None:
    part = for_screens(open_recording(file))
    analysis = analyse(part)
    names: list[str] = []
    size = 0
    for view in VIEWS:
        missing, found = view.missing(part, analysis), list(pictures(view, part, analysis, Selection()))
        assert bool(missing) != bool(found), view.name
        assert not missing or "`wgprof" in missing
        for picture in found:
            assert len(picture.description) > 60, picture.name
            assert picture.figure.checked().data and 100 <= picture.figure.layout["height"] <= 1600, picture.name
            size += len(picture.figure.to_json())
            names.append(picture.name)
    assert len(set(names)) == len(names)
    assert size < MOST_JSON


def test_views_are_named_once_and_say_what_they_need() -> None:
    assert len({view.name for view in (*VIEWS, *MORE_VIEWS)}) == len(VIEWS) + len(MORE_VIEWS)
    for view in (*VIEWS, *MORE_VIEWS):
        assert re.fullmatch(r"[a-z]+", view.name) and view_of(view.name) is view
        assert set(view.tables) <= set(BY_NAME)
        assert view.sentence.endswith(".") and len(view.sentence) < 130


@pytest.mark.parametrize(
    "selection",
    [Selection(direction="tx"), Selection(direction="rx"), Selection(1.0, 2.0), Selection(peers=frozenset({2})),
     Selection(0.0, 3.0, "tx", frozenset({3})), Selection(50.0, 60.0), Selection(peers=frozenset())],
    ids=str,
)  # fmt: skip
def test_views_draw_any_part(recording: InMemory, selection: Selection) -> None:
    found = drawn(with_perf(with_mechanics(recording)), selection)
    if selection.direction == "tx":
        assert [p.name for p in found["journeys"]] == ["journeys_tx", "journeys_tx_cpus"]
        assert not any("rx.decrypt" in text for p in found["latency"] for text in strings(p.figure.plain()))
    if selection.start_s == 50.0 or selection.peers == frozenset():
        assert not found["pipeline"] and not found["latency"]
    else:
        assert found["pipeline"]


def test_times_of_a_part_count_from_the_beginning_of_the_recording(recording: InMemory) -> None:
    found = drawn(recording, Selection(2.0, 3.0))
    for view, name in (("queues", "queues"), ("cores", "cores_split"), ("latency", "latency_over_time")):
        (figure,) = (p.figure.checked() for p in found[view] if p.name == name)
        assert 1.9 <= float(figure.data[0].x[0]) <= 3.0 and float(figure.data[0].x[-1]) <= 3.0


def test_nothing_recorded_draws_nothing_but_says_what_to_do() -> None:
    nothing = InMemory()
    analysis = analyse(nothing)
    for view in VIEWS:
        if view.name != "quality":
            assert "`wgprof" in view.missing(nothing, analysis)
            assert not list(pictures(view, nothing, analysis, Selection()))


def test_one_peer_in_one_direction() -> None:
    found = drawn(gateway(seconds=2, tx=Load(rate=400), seed=1))
    assert {p.name for p in found["journeys"]} == {"journeys_tx", "journeys_tx_cpus"}
    assert found["cores"] and found["latency"]


def test_sixty_four_peers_stay_readable() -> None:
    load = Load(rate=30, crypt_ns=20_000, serial_ns=20_000)
    found = drawn(with_mechanics(gateway(seconds=1, peers=64, workers=8, tx=load, rx=load, sample_every=1, seed=3)))
    for picture in all_of(found):
        assert picture.figure.layout["height"] < 2200, picture.name
    assert sum(len(p.figure.to_json()) for p in all_of(found)) < 2 * MOST_JSON


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_hostile_names_are_text_in_every_view(recording: InMemory, text: str) -> None:
    bad = hostile(with_perf(with_mechanics(recording)), text)
    found = drawn(bad)
    assert found["stacks"] and found["wakeups"] and found["quality"]
    for picture in all_of(found):
        for string in strings(picture.figure.plain()):
            assert "<script" not in string and "<img" not in string and "<a " not in string
            assert "\x1b" not in string and "\u202e" not in string
            assert len(string) < 1500 or re.fullmatch(r"[A-Za-z0-9+/=]+", string), "numbers are in Base64"


def test_what_only_checks_know_is_not_asked_of_a_part(recording: InMemory) -> None:
    part = Part(recording, Selection(direction="tx"))
    quick, full = analyse_part(part), analyse(part)
    assert quick.checks == [] and full.checks and quick.ends is None
    with pytest.raises(AttributeError):
        quick.nothing_of_the_kind  # type: ignore[attr-defined]  # noqa: B018
    for each in fields(Analysis):  # whatever is asked for first
        if each.name not in ("checks", "ends"):
            asked_alone = getattr(analyse_part(part), each.name)
            assert_same(asked_alone, getattr(full, each.name))
            assert_same(getattr(quick, each.name), asked_alone)


def assert_same(one: Any, other: Any) -> None:
    """Arrays within dataclasses have no one truth value."""
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif is_dataclass(one):
        assert type(one) is type(other)
        for each in fields(one):
            assert_same(getattr(one, each.name), getattr(other, each.name))
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for mine, its in zip(one, other, strict=True):
            assert_same(mine, its)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, mine in one.items():
            assert_same(mine, other[key])
    else:
        assert one == other


def test_plain_figures_are_what_plotly_would_make_of_them(recording: InMemory) -> None:
    """Numbers in Base64 are read back by plotly.js; here by Plotly itself."""
    for picture in all_of(drawn(with_perf(with_mechanics(recording)))):
        plain, checked = picture.figure.plain(), picture.figure.checked().to_plotly_json()
        for ours, theirs in zip(plain["data"], checked["data"], strict=True):
            assert ours.keys() == theirs.keys()
            for key in ("x", "y", "z", "base"):
                if key in ours:
                    np.testing.assert_array_equal(numbers(ours[key]), numbers(theirs[key]))
        ours = {name for name, value in plain["layout"].items() if value != []}
        assert checked["layout"].keys() - {"template"} == ours, "Plotly adds its own style"


def numbers(value: Any) -> Any:
    if not isinstance(value, dict):
        return np.array(value)
    flat = np.frombuffer(base64.b64decode(value["bdata"]), dtype=value["dtype"])
    return flat.reshape([int(n) for n in value["shape"].split(",")]) if "shape" in value else flat
    assert {view.name for view in VIEWS if view.whole} == {"stacks", "quality"}


@pytest.mark.parametrize("view", MORE_VIEWS, ids=lambda view: str(view.name))
def test_what_one_recording_cannot_fill_says_what_to_do(recording: InMemory, view: View) -> None:
    analysis: Analysis = analyse(recording)
    assert "`wgprof" in view.missing(recording, analysis)
    assert not list(pictures(view, recording, analysis, Selection()))
