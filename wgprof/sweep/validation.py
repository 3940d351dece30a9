"""The model, calibrated on one configuration of a sweep, against the others: what it says of them, and what is so."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from wgprof.analysis.estimate import Estimate
from wgprof.errors import UsageError
from wgprof.model.calibrate import machine_from
from wgprof.model.machine import Machine
from wgprof.model.predict import Architecture, Ask, Point, Prediction, predict
from wgprof.sweep.configuration import DISTRIBUTION, Configuration
from wgprof.sweep.document import DONE
from wgprof.sweep.figures import WASTED, Row, mean_and_half
from wgprof.sweep.file import SweepFile
from wgprof.sweep.settings import Setting, Told, told, why_not_told

#: How near a ratio has to be.
WITHIN = 0.15
#: Shares and CE that differ by less than this are not told apart.
NEXT_TO_NOTHING = 0.01
#: An interval of few repeats may reach beyond what a float holds.
_MOST_LOG = 500.0
#: Traffic the model has no counterpart of.
_OTHER_TRAFFIC = {
    "idle": "nothing is sent",
    "udp-paced": "its rate is what the senders offer, whatever the machine could carry",
    "bidir": "each tunnel is sent into from both ends, and the model's from one",
}


@dataclass(frozen=True)
class Figure:
    """One more figure of a configuration: the share of wasted polls, or a server's CE."""

    name: str
    predicted: float
    measured: Estimate

    @property
    def off(self) -> float | None:
        """Predicted over measured, less one; None if nothing was measured."""
        return self.predicted / self.measured.value - 1 if self.measured.value else None

    @property
    def holds(self) -> bool:
        """Whether the two are within 15 %, or both next to nothing."""
        away = abs(self.predicted - self.measured.value)
        return away <= max(WITHIN * self.measured.value, NEXT_TO_NOTHING)


@dataclass(frozen=True)
class Compared:
    """One configuration: throughput as a multiple of the base's, predicted and measured, and CPU time beside it."""

    row: Row
    predicted: float
    measured: (
        Estimate  # over repeats, each by the base's recording of the same repeat: what drifts between them cancels
    )
    low: float  # the band of the prediction
    high: float
    busy_predicted: float  # CE
    busy_measured: float
    taken: tuple[str, ...]  # what was not calibrated, and the number of the configuration it is from
    figures: tuple[Figure, ...]

    @property
    def off(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted / self.measured.value - 1

    @property
    def holds(self) -> bool:
        """Whether the prediction is within 15 % of what was measured."""
        return abs(self.off) <= WITHIN


@dataclass(frozen=True)
class Validation:
    """A prediction of a sweep.  `base` is the configuration that everything is a multiple of."""

    source: str  # what the model was calibrated with
    base: Row
    notes: tuple[str, ...]
    taken: tuple[str, ...]  # what the model was told beside its calibration, and where it is from
    compared: tuple[Compared, ...]
    not_compared: tuple[tuple[Row, str], ...]  # and why
    scale: float  # measured goodput over predicted throughput of the base
    scaled: Mapping[Setting, Prediction]  # in measured units, named by the sweep's architectures

    @property
    def tolerance(self) -> float:
        """How near a ratio has to be."""
        return WITHIN

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Those of all configurations."""
        return tuple(figure for compared in self.compared for figure in compared.figures)

    @property
    def holding(self) -> int:
        """How many are within 15 %."""
        return sum(compared.holds for compared in self.compared)


def row_named(rows: Sequence[Row], name: str) -> Row | None:
    """The configuration a user means: by its number, or its label.  None if there is no such."""
    for row in rows:
        if name.strip() in (str(row.number), row.label):
            return row
    return None


def calibrated(file: SweepFile, row: Row) -> Machine:
    """The model's machine out of that recording of a configuration in which the fewest checks failed.

    Raises RecordingError or UsageError.
    """
    if not row.runs:
        raise UsageError(f"configuration {row.number} ({row.label}) has no recording to calibrate with")
    best = min(row.runs, key=lambda run: len(run.failed))
    (run,) = (run for run in file.sweep.in_state(DONE) if run.number == best.number)
    with file.recording(run) as recording:
        return machine_from(recording, f"configuration {row.number} ({row.label}), repeat {best.repeat}")


def architecture_of(configuration: Configuration) -> Architecture:
    """As the sweep names it: the distribution's module under its own name."""
    return Architecture(configuration.module, configuration.threaded)


def validate(
    machine: Machine,
    rows: Sequence[Row],
    base: Row | None,
    *,
    seeds: int = 3,
    seconds: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Validation:
    """Predict every configuration that can be, and compare.

    Without a `base` the first of them is it, of those without threads if there are any: they say more about the others.
    Raises UsageError if there is nothing to compare.
    """
    if base is None:
        possible = [row for row in rows if not _why_not(row, row, rows)]
        base = min(possible, key=lambda row: row.configuration.threaded, default=None)
    why = "none of its configurations can be predicted" if base is None else _why_not(base, base, rows)
    if base is None or why:
        raise UsageError(f"there is nothing to compare a prediction with: {why}", "Sweep tcp or udp-small.")
    whys = {row.number: _why_not(row, base, rows) for row in rows}
    refused = tuple((row, whys[row.number]) for row in rows if whys[row.number])
    able = [row for row in rows if not whys[row.number]]
    settings = {row.number: Setting.of(row.configuration) for row in able}
    tellings = {setting: told(machine, setting, base, rows) for setting in dict.fromkeys(settings.values())}
    predictions = {
        setting: _predicted(telling, [r for r in able if settings[r.number] == setting], seeds, seconds, progress)
        for setting, telling in tellings.items()
    }
    points = {row.number: _point(predictions[settings[row.number]], row) for row in able}
    reference = points[base.number]
    if reference.gbit_s <= 0:
        raise UsageError(f"with the costs of {machine.name} nothing arrives in {base.label}", "Calibrate otherwise.")
    compared = []
    for row in able:
        point = points[row.number]
        if row is base:
            continue
        compared.append(
            Compared(
                row,
                point.gbit_s / reference.gbit_s,
                _ratio(row, base),
                point.low_gbit_s / reference.gbit_s,
                point.high_gbit_s / reference.gbit_s,
                point.busy_ce,
                row.busy_ce.value if row.busy_ce else 0.0,
                tellings[settings[row.number]].taken,
                _figures(point, row),
            )
        )
    assert base.goodput_mbit_s is not None
    scale = base.goodput_mbit_s.value / 1000 / reference.gbit_s
    scaled = {setting: _scaled(prediction, scale, able) for setting, prediction in predictions.items()}
    sentences = tuple(dict.fromkeys(s for telling in tellings.values() for s in telling.sentences))
    return Validation(machine.name, base, machine.notes, sentences, tuple(compared), refused, scale, scaled)


def _figures(point: Point, row: Row) -> tuple[Figure, ...]:
    """What both the model and the recordings have."""
    found = [Figure(name, point.busy_by_server.get(name, 0.0), ce) for name, ce in row.server_ce.items()]
    if point.wasted_polls is not None and row.wasted_polls is not None:
        found.insert(0, Figure(WASTED, point.wasted_polls, row.wasted_polls))
    return tuple(found)


def _why_not(row: Row, base: Row, rows: Sequence[Row]) -> str:
    """Why the model has nothing to say of a configuration; empty if it has."""
    mine = row.configuration
    if row.goodput_mbit_s is None:
        return "it was not recorded"
    if row.goodput_mbit_s.value <= 0 or _rate(row) <= 0:
        return "nothing arrived"
    if mine.workload in _OTHER_TRAFFIC:
        return _OTHER_TRAFFIC[mine.workload]
    if mine.kernel != base.configuration.kernel:
        return "another kernel, whose costs are its own"
    return why_not_told(Setting.of(mine), base, rows)


def _rate(row: Row) -> float:
    """Throughput inside the tunnels, Mbit/s, as the model's: headers count, whatever the packets' size."""
    return sum(run.rate_mbit_s for run in row.runs) / len(row.runs)


def _ratio(row: Row, base: Row) -> Estimate:
    """Throughput as a multiple of the base's: geometric mean over repeats, each by the base's recording of that repeat.

    Its 95 % interval is that of the logarithms' mean, which no repeat's speed biases (Fleming and Wallace 1986).  Where
    no repeat was recorded of both it is the ratio of the means, without an interval.
    """
    of_base = {run.repeat: run.rate_mbit_s for run in base.runs if run.rate_mbit_s > 0}
    paired = [
        run.rate_mbit_s / of_base[run.repeat] for run in row.runs if run.repeat in of_base and run.rate_mbit_s > 0
    ]
    if not paired:
        return Estimate(_rate(row) / _rate(base))
    mean, half = mean_and_half([math.log(ratio) for ratio in paired])
    if half is None:
        return Estimate(math.exp(mean), n=1)
    low, high = (math.exp(min(max(end, -_MOST_LOG), _MOST_LOG)) for end in (mean - half, mean + half))
    return Estimate(math.exp(mean), low, high, len(paired))


def _model_of(configuration: Configuration) -> Architecture:
    """As the model names it."""
    module = "vanilla" if configuration.module == DISTRIBUTION else configuration.module
    return Architecture(module, configuration.threaded)


def _predicted(
    telling: Told, rows: Sequence[Row], seeds: int, seconds: float, progress: Callable[[int, int], None] | None
) -> Prediction:
    """The whole grid of what was recorded in one setting.  Raises KeyboardInterrupt."""
    mine = [row.configuration for row in rows]
    ask = Ask(
        telling.machine,
        tuple(sorted({c.cpus for c in mine})),
        tuple(sorted({c.tunnels for c in mine})),
        tuple(dict.fromkeys(_model_of(c) for c in mine)),
        "loop",
        telling.packet_bytes,
        seeds,
        seconds,
    )
    found = predict(ask, progress)
    if found.interrupted:
        raise KeyboardInterrupt
    return found


def _point(prediction: Prediction, row: Row) -> Point:
    key = (_model_of(row.configuration), row.configuration.cpus, row.configuration.tunnels)
    (point,) = (p for p in prediction.points if (p.architecture, p.cores, p.tunnels) == key)
    return point


def _scaled(prediction: Prediction, scale: float, rows: Sequence[Row]) -> Prediction:
    """In measured units, a point for each of the sweep's architectures that it stands for."""
    named = dict.fromkeys((architecture_of(row.configuration), _model_of(row.configuration)) for row in rows)
    points = [
        replace(
            point,
            architecture=architecture,
            gbit_s=point.gbit_s * scale,
            low_gbit_s=point.low_gbit_s * scale,
            high_gbit_s=point.high_gbit_s * scale,
        )
        for architecture, model in named
        for point in prediction.points
        if point.architecture == model
    ]
    return replace(prediction, points=tuple(points))
