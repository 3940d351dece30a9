"""What the model is told of packets, work in a stage and the dial: from which recordings, and with what effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.support.model import MODERN
from tests.support.sweeps import small
from tests.unit.test_sweep_show import SERVICE_NS, printed, results_of, row_of, run_of
from wgprof.model.costs import known
from wgprof.model.machine import Machine
from wgprof.model.predict import Architecture, Ask, predict
from wgprof.sweep.figures import Row
from wgprof.sweep.matrix import Matrix
from wgprof.sweep.settings import Setting, told, why_not_told
from wgprof.sweep.validation import validate

_MACHINE = Machine("test", MODERN)


def rows(matrix: Matrix, times: Mapping[str | float, Mapping[str, float]] | None = None) -> list[Row]:
    """Rows in which stages take other times with some serial work, or setting of the dial."""
    found = []
    for number, c in enumerate(matrix.configurations, start=1):
        changed = (times or {}).get(c.lab_crypto or c.serial_work, {})
        run = replace(run_of(number, 100.0), service_ns={**SERVICE_NS, **changed})
        found.append(row_of(number, c, run))
    return found


def setting(row: Row) -> Setting:
    return Setting.of(row.configuration)


def test_what_rules_take_is_the_difference_of_the_stage() -> None:
    base, worked, _, both = rows(
        small(tunnels=1, mtu=[1420, 512], serial_work=["none", "tx.send:900"]), {"tx.send:900": {"tx.send": 31_200.0}}
    )
    found = told(_MACHINE, setting(worked), base, [base, worked])
    assert found.machine.costs.costs["send"].value == pytest.approx(1200 + 30_000)
    assert {name for name, cost in found.machine.costs.costs.items() if cost != MODERN.costs[name]} == {"send"}
    assert found.taken == ("tx.send of 2",) and "30.0 µs more a packet" in found.sentences[0]
    assert why_not_told(setting(both), base, [base, both]).startswith("what its work takes is not known")
    back = told(found.machine, setting(base), worked, [base, worked])
    assert back.machine.costs.costs["send"].value == pytest.approx(1200), "from the work to none it is less"


def test_rules_behind_gro_take_their_time_for_each_that_it_passes_on() -> None:
    base, worked = rows(small(tunnels=1, serial_work=["none", "rx.deliver:900"]))
    # Delivery takes 500 a packet and 1,000 for what goes up, every fourth packet, as MODERN says; with the rules
    # 9,000 more, and GRO makes of ten packets one.
    base = replace(base, runs=(replace(base.runs[0], service_ns={"rx.deliver": 500 + 1000 / 4}, passed_on=0.25),))
    worked = replace(
        worked, runs=(replace(worked.runs[0], service_ns={"rx.deliver": 500 + 10_000 / 10}, passed_on=0.1),)
    )
    found = told(_MACHINE, setting(worked), base, [base, worked])
    assert found.machine.costs.costs["stack"].value == pytest.approx(10_000)
    assert found.machine.costs.costs["deliver"].value == MODERN.costs["deliver"].value
    assert found.taken == ("rx.deliver of 2",)


def test_the_dial_is_what_encryption_and_decryption_took_with_it() -> None:
    machine = Machine("test", replace(MODERN, crypto_fixed=known(300.0)))
    base, dialled = rows(
        small(tunnels=1, module="vanilla", lab_crypto=["off", 0.3]), {0.3: {"rx.decrypt": 500.0, "tx.encrypt": 400.0}}
    )
    costs = told(machine, setting(dialled), base, [base, dialled]).machine.costs
    assert (costs.costs["decrypt"].value, costs.costs["encrypt"].value) == pytest.approx((500, 400))
    assert [costs.ns(cost, size) for cost in ("decrypt", "encrypt") for size in (92, 1420)] == [500, 500, 400, 400]
    back = told(Machine("test", replace(costs, crypto_fixed=known(100.0))), setting(base), dialled, [base, dialled])
    assert back.machine.costs.crypto_fixed.value == pytest.approx(300), "as much of decryption as before"
    assert why_not_told(setting(dialled), base, [base]).startswith("what its crypto takes is not known")


def test_packets_and_lists_are_as_the_bases_sender_made_them() -> None:
    base, short, other = rows(small(tunnels=[1], mtu=[1420, 512], module=["vanilla", "inline"]))[:3]
    short = replace(short, runs=(replace(short.runs[0], packet_bytes=355.0, list_packets=40.0),))
    inline = replace(other, configuration=replace(short.configuration, module="inline"),
                     runs=(replace(other.runs[0], packet_bytes=710.0, list_packets=10.0),))  # fmt: skip
    found = told(_MACHINE, setting(short), base, [base, inline, short])
    assert found.packet_bytes == round(1420 * 355 / 1420) and found.machine.traffic["gso"].value == 40
    assert found.taken == ("packets of 2",)
    without = told(_MACHINE, setting(short), base, [base, inline])
    assert without.packet_bytes == 710 and without.machine.traffic["gso"].value == 10
    assert told(_MACHINE, setting(base), base, [base, short]).machine == _MACHINE


def test_a_list_is_no_longer_than_what_is_in_flight() -> None:
    """Or the scenario would be refused, in the middle of a prediction."""
    base, short = rows(small(tunnels=1, mtu=[1420, 92]))
    short = replace(short, runs=(replace(short.runs[0], packet_bytes=92.0, list_packets=700.0),))
    machine = replace(_MACHINE, traffic={"window": replace(known(256.0), low=128.0)})
    found = told(machine, setting(short), base, [base, short])
    assert found.machine.traffic["gso"].value == 128
    (compared,) = validate(machine, [base, short], base, seeds=1, seconds=0.02).compared
    assert compared.taken == ("packets of 2",)


def test_work_that_makes_the_transmit_work_the_limit_is_predicted_there_and_elsewhere() -> None:
    """Measured with one tunnel; with two, whose transmit works share nothing, as much passes again."""
    matrix = small(tunnels=[1, 2], cpus=4, module="vanilla", serial_work=["none", "tx.send:900"], repeats=1)
    slow = replace(_MACHINE, costs=replace(MODERN, costs={**MODERN.costs, "send": known(41_200.0)}))
    found = []
    for row in rows(matrix, {"tx.send:900": {"tx.send": 41_200.0}}):
        machine = slow if row.configuration.serial_work != "none" else _MACHINE
        ask = Ask(
            machine, (4,), (row.configuration.tunnels,), (Architecture("vanilla"),), "loop", 1420, 1, 0.05, bands=False
        )
        (point,) = predict(ask).points
        run = replace(row.runs[0], rate_mbit_s=point.gbit_s * 1000)
        found.append(replace(row, runs=(run,)))
    validation = validate(_MACHINE, found, found[0], seeds=1, seconds=0.05)
    one, _, two_worked = validation.compared
    assert one.row is found[1] and one.measured.value < 0.5, "the work does matter"
    assert two_worked.measured.value == pytest.approx(2 * one.measured.value, rel=0.1)
    assert [c.off for c in validation.compared] == pytest.approx([0, 0, 0], abs=0.01)
    assert [c.taken for c in validation.compared] == [("tx.send of 2",), (), ("tx.send of 2",)]
    assert len(validation.scaled) == 2
    text = printed(replace(results_of(matrix, found), validation=validation))
    assert "Taken, not predicted: 900 rules in tx.send: 40.0 µs more a packet" in text and "tx.send of 2" in text
