"""The matrix of a sweep: what it holds, what it refuses, and that its order lets drift cancel."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.support.sweeps import small
from wgprof.errors import UsageError
from wgprof.recording.untrusted import Damage
from wgprof.sweep.configuration import Configuration, varying
from wgprof.sweep.document import Sweep, sweep_of
from wgprof.sweep.matrix import MOST_RUNS, matrix_of

_WIDE = {"tunnels": [1, 2, 4], "cpus": [1, 2], "module": ["vanilla", "steered"], "repeats": 3}


def test_every_repeat_has_every_configuration_once_in_an_order_of_its_own() -> None:
    matrix = small(**_WIDE)
    order = matrix.order()
    assert Counter(order) == {(repeat, c): 1 for repeat in (1, 2, 3) for c in matrix.configurations}
    assert [repeat for repeat, _ in order] == sorted(repeat for repeat, _ in order)
    repeats = [[c for r, c in order if r == repeat] for repeat in (1, 2, 3)]
    assert repeats[0] != repeats[1] != repeats[2] != repeats[0]


def test_the_seed_makes_the_order() -> None:
    assert small(**_WIDE).order() == small(**_WIDE).order()
    assert small(**_WIDE).order() != small(**_WIDE, seed=2).order()


def test_a_single_value_is_a_list_of_one_and_a_value_counts_once() -> None:
    assert small(tunnels=2, module="inline") == small(tunnels=[2, 2], module=["inline"])


def test_combinations_that_cannot_be_are_left_out_and_said() -> None:
    matrix = small(module=["vanilla", "inline"], threaded=[False, True], tunnels=1)
    shapes = {(c.module, c.threaded) for c in matrix.configurations}
    assert shapes == {("vanilla", False), ("vanilla", True), ("inline", False)}
    (reason,) = matrix.left_out
    assert "threaded" in reason and "inline" in reason


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"module": "inline", "threaded": True}, "threaded yes cannot be with module inline"),
        ({"module": ["vanilla", "inline"], "threaded": True}, "threaded yes cannot be with module inline"),
        ({"lab_crypto": 0.3}, "lab-crypto 0.3 cannot be with module distribution"),
        ({"lab_crypto": ["off", 0.3]}, "lab-crypto 0.3 cannot be with module distribution"),
        (
            {"lab_crypto": 0.3, "module": ["distribution", "vanilla"]},
            "lab-crypto 0.3 cannot be with module distribution",
        ),
        ({"tunnels": 0}, "tunnels in the test is 0, not a number from 1 to 64"),
        ({"tunnels": [1, 65]}, "tunnels in the test is 65"),
        ({"tunnels": True}, "tunnels in the test is True"),
        ({"tunnels": []}, "tunnels in the test has no value"),
        ({"cpus": "2"}, "cpus in the test is '2'"),
        ({"threaded": "maybe"}, "threaded in the test is 'maybe', not yes or no"),
        ({"module": "a b<script>"}, "module in the test is 'a b<script>', not a name"),
        ({"workload": 3}, "workload in the test is 3, not a name"),
        ({"lab_crypto": "some"}, "lab_crypto in the test is 'some', not a share such as 0.3, or off"),
        ({"mtu": 87}, "mtu in the test is 87, not a number from 88 to 1440"),
        ({"mtu": [1420, 1441]}, "mtu in the test is 1441"),
        ({"serial_work": "tx.send"}, "serial_work in the test is 'tx.send', not none, or work in a stage"),
        ({"serial_work": ["none", 3]}, "serial_work in the test is 3, not none"),
        ({"serial_work": "tx.send:9", "mtu": 92}, "serial-work tx.send:9 cannot be with mtu 92"),
        ({"serial_work": "rx.deliver:9", "workload": "udp-small"}, "cannot be with workload udp-small"),
        ({"one_at_a_time": 1}, "one_at_a_time in the test is 1, not yes or no"),
        ({"duration": 0.2}, "duration in the test is 0.2, not a number of seconds from 1 to 3600"),
        ({"duration": float("nan")}, "duration in the test is nan"),
        ({"repeats": 101}, "repeats in the test is 101, not a number from 1 to 100"),
        ({"seed": -1}, "seed in the test is -1"),
        ({"interval_ms": 5}, "interval_ms in the test is 5"),
        ({"speed": 9}, "the test has 'speed'"),
        ({"tunnels": list(range(1, 65)), "repeats": 100}, "64 combinations, 100 repeats each, are 6400 recordings"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_that_names_the_field(values: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        small(**values)
    assert words in refused.value.sentence


def test_a_matrix_that_would_never_end_is_refused_at_once() -> None:
    names = [f"name{number}" for number in range(1000)]
    with pytest.raises(UsageError, match="recordings"):
        small(module=names, workload=names, kernel=names, tunnels=list(range(1, 65)), cpus=list(range(1, 65)))


def test_one_at_a_time_each_architecture_has_the_first_values_and_each_other_value_alone() -> None:
    matrix = small(
        module=["vanilla", "inline"], tunnels=1, cpus=[2, 1], mtu=[1420, 512], serial_work=["none", "tx.send:9"],
        lab_crypto=["off", 0.3], one_at_a_time=True,
    )  # fmt: skip
    labels = [c.label(("module", "cpus", "mtu", "serial_work", "lab_crypto")) for c in matrix.configurations]
    alone = [
        "2 CPUs, vanilla, MTU 1420, real crypto",
        "1 CPU, vanilla, MTU 1420, real crypto",
        "2 CPUs, vanilla, MTU 512, real crypto",
        "2 CPUs, vanilla, MTU 1420, 9 rules in tx.send, real crypto",
        "2 CPUs, vanilla, MTU 1420, crypto dialled to 0.3",
    ]
    assert labels == alone + [label.replace("vanilla", "inline") for label in alone]


def test_one_at_a_time_counts_what_it_records_and_not_the_combinations() -> None:
    values = {"tunnels": list(range(1, 65)), "cpus": list(range(1, 65)), "mtu": list(range(88, 1441)), "repeats": 1}
    assert len(small(**values, one_at_a_time=True).configurations) == 1 + 63 + 63 + 1352
    with pytest.raises(UsageError, match="are 5541888 recordings"):
        small(**values)


def test_labels_name_what_differs() -> None:
    matrix = small(module=["vanilla", "inline"], tunnels=[1, 2])
    axes = varying(matrix.configurations)
    assert [c.label(axes) for c in matrix.configurations] == [
        "1 tunnel, vanilla",
        "1 tunnel, inline",
        "2 tunnels, vanilla",
        "2 tunnels, inline",
    ]
    other = Configuration(4, 1, "steered", True, "udp-small", 0.3, "6.1")
    assert (
        replace(other, mtu=512, serial_work="tx.send:40").label(("mtu", "serial_work"))
        == "MTU 512, 40 rules in tx.send"
    )
    assert (
        other.label() == "4 tunnels, 1 CPU, steered, threaded, udp-small, MTU 1420, crypto dialled to 0.3, kernel 6.1"
    )


def test_a_sweep_survives_its_own_json() -> None:
    matrix = small(
        module=["vanilla", "inline"], lab_crypto=["off", 0.3], threaded=[False, True], detail=True, mtu=[1420, 512],
        serial_work=["none", "rx.deliver:70"], one_at_a_time=True,
    )  # fmt: skip
    sweep = Sweep.of(matrix, "2026-01-02T03:04:05Z")
    assert sweep_of(sweep.document()) == sweep
    assert matrix_of(matrix.document(), "itself") == matrix


def test_a_sweep_of_before_there_were_mtu_and_work_is_read() -> None:
    document = Sweep.of(small(), "").document()
    for name in ("mtu", "serial_work", "one_at_a_time"):
        del document["matrix"][name]
    for name in ("mtu", "serial_work"):
        for run in document["runs"]:
            del run["configuration"][name]
    assert sweep_of(document).matrix == small()


@pytest.mark.parametrize(
    "change",
    [
        {"magic": "wgprof recording"},
        {"version": 2},
        {"version": True},
        {"matrix": {}},
        {"matrix": {"tunnels": [10**9]}},
        {"matrix": None},
        {"runs": []},
        {"runs": [{}] * (MOST_RUNS + 1)},
        {"created": 7},
    ],
)
def test_a_document_of_anything_else_is_damage(change: dict[str, object]) -> None:
    with pytest.raises(Damage):
        sweep_of({**Sweep.of(small(), "").document(), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"number": 2},
        {"repeat": 3},
        {"state": "lost"},
        {"seconds": -1},
        {"seconds": float("nan")},
        {"attempts": "1"},
        {"configuration": {"tunnels": 1}},
    ],
)
def test_a_run_of_anything_else_is_damage(change: dict[str, object]) -> None:
    document = Sweep.of(small(), "").document()
    document["runs"][0] |= change
    with pytest.raises(Damage):
        sweep_of(document)
