"""What a sweep says: figures over repeats, failed checks, laws, the model against it; and how it looks."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.support.model import MODERN
from tests.support.sweeps import RECORDED, Quiet, recorder, small, swept
from tests.unit.test_report import HOSTILE, Page, figures_of
from wgprof.analysis.estimate import Estimate
from wgprof.analysis.summary import analyse
from wgprof.cli import cli
from wgprof.errors import RecordingError, UsageError
from wgprof.model.machine import Machine
from wgprof.model.predict import Architecture, Ask, predict
from wgprof.recording.reader import open_recording
from wgprof.report.sweep import Results, as_document, print_results, share
from wgprof.report.sweep_page import render
from wgprof.sweep.configuration import Configuration
from wgprof.sweep.curves import curves_of, fits_of
from wgprof.sweep.document import DONE, FAILED, Sweep
from wgprof.sweep.figures import Row, RunFigures, over_repeats, rows_of
from wgprof.sweep.file import SweepFile
from wgprof.sweep.matrix import Matrix
from wgprof.sweep.part import part_of
from wgprof.sweep.running import run_sweep
from wgprof.sweep.validation import row_named, validate

#: Of the stages, as the costs of MODERN add up to.
SERVICE_NS = {"rx.decrypt": 1500.0, "rx.deliver": 750.0, "tx.encrypt": 1400.0, "tx.send": 1200.0}


def run_of(number: int, goodput: float, *failed: str, size: float = 1420.0) -> RunFigures:
    return RunFigures(
        number, 1, goodput, goodput, size, 1.5, 0.75, {"rx.napi": 0.5}, {"rx.napi": 0.7}, 0.1, 9, 1, failed, "",
        16.0, SERVICE_NS, 0.25,
    )  # fmt: skip


def row_of(number: int, configuration: Configuration, *runs: RunFigures, failures: tuple[str, ...] = ()) -> Row:
    goodput = over_repeats([run.goodput_mbit_s for run in runs])
    half = Estimate(0.5, n=len(runs))
    return Row(
        number, configuration, configuration.label(("tunnels", "module", "workload")), runs, failures, 0, goodput,
        Estimate(1.5, 1.4, 1.6, 2), half, {"rx.napi": half}, {"rx.napi": half}, half,
    )  # fmt: skip


def rows(matrix: Matrix, goodput: float = 100.0) -> list[Row]:
    return [row_of(n, c, run_of(n, goodput * c.tunnels)) for n, c in enumerate(matrix.configurations, start=1)]


# -- figures


def test_the_mean_over_repeats_has_students_interval() -> None:
    known = over_repeats([90.0, 100.0, 110.0])
    assert known is not None and known.value == pytest.approx(100)
    # 4.303 is the 97.5 % point for two degrees of freedom; the standard error is 10 / sqrt(3).
    assert known.high == pytest.approx(100 + 4.303 * 10 / 3**0.5, rel=1e-3)
    assert known.low == pytest.approx(200 - (known.high or 0))
    assert over_repeats([5.0]) == Estimate(5.0, None, None, 1)
    assert over_repeats([]) is None
    below = over_repeats([0.0, 2.0])
    assert below is not None and below.low == 0.0
    above = over_repeats([0.9, 1.0], 1)
    assert above is not None and above.high == 1 and above.value == pytest.approx(0.95)
    beyond = over_repeats([1.0, 1.2], 1)
    assert beyond is not None and (beyond.high or 0) > 1.1, "a fault of the measurement is shown"


def test_an_interval_that_was_cut_shows_its_ends() -> None:
    assert share(over_repeats([0.5, 0.52, 0.54], 1)) == "52 % ±5.0"
    assert share(over_repeats([0.98, 0.99, 1.0], 1)) == "99 % (96.5..100)"
    assert share(over_repeats([0.0, 0.02], 1)) == "1.0 % (0..13.7)"
    assert share(over_repeats([0.5], 1)) == "50 %"


def test_each_configuration_has_the_figures_of_its_own_recordings(tmp_path: Path) -> None:
    """Interleaved as they were recorded, the repeats come back to their configuration."""
    out = swept(tmp_path / "it.sweep", small(), recorder(lambda c, n: 100.0 * c.tunnels + n))
    with SweepFile(out) as opened:
        found = rows_of(opened)
    assert [row.label for row in found] == ["1 tunnel, distribution", "2 tunnels, distribution"]
    for row in found:
        base = 100.0 * row.configuration.tunnels
        assert [run.goodput_mbit_s for run in row.runs] == pytest.approx([base + 1, base + 2])
        assert row.goodput_mbit_s is not None and row.goodput_mbit_s.value == pytest.approx(base + 1.5)
        assert [run.repeat for run in row.runs] == [1, 2]


def test_the_figures_are_those_of_the_recording(tmp_path: Path) -> None:
    out = swept(tmp_path / "it.sweep", small(tunnels=1, repeats=1), recorder(lambda c, n: 100.0))
    with SweepFile(out) as opened:
        ((run,),) = (row.runs for row in rows_of(opened))
    with open_recording(RECORDED) as recording:
        analysis = analyse(recording)
    assert analysis.headline is not None
    assert run.busy_ce == pytest.approx(analysis.headline.busy_ce)
    naps = [server for server in analysis.servers if server.kind == "rx.napi"]
    assert run.utilisation["rx.napi"] == max(server.utilisation for server in naps)
    assert run.server_ce["rx.napi"] == pytest.approx(sum(server.busy_ce for server in naps))
    assert run.wasted_polls == sum(s.empty for s in naps) / sum(s.executions for s in naps)
    (decrypt,) = (s for s in analysis.servers if s.kind == "decrypt.work" and s.cpu is None)
    assert run.utilisation["decrypt.work"] == decrypt.utilisation
    assert len(run.failed) == len(analysis.failed)
    assert run.checks_ok + run.checks_open + len(run.failed) == len(analysis.checks)


@pytest.mark.parametrize("said", [-5.0, 0.0, "1e9", None, True, 1e300])
def test_a_goodput_that_cannot_be_believed_is_what_the_probes_saw(tmp_path: Path, said: object) -> None:
    def record(configuration: Configuration, out: Path) -> None:
        recorder(lambda c, n: 1.0)(configuration, out)
        with open_recording(out) as recording:
            manifest = {**recording.manifest, "results": {"goodput_bps": said}}
            tables = {name: recording.arrow(name) for name in recording.manifest["tables"]}
        from wgprof.recording.writer import write_recording

        write_recording(out, manifest, tables)

    out = swept(tmp_path / "it.sweep", small(tunnels=1, repeats=1), record)
    with SweepFile(out) as opened:
        ((run,),) = (row.runs for row in rows_of(opened))
    assert run.goodput_mbit_s == run.rate_mbit_s > 1


# -- laws


def test_curves_differ_along_one_axis_alone() -> None:
    matrix = small(tunnels=[1, 2, 4], cpus=[1, 2], module=["vanilla", "inline"])
    found = list(curves_of(rows(matrix)))
    assert sorted((curve.axis, len(curve.rows)) for curve in found) == [("cpus", 2)] * 6 + [("tunnels", 3)] * 4
    for curve in found:
        other = {(r.configuration.module, r.configuration.cpus if curve.axis == "tunnels" else r.configuration.tunnels)
                 for r in curve.rows}  # fmt: skip
        assert len(other) == 1


def test_a_known_law_is_found_again_from_all_repeats() -> None:
    matrix = small(tunnels=[1, 2, 4, 8, 16])

    def amdahl(n: int) -> float:
        return 100 * n / (1 + 0.2 * (n - 1))

    found = [
        row_of(n, c, run_of(n, amdahl(c.tunnels) * 1.01), run_of(n, amdahl(c.tunnels) * 0.99))
        for n, c in enumerate(matrix.configurations, start=1)
    ]
    fits = {fitted.fit.law: fitted.fit for fitted in fits_of(list(curves_of(found)))}
    serial = fits["amdahl"].parameters[1]
    assert serial.low < 0.2 < serial.high and serial.value == pytest.approx(0.2, rel=0.05)
    assert fits["usl"].parameters[2].value == pytest.approx(0, abs=0.005)


def test_two_points_make_no_law() -> None:
    assert fits_of(list(curves_of(rows(small())))) == []


# -- the model against it


def _predicted_rows(matrix: Matrix, machine: Machine) -> list[Row]:
    """Rows whose throughput is the model's, times three: as if a slower machine had been measured."""
    found = []
    for number, c in enumerate(matrix.configurations, start=1):
        module = "vanilla" if c.module == "distribution" else c.module
        ask = Ask(
            machine, (c.cpus,), (c.tunnels,), (Architecture(module, c.threaded),), "loop", 1420, 1, 0.05, bands=False
        )
        (point,) = predict(ask).points
        row = row_of(number, c, run_of(number, point.gbit_s * 3000))
        ce = {name: Estimate(busy) for name, busy in point.busy_by_server.items()}
        wasted = None if point.wasted_polls is None else Estimate(point.wasted_polls)
        found.append(replace(row, server_ce=ce, wasted_polls=wasted))
    return found


def test_ratios_that_hold_are_found_to_hold_and_others_not() -> None:
    matrix, machine = small(tunnels=[1, 2], module=["distribution", "inline"]), Machine("test", MODERN)
    found = _predicted_rows(matrix, machine)
    validation = validate(machine, found, found[0], seeds=1, seconds=0.05)
    assert [c.row.number for c in validation.compared] == [2, 3, 4]
    assert validation.holding == 3 and validation.scale == pytest.approx(3, rel=0.01)
    assert all(c.off == pytest.approx(0, abs=0.01) for c in validation.compared)
    assert [figure.name for figure in validation.compared[1].figures] == [
        "wasted polls", "tx.work", "encrypt.work", "decrypt.work", "rx.napi"
    ]  # fmt: skip
    assert [figure.name for figure in validation.compared[0].figures] == ["tx.inline", "rx.inline"]
    assert all(figure.holds and figure.measured.value > 0 for figure in validation.figures)
    (prediction,) = validation.scaled.values()
    assert {point.architecture.module for point in prediction.points} == {"distribution", "inline"}
    twice = [*found[:3], row_of(4, found[3].configuration, run_of(4, found[3].runs[0].rate_mbit_s * 2))]
    validation = validate(machine, twice, twice[0], seeds=1, seconds=0.05)
    assert [c.holds for c in validation.compared] == [True, True, False]
    assert validation.compared[2].off == pytest.approx(-0.5, abs=0.01)
    idle = replace(found[2], server_ce={"rx.napi": Estimate(0.0)}, wasted_polls=Estimate(1.0))
    (wasted, napi) = validate(machine, [found[0], idle], found[0], seeds=1, seconds=0.05).figures
    assert not wasted.holds and wasted.off is not None and wasted.off < 0
    assert not napi.holds and napi.off is None


def test_without_a_choice_the_base_is_one_without_threads() -> None:
    matrix = small(tunnels=[1], threaded=[True, False])
    found = [row_of(n, c, run_of(n, 100.0)) for n, c in enumerate(matrix.configurations, start=1)]
    assert found[0].configuration.threaded
    assert validate(Machine("test", MODERN), found, None, seeds=1, seconds=0.02).base is found[1]
    assert validate(Machine("test", MODERN), found, found[0], seeds=1, seconds=0.02).base is found[0]


def test_drift_between_repeats_cancels_in_the_measured_ratio() -> None:
    """The host halves its speed in the second repeat; twice the throughput stays twice."""
    found = [
        row_of(n, c, run_of(n, 100.0 * c.tunnels), replace(run_of(n, 50.0 * c.tunnels), repeat=2))
        for n, c in enumerate(small().configurations, start=1)
    ]
    (compared,) = validate(Machine("test", MODERN), found, found[0], seeds=1, seconds=0.02).compared
    ratio = compared.measured
    assert [ratio.value, ratio.low, ratio.high] == pytest.approx([2, 2, 2])
    assert found[1].goodput_mbit_s is not None and (found[1].goodput_mbit_s.high or 0) > 500


def test_a_ratio_and_its_inverse_are_as_far_from_one() -> None:
    """An arithmetic mean of 4 and 1/4 would say that both configurations are twice as fast as the other."""
    one, two = small().configurations
    found = [
        row_of(1, one, run_of(1, 100.0), replace(run_of(3, 400.0), repeat=2)),
        row_of(2, two, run_of(2, 400.0), replace(run_of(4, 100.0), repeat=2)),
    ]
    (compared,) = validate(Machine("test", MODERN), found, found[0], seeds=1, seconds=0.02).compared
    assert compared.measured.value == pytest.approx(1)
    assert compared.measured.low is not None and compared.measured.high is not None
    assert compared.measured.low * compared.measured.high == pytest.approx(1)


def test_what_the_model_has_no_counterpart_of_is_left_out_with_the_reason() -> None:
    matrix = small(
        tunnels=1, module="vanilla", lab_crypto=["off", 0.3], workload=["tcp", "idle", "udp-paced", "bidir"],
        kernel=["6.12", "6.1"],
    )  # fmt: skip
    found = rows(matrix)
    base = next(row for row in found if row.configuration == Configuration(1, 2, "vanilla", False, "tcp", None, "6.12"))
    validation = validate(Machine("test", MODERN), found, base, seeds=1, seconds=0.02)
    (dialled,) = validation.compared
    assert replace(dialled.row.configuration, lab_crypto=None) == base.configuration
    assert len(validation.not_compared) == len(found) - 2
    reasons = {why.split(",")[0] for _, why in validation.not_compared}
    assert len(reasons) == 4
    with pytest.raises(UsageError, match="nothing to compare"):
        validate(Machine("test", MODERN), [replace(row, goodput_mbit_s=None) for row in found], None)


def test_a_configuration_is_named_by_number_or_label() -> None:
    found = rows(small())
    assert row_named(found, "2") is found[1] is row_named(found, found[1].label)
    assert row_named(found, "3") is None


# -- on a screen


def printed(results: Results) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    print_results(results, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def results_of(matrix: Matrix, found: list[Row], state: str = DONE) -> Results:
    sweep = Sweep.of(matrix, "2026-01-02T03:04:05Z")
    return Results(replace(sweep, runs=tuple(replace(run, state=state) for run in sweep.runs)), found)


def test_failed_checks_and_failed_recordings_are_said_first() -> None:
    matrix = small(repeats=1)
    good, bad = rows(matrix)
    bad = row_of(2, bad.configuration, run_of(2, 100.0, "conservation (rx-queue)"), failures=("the lab fell over",))
    text = printed(results_of(matrix, [good, bad]))
    assert text.startswith("Checks FAILED in 1 of 2 recordings")
    assert "conservation (rx-queue)" in text and "the lab fell over" in text and "decidable checks hold" not in text
    assert "Quality: all 18 decidable checks hold" in printed(results_of(matrix, rows(matrix)))
    lost = printed(results_of(matrix, rows(matrix), FAILED))
    assert lost.startswith("2 of 2 recordings could not be made")


def test_json_has_every_figure(tmp_path: Path) -> None:
    matrix = small(tunnels=[1, 2, 4, 8])
    found = rows(matrix)
    results = replace(results_of(matrix, found), fits=fits_of(list(curves_of(found))))
    document = json.loads(json.dumps(as_document(results)))
    assert document["wgprof_sweep"] == 1 and document["matrix"] == matrix.document()
    assert [c["goodput_mbit_s"]["value"] for c in document["configurations"]] == [100, 200, 400, 800]
    assert [fit["law"] for fit in document["fits"]] == ["amdahl", "usl"]
    assert document["validation"] is None


def test_the_page_is_harmless_and_asks_nothing_of_a_network() -> None:
    matrix = small(repeats=1)
    hostile = [
        row_of(n, c, run_of(n, 100.0, *HOSTILE), failures=HOSTILE) for n, c in enumerate(matrix.configurations, start=1)
    ]
    page, plain = (
        Page(render(results_of(matrix, hostile), HOSTILE[0])),
        Page(render(results_of(matrix, rows(matrix)), "it")),
    )
    assert len(page.scripts) == len(plain.scripts), "no string of the sweep began a script"
    assert {tag for tag, _ in page.tags} - {tag for tag, _ in plain.tags} <= {"h2", "p"}
    attributes = [(name, value) for _, given in page.tags for name, value in given.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name == "src"]
    assert not [value for name, value in attributes if name == "href" and not str(value).startswith("#")]
    assert "49" not in page.text.replace(HOSTILE[-1], ""), "nothing was evaluated"


def test_the_page_draws_what_was_measured_and_predicted() -> None:
    matrix, machine = small(tunnels=[1, 2, 4], cpus=[1, 2], module=["distribution", "inline"]), Machine("test", MODERN)
    found = _predicted_rows(matrix, machine)
    validation = validate(machine, found, found[0], seeds=1, seconds=0.02)
    html = render(replace(results_of(matrix, found), fits=fits_of(list(curves_of(found))), validation=validation), "it")
    page = Page(html)
    drawn = list(figures_of(page).values())
    # Over tunnels with 1 and with 2 CPUs; over CPUs with 1, 2 and 4 tunnels.
    assert len(drawn) == 5
    names = {trace.get("name") for trace in drawn[0]["data"]}
    assert {"distribution, measured", "distribution, predicted", "inline, measured", "inline, predicted"} <= names
    assert "within 15 %" in page.text and "Laws of scaling" in page.text


# -- the command line


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sweep") / "it.sweep"
    return swept(out, small(tunnels=[1, 2, 4], repeats=1), recorder(lambda c, n: 100.0))


def test_show_and_report(sweep: Path) -> None:
    shown = CliRunner().invoke(cli, ["sweep", "show", str(sweep)])
    assert shown.exit_code == 0 and "3 configurations, 1 repeat of 1 s each: 3 of 3 recordings." in shown.output
    as_json = CliRunner().invoke(cli, ["sweep", "show", str(sweep), "--json"])
    assert json.loads(as_json.stdout)["recordings"] == {"done": 3, "failed": 0, "waiting": 0}
    reported = CliRunner().invoke(cli, ["sweep", "report", str(sweep)])
    assert reported.exit_code == 0 and reported.output.startswith(f"Wrote {sweep.with_suffix('.html')} (")


def test_an_unfinished_sweep_says_so(tmp_path: Path) -> None:
    def record(configuration: Configuration, out: Path) -> None:
        if configuration.tunnels > 1:
            raise RecordingError("it fails")
        recorder(lambda c, n: 100.0)(configuration, out)

    with part_of(tmp_path / "it.sweep", small(repeats=1)) as part:
        run_sweep(part, record, Quiet())
        part.pack()
    shown = CliRunner().invoke(cli, ["sweep", "show", str(tmp_path / "it.sweep")])
    assert shown.exit_code == 0
    assert shown.output.startswith("1 of 2 recordings could not be made") and "it fails" in shown.output


def test_a_configuration_that_is_not_there_is_one_sentence(sweep: Path) -> None:
    shown = CliRunner().invoke(cli, ["sweep", "show", str(sweep), "--predict", "9"])
    assert isinstance(shown.exception, UsageError) and shown.exception.remedy == "There are 1 to 3."
