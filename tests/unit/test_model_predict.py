"""Predictions: what they contain, how they are interrupted, and how they look."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.model import MODERN
from wgprof.cli import cli
from wgprof.errors import UsageError
from wgprof.model import predict as model
from wgprof.model.costs import Costs
from wgprof.model.machine import Machine
from wgprof.model.predict import ALL, Architecture, Ask, changed, predict
from wgprof.model.simulate import simulate
from wgprof.report.prediction import as_document, fit_lines
from wgprof.views.scaling import EMPTY, Measured, scaling

_VANILLA, _INLINE = Architecture("vanilla"), Architecture("inline")


def _machine(**ranges: tuple[float, float]) -> Machine:
    costs = dict(MODERN.costs)
    for name, (low, high) in ranges.items():
        costs[name] = replace(costs[name], low=low, high=high, assumed=True)
    return Machine("test", Costs(1420, costs))


def _ask(machine: Machine, **other: object) -> Ask:
    ask = Ask(machine, (2,), (1,), (_VANILLA,), seeds=2, seconds=0.03)
    return replace(ask, **other)  # type: ignore[arg-type]


def test_a_point_says_what_its_band_rests_on() -> None:
    prediction = predict(_ask(_machine(decrypt=(500, 4000), stack=(900, 1100)), tunnels=(4,), seconds=0.15))
    (point,) = prediction.points
    assert point.complete and point.seeds == 2
    assert point.dominant is not None and point.dominant.parameter == "costs.decrypt" and point.dominant.assumed
    assert point.dominant.at_high < 0 < point.dominant.at_low
    assert point.low_gbit_s < point.gbit_s < point.high_gbit_s
    assert point.limit.server == "all CPUs"


def test_without_ranges_nothing_dominates() -> None:
    (point,) = predict(_ask(_machine())).points
    assert point.dominant is None and point.effects == ()


def test_inline_does_not_depend_on_hand_offs() -> None:
    machine = _machine(wake=(0, 5000), decrypt=(1000, 2000))
    ask = _ask(machine, architectures=(_VANILLA, _INLINE))
    assert model.relevant(ask, _INLINE) == ["costs.decrypt"]
    assert model.relevant(ask, _VANILLA) == ["costs.decrypt", "costs.wake"]


def test_the_two_ends_matter_in_a_loop_alone() -> None:
    machine = _machine(read=(0, 5000), unlock=(0, 100))
    for direction, names in (("rx", ["costs.unlock"]), ("tx", []), ("loop", ["costs.unlock", "costs.read"])):
        assert model.relevant(_ask(machine, direction=direction), _VANILLA) == names
    assert model.relevant(_ask(machine, direction="loop"), _INLINE) == ["costs.read"]


def test_a_cheaper_server_helps_where_it_is_the_limit() -> None:
    machine = _machine()
    before = predict(_ask(machine, tunnels=(8,), seconds=0.2)).points[0]
    after = predict(_ask(changed(machine, [("decrypt", 0.2)]), tunnels=(8,), seconds=0.2)).points[0]
    assert after.gbit_s > 1.15 * before.gbit_s


def test_same_seed_same_result() -> None:
    scenario = _ask(_machine()).scenario(_machine(), (_VANILLA, 4, 5))
    first, second = (simulate(scenario, MODERN, 3, 0.02, 0.01) for _ in range(2))
    other = simulate(scenario, MODERN, 4, 0.02, 0.01)
    assert first == second != other


def test_an_interrupt_keeps_what_there_is() -> None:
    def impatient(done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    prediction = predict(_ask(_machine(), cores=(2, 4), seeds=60, bands=False), impatient)
    assert prediction.interrupted
    assert [point.cores for point in prediction.points] == [2, 4]
    assert all(0 < point.seeds < 60 and not point.complete for point in prediction.points)


def test_a_bad_grid_is_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="rss_queues, 4"):
        predict(_ask(replace(_machine(), rss_queues=4), cores=(2, 8)))


def test_fits_need_enough_numbers_of_cores() -> None:
    some = predict(_ask(_machine(), cores=(1, 2), bands=False))
    assert fit_lines(some) == []
    lines = fit_lines(predict(_ask(_machine(), cores=(1, 2, 4, 8), tunnels=(16,), bands=False)))
    assert len(lines) == 2 and "Amdahl" in lines[0] and "USL" in lines[1]


def test_document_is_json_with_every_point_and_parameter() -> None:
    prediction = predict(_ask(_machine(decrypt=(1000, 2000)), architectures=ALL))
    document = json.loads(json.dumps(as_document(prediction, None, [])))
    assert document["wgprof_predict"] == 1
    assert [(p["module"], p["threaded"]) for p in document["points"]] == [(a.module, a.threaded) for a in ALL]
    assert document["parameters"]["costs.decrypt"]["high"] == 2000


def test_figure_shows_bands_measurements_and_the_cap() -> None:
    prediction = predict(_ask(_machine(decrypt=(1000, 2000)), cores=(1, 2, 4, 8), tunnels=(4,)))
    seen = [Measured(_VANILLA, n, 4, 1.0 * n, 0.9 * n, 1.1 * n) for n in (1, 2, 4)]
    figure = scaling(prediction, seen, cap_gbit_s=9.0).checked()
    names = [trace.name for trace in figure.data if trace.name]
    assert names == ["vanilla, predicted", "vanilla, measured"]  # three measured points are too few for the USL
    assert list(figure.data[1].x) == [1, 2, 4, 8]
    assert len(figure.layout.shapes) == 1
    assert any(trace.get("name") == "vanilla, USL" for trace in scaling(prediction).data)


@pytest.mark.parametrize(("highest", "step"), [(1, 1), (2, 1), (16, 1), (17, 2), (64, 5), (1024, 100)])
def test_no_tick_is_between_whole_numbers(highest: int, step: int) -> None:
    seen = [Measured(_VANILLA, 2, n, 1.0, 0.9, 1.1) for n in dict.fromkeys((1, highest))]
    axis = scaling(None, seen, axis="tunnels").checked().layout.xaxis
    assert (axis.tick0, axis.dtick, axis.tickformat) == (0, step, "d")


def test_the_caps_name_is_beside_the_figure_and_points_of_one_number_beside_each_other() -> None:
    seen = [Measured(a, 2, n, 1.0, 0.9, 1.1) for a in (_VANILLA, _INLINE) for n in (1, 8)]
    figure = scaling(None, seen, axis="tunnels", cap_gbit_s=1.0).checked()
    (cap,) = figure.layout.annotations
    assert (cap.xref, cap.x, cap.xanchor, cap.y) == ("paper", 1, "left", 1.0)
    assert figure.layout.margin.r > 100 > scaling(None, seen, axis="tunnels").layout["margin"]["r"]
    first, second = (trace for trace in figure.data if "measured" in trace.name)
    for n, left, right in zip((1, 8), first.x, second.x, strict=True):
        assert left < n < right < left + 0.2
    assert [said[0] for said in first.customdata] == [1, 8], "pointing at one says its number"


def test_empty_figure_says_how_to_fill_it() -> None:
    assert scaling(None).layout["annotations"][0]["text"] == EMPTY
    assert "no point with 3 tunnels" in scaling(predict(_ask(_machine())), at=3).layout["annotations"][0]["text"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tunnels", "0"], "--tunnels has 0"),
        (["--cores", "many"], "--cores is 'many'"),
        (["--cores", "64"], "cores is 64, more than the NIC's rss_queues, 63"),
        (["--module", "fast"], "--module has 'fast'"),
        (["--module", "inline", "--threaded"], "inline has no NAPI"),
        (["--what-if", "decrypt"], "--what-if is 'decrypt'"),
        (["--what-if", "cipher=0.5"], "no cost 'cipher'"),
        (["--what-if", "decrypt=-1"], "the factor of decrypt is -1"),
    ],
)
def test_bad_questions_are_one_sentence(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(cli, ["predict", "xeon-e5-2660v3", *arguments])
    assert isinstance(result.exception, UsageError) and words in result.exception.sentence


def test_command_prints_a_row_a_point(tmp_path: Path) -> None:
    grid = ["--cores", "2", "--tunnels", "2", "--module", "vanilla,inline"]
    arguments = ["predict", "papers-gateway", *grid, "--seconds", "0.02", "--seeds", "1"]
    result = CliRunner().invoke(cli, [*arguments, "--what-if", "decrypt=0.8"], catch_exceptions=False)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines() if line.strip().startswith("2 ")]
    assert [row[2] for row in rows] == ["vanilla", "inline"]
    assert "decrypt×0.8" in result.stdout and "×1." in result.stdout
    as_json = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    assert len(json.loads(as_json.stdout)["points"]) == 2


def test_without_what_predictions_need_its_name_and_how_to_install_it_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from wgprof.errors import MachineError
    from wgprof.model.installed import importlib  # type: ignore[attr-defined]

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MachineError, match="predicting needs numba and scipy") as caught:
        CliRunner().invoke(cli, ["predict", "xeon-e5-2660v3"], catch_exceptions=False)
    assert caught.value.remedy == "Install them with it: pip install 'wgprof[model]'."
