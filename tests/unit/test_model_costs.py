"""Machine descriptions: what is wrong in one is said in one sentence that names the field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wgprof.errors import UsageError
from wgprof.model.costs import MEANINGS
from wgprof.model.machine import Machine, machine_of, read_machine
from wgprof.model.machines import SHIPPED, shipped
from wgprof.model.scenario import Scenario


def _document() -> dict[str, Any]:
    return {"version": 1, "packet_bytes": 1420, "costs": {name: {"value": 100.0} for name in MEANINGS}}


def _with(change: Callable[[dict[str, Any]], object]) -> Machine:
    document = _document()
    change(document)
    return machine_of(document)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_descriptions_are_complete_and_give_a_reason_for_every_assumption(name: str) -> None:
    machine = read_machine(shipped(name))
    machine.costs.require("loop")
    for parameter, quantity in machine.parameters().items():
        assert quantity.why or not quantity.assumed, parameter
        assert not quantity.assumed or quantity.low < quantity.high, parameter


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["costs"]["decrypt"].update(value=-1.0), r"costs\.decrypt is negative"),
        (lambda d: d["costs"]["decrypt"].update(range=[200, 300]), r"costs\.decrypt is inconsistent: value 100"),
        (lambda d: d["costs"]["decrypt"].update(range=[1]), r"costs\.decrypt\.range"),
        (lambda d: d["costs"]["decrypt"].update(value="fast"), r"costs\.decrypt\.value is not a number"),
        (lambda d: d["costs"]["decrypt"].pop("value"), r"costs\.decrypt\.value is missing"),
        (lambda d: d["costs"].update(crypto_fixed=101), r"costs\.crypto_fixed is larger than costs\.decrypt"),
        (lambda d: d["costs"].update(decrpyt=1), r"costs\.decrpyt is not known"),
        (lambda d: d["costs"]["send"].update(shape="normal"), r"costs\.send\.shape is 'normal'"),
        (lambda d: d["costs"]["send"].update(quantiles=[1, -1]), r"costs\.send\.quantiles"),
        (lambda d: d.pop("packet_bytes"), "packet_bytes is missing"),
        (lambda d: d.update(version=2), "version is 2"),
        (lambda d: d.update(machine={"numa_factor": 0.5}), r"machine\.numa_factor is below 1"),
        (lambda d: d.update(machine={"cores": -3}), r"machine\.cores is -3"),
        (lambda d: d.update(machine={"spread": "round"}), r"machine\.spread"),
        (lambda d: d.update(traffic={"rtt_us": -5}), r"traffic\.rtt_us is negative"),
        (lambda d: d.update(costs=3), "costs is not a table"),
        (lambda d: d.update(bytes={"send": 1.5}), r"bytes\.send is above 1"),
        (lambda d: d.update(bytes={"send": -0.5}), r"bytes\.send is negative"),
        (lambda d: d.update(bytes={"decrypt": 0.5}), r"bytes\.decrypt is not known"),
    ],
)
def test_bad_files_name_the_field(change: Callable[[dict[str, Any]], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        _with(change)


def test_only_the_costs_of_the_direction_are_needed() -> None:
    machine = _with(lambda d: [d["costs"].pop(name) for name in ("encrypt", "send", "stage", "segment")])
    machine.costs.require("rx")
    with pytest.raises(UsageError, match=r"costs\.encrypt is missing"):
        machine.costs.require("tx")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"tunnels": 0}, "tunnels must be 1"),
        ({"cores": 0}, "cores must be 1"),
        ({"cores": 8, "rss_queues": 4}, "cores is 8, more than the NIC's rss_queues, 4"),
        ({"module": "fast"}, "module must be one of"),
        ({"module": "inline", "threaded": True}, "no NAPI a peer"),
        ({"window": 3}, "window is 3, less than one burst"),
        ({"decrypt_cpus": (0,)}, "decrypt_cpus is a choice of the module steered"),
        ({"module": "steered", "deliver_cpus": (9,)}, "deliver_cpus names a CPU"),
        ({"rate_pps": -1.0}, "rate_pps"),
    ],
)
def test_bad_scenarios_name_the_field(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Scenario(**{"cores": 2, "tunnels": 1, **wrong})


def test_only_what_touches_all_bytes_depends_on_the_size() -> None:
    costs = _with(lambda d: d["costs"].update(crypto_fixed=20)).costs
    assert costs.ns("decrypt", 1420) == pytest.approx(100)
    assert costs.ns("decrypt", 0) == pytest.approx(20)
    assert costs.ns("deliver", 64) == costs.ns("deliver", 1420)


def test_a_share_of_a_cost_grows_with_the_packet() -> None:
    costs = _with(lambda d: d.update(bytes={"send": {"value": 0.4, "range": [0, 1]}})).costs
    assert [costs.ns("send", size) for size in (1420, 710, 0)] == pytest.approx([100, 80, 60])
    assert costs.at("bytes.send", 1.0).ns("send", 710) == pytest.approx(50)
    assert costs.scaled("send", 0.5).ns("send", 710) == pytest.approx(40)


def test_what_if_changes_one_cost_in_proportion() -> None:
    costs = _with(lambda d: d["costs"]["decrypt"].update(range=[80, 120])).costs.scaled("decrypt", 0.5)
    assert (costs.costs["decrypt"].low, costs.ns("decrypt", 1420)) == (40, 50)
    with pytest.raises(UsageError, match="no cost 'cipher'"):
        costs.scaled("cipher", 0.5)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "costs.toml"
    with pytest.raises(UsageError, match="could not be read"):
        read_machine(path)
    path.write_text("[[[")
    with pytest.raises(UsageError, match="is not TOML"):
        read_machine(path)
