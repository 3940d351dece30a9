"""What the rules make of real recordings of the lab (tests/captures/recording.py says how they were made)."""

from __future__ import annotations

from pathlib import Path

import pytest

from wgprof.analysis.summary import Analysis, analyse
from wgprof.lab.scenario import agreement, scenario_named
from wgprof.recording.reader import Recording, open_recording
from wgprof.resources import resource_dir
from wgprof.rules.diagnose import diagnose
from wgprof.rules.finding import NOT_FOUND, Diagnosis
from wgprof.rules.verdict import verdict

FOLDER = Path(__file__).parents[1] / "captures" / "recordings"
EXAMPLE = Path(str(resource_dir("reports"))) / "example.wgprof"


def judged(path: Path) -> tuple[Recording, Analysis, Diagnosis]:
    recording = open_recording(path)
    analysis = analyse(recording)
    return recording, analysis, diagnose(analysis, recording)


@pytest.mark.parametrize("path", [EXAMPLE, FOLDER / "tcp-7.2.wgprof"], ids=lambda path: path.stem)
def test_full_size_tcp_in_the_emulator_is_bound_by_crypto(path: Path) -> None:
    """Emulated SIMD makes ChaCha20-Poly1305 dear, and nothing else limits on two CPUs."""
    _, analysis, diagnosis = judged(path)
    assert [f.id for f in diagnosis.findings] == ["S14"]
    (finding,) = diagnosis.findings
    assert finding.severity.ce is not None and analysis.headline is not None
    assert 0.4 < finding.severity.ce / analysis.headline.busy_ce < 0.7
    assert not finding.doubtful
    assert all(e.low is not None for e in finding.evidence if e.threshold is not None), "every figure has an interval"


def test_no_interval_of_a_full_cpu_goes_beyond_it() -> None:
    _, analysis, diagnosis = judged(EXAMPLE)
    shares = [e for outcome in diagnosis.outcomes for e in outcome.evidence if e.unit == "share"]
    busy = [e for e in shares if e.value is not None and 0.98 < e.value <= 1 and e.high is not None]
    assert busy and all(e.high == 1 for e in busy if e.figure.startswith("busy share"))
    assert all((e.low or 0) >= 0 and (e.high or 0) <= 1 for e in shares if 0 <= (e.value or 0) <= 1)
    assert all((law.busy_ce.high or 0) <= law.capacity for law in analysis.laws.rows)


def test_paced_traffic_gives_no_finding() -> None:
    _, analysis, diagnosis = judged(FOLDER / "udp-paced-6.12.wgprof")
    assert diagnosis.findings == []
    assert verdict(analysis, diagnosis)[0].startswith("Nothing found: WireGuard could carry more than was offered.")


def test_idle_gives_no_finding() -> None:
    _, analysis, diagnosis = judged(FOLDER / "idle-6.12.wgprof")
    assert {o.state for o in diagnosis.outcomes} == {NOT_FOUND}
    assert "Nothing flowed" in verdict(analysis, diagnosis)[0]


def test_full_cpus_of_which_nothing_is_most_are_no_signature() -> None:
    """With crypto dialled down to a tenth, a third each is crypto, other stages and what is outside WireGuard."""
    _, analysis, diagnosis = judged(FOLDER / "dial-6.12.wgprof")
    assert diagnosis.findings == []
    assert "NOT encrypted" in verdict(analysis, diagnosis)[0]
    line = verdict(analysis, diagnosis)[1]
    assert line.startswith("Nothing found but full CPUs")
    assert "Nearest: S3 serial-tx, but busy share of the least busy CPU was 95 %" in line


def test_threaded_napi_is_read_from_the_recording() -> None:
    _, _, diagnosis = judged(FOLDER / "tcp-7.2.wgprof")
    outcomes = {o.id: o for o in diagnosis.outcomes}
    assert "threaded" in outcomes["S4"].reason
    assert "threaded" in outcomes["S15"].reason


@pytest.mark.parametrize("path", sorted((FOLDER / "scenarios").glob("*.wgprof")), ids=lambda path: path.stem)
def test_a_bottleneck_that_was_planted_is_found_and_nothing_else(path: Path) -> None:
    scenario = scenario_named(path.stem)
    _, _, diagnosis = judged(path)
    assert diagnosis.top is not None and diagnosis.top.id == scenario.truth.top
    assert agreement(scenario.truth, [f.id for f in diagnosis.findings]).holds


def test_two_peers_that_collide_are_told_from_one_that_shares_its_cpu() -> None:
    top = judged(FOLDER / "scenarios" / "collision.wgprof")[2].top
    assert top is not None and "internal ids are equal modulo 2" in top.claim
    alone = judged(FOLDER / "scenarios" / "serial-tx.wgprof")[2].top
    assert alone is not None and "waits for its CPU" in alone.claim
