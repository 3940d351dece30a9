"""Scenarios: their files, what they call true, and how findings are compared with that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.scenarios import Run, confusion, kinds_of_machine, recorded
from wgprof.cli.scenario import truth_document, truth_path
from wgprof.errors import UsageError
from wgprof.lab.scenario import (
    NOTHING,
    SIGNATURES,
    Agreement,
    MachineShape,
    Truth,
    agreement,
    parse_scenario,
    scenario_named,
    scenario_names,
)
from wgprof.rules.diagnose import RULES

DOCS = Path(__file__).parents[2] / "docs" / "scenarios.md"
MINIMAL = """
meaning = "m"
planted = "p"
[traffic]
workload = "tcp"
[truth]
top = "S3"
[truth.also]
S12 = "the queue is full"
"""


def test_the_signatures_are_the_rules() -> None:
    assert tuple(rule.id for rule in RULES) == SIGNATURES


@pytest.mark.parametrize("name", scenario_names())
def test_every_scenario_can_be_read_and_can_fail(name: str) -> None:
    scenario = scenario_named(name)
    assert scenario.meaning and scenario.planted
    assert 1 <= scenario.shape.cpus <= 4
    assert scenario.truth.never, "a truth that allows everything cannot be contradicted"
    assert scenario.truth.top not in scenario.truth.never
    assert not agreement(scenario.truth, [scenario.truth.never[0]]).holds
    assert agreement(scenario.truth, [scenario.truth.top] if scenario.truth.top else []).holds


def test_a_scenario_has_the_labs_own_workload_or_options_of_its_own() -> None:
    assert parse_scenario("x", MINIMAL).workload.options == ("--parallel=1",)
    own = MINIMAL.replace('workload = "tcp"', 'options = ["--udp"]')
    assert parse_scenario("x", own).workload.options == ("--udp",)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('top = "S3"', 'top = "S99"', "S99"),
        ('top = "S3"', "", "top"),
        ('meaning = "m"', 'mening = "m"', "mening"),
        ('workload = "tcp"', 'workloads = "tcp"', "workloads"),
        ('workload = "tcp"', 'workload = "tpc"', "tpc"),
        ("[truth]", "[truth", "read"),
    ],
)
def test_a_scenario_with_a_mistake_is_refused_by_name(old: str, new: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        parse_scenario("x", MINIMAL.replace(old, new))


def test_an_unknown_scenario_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="nosuch"):
        scenario_named("nosuch")


def test_a_truth_knows_whether_it_is_healthy() -> None:
    assert Truth(NOTHING, {}).healthy and Truth("S14", {}).healthy and Truth("S16", {}).healthy
    assert not Truth("S3", {}).healthy and not Truth("S16", {"S12": "full"}).healthy


def test_agreement() -> None:
    truth = Truth("S3", {"S12": "full"})
    assert agreement(truth, ["S3", "S12", "S12"]) == Agreement("S3", ("S3", "S12"), False, ())
    assert agreement(truth, ["S12", "S3"]).missed
    assert agreement(truth, ["S3", "S6"]).untrue == ("S6",)
    assert agreement(truth, []).missed
    assert agreement(Truth(NOTHING, {}), []).holds
    assert agreement(Truth(NOTHING, {}), ["S14"]).untrue == ("S14",)
    # What may be there as well must not come first where nothing should.
    assert agreement(Truth(NOTHING, {"S14": "at first"}), ["S14"]).missed


def test_agreement_says_what_is_wrong() -> None:
    truth = Truth("S3", {})
    assert "S6 was found and is not true" in agreement(truth, ["S6", "S3"]).sentence
    assert "the top finding is nothing" in agreement(truth, []).sentence
    assert "agree with" in agreement(truth, ["S3"]).sentence


def test_the_confusion_matrix_counts_what_was_planted_against_what_was_found_first() -> None:
    tx = parse_scenario("tx", MINIMAL)
    idle = replace(tx, name="idle", truth=Truth(NOTHING, {}))
    runs = [
        Run("tx", tx.truth, "6.12", seed, agreement(tx.truth, found))
        for seed, found in enumerate([["S3"], ["S3", "S12"], ["S2"]])
    ]
    runs.append(Run("idle", idle.truth, "6.12", 0, agreement(idle.truth, [])))
    head, *rows = confusion(runs).splitlines()
    assert head.split() == ["planted", "S2", "S3", "nothing", "found", "first"]
    assert [row.split() for row in rows] == [["S3", "1", "2", "."], ["nothing", ".", ".", "1"]]
    assert "DISAGREES" in runs[2].line() and "agrees" in runs[3].line()
    runs.append(Run("made", tx.truth, "6.12", 0, agreement(tx.truth, ["S3"]), constructed=True))
    *_, made, mark = confusion(runs).splitlines()
    assert made.split() == ["S3", "*", ".", "1", "."] and "constructed" in mark, "a row of its own, marked"


def test_what_was_recorded_of_the_same_scenario_is_not_recorded_again(tmp_path: Path) -> None:
    scenario, recording = parse_scenario("x", MINIMAL), tmp_path / "x.wgprof"
    assert not recorded(scenario, "6.12", 0, recording)
    truth_path(recording).write_text(json.dumps(truth_document(scenario, "6.12", 0)))
    assert not recorded(scenario, "6.12", 0, recording), "a truth without a recording"
    recording.touch()
    assert recorded(scenario, "6.12", 0, recording)
    assert recorded(replace(scenario, truth=Truth("S2", {})), "6.12", 0, recording), "the truth may be corrected"
    assert not recorded(replace(scenario, setup="true"), "6.12", 0, recording)
    assert not recorded(scenario, "6.12", 1, recording)
    assert not recorded(scenario, "6.1", 0, recording)
    truth_path(recording).write_text("{")
    assert not recorded(scenario, "6.12", 0, recording)


def test_scenarios_share_a_machine_unless_its_cpus_or_its_module_differ() -> None:
    plain = parse_scenario("plain", MINIMAL)
    scenarios = [
        plain,
        replace(plain, name="many", shape=MachineShape(tunnels=4, threaded=True)),
        replace(plain, name="dial", shape=MachineShape(module="vanilla", lab_crypto=0.1)),
        replace(plain, name="wide", shape=MachineShape(cpus=4)),
    ]
    kinds = kinds_of_machine(scenarios, "6.12")
    assert kinds["plain"] == kinds["many"] == kinds["dial"] != kinds["wide"]
    assert kinds["dial"].module == "vanilla" and kinds["wide"].module == "" and kinds["wide"].cpus == 4
    assert kinds_of_machine(scenarios[:2], "6.12")["plain"].module == ""


@pytest.mark.parametrize("name", scenario_names())
def test_the_documentation_has_a_row_for_every_scenario(name: str) -> None:
    scenario = scenario_named(name)
    text = DOCS.read_text(encoding="utf-8")
    truth = f"{scenario.truth.top or 'nothing'} | {', '.join(scenario.truth.also) or '–'}"
    assert f"| `{name}` | {scenario.meaning} | {scenario.planted} | {truth} |" in text.splitlines()


def test_the_documentation_has_no_row_for_anything_else() -> None:
    planted, _, _ = DOCS.read_text(encoding="utf-8").partition("## What is constructed")
    rows = [line for line in planted.splitlines() if line[:3] == "| `"]
    assert len(rows) == len(scenario_names())
