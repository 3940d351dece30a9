"""`wgprof record --module`: a recording of a variant counts every packet, and says which module it was."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.lab.test_record import of, wgprof
from wgprof.kmod.variant import find_variant
from wgprof.recording.reader import open_recording

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_free")]

DURATION_S = 8
TUNNELS = 2


def recorded(folder: Path, *words: str) -> dict[str, Any]:
    """`wgprof show --json` of a recording made as a user makes it."""
    options = ("--target", "lab", "--tunnels", str(TUNNELS), "--duration", str(DURATION_S), "-o", "it.wgprof")
    record = wgprof("record", *options, *words, folder=folder)
    assert record.code == 0, record.stderr
    assert "note:" not in record.stderr, record.stderr
    document = json.loads(wgprof("show", "--json", "it.wgprof", folder=folder).stdout)
    assert isinstance(document, dict)
    return document


def assert_exact(document: dict[str, Any]) -> None:
    """Every packet is counted at every stage, and nothing of the recording was lost."""
    for name in ("conservation", "interface counters"):
        checks = of(document, name)
        assert checks["ok"] and not checks["fail"] and not checks["unknown"], checks
    # To the packet; a starved machine may end with packets on their way to delivery, which the check allows for.
    exact = [row for row in of(document, "conservation")["ok"] if "rx.deliver" not in row["detail"]]
    assert {row["value"] for row in exact} == {0}
    assert of(document, "losses")["fail"] == []
    assert document["manifest"]["losses"]["total"] == 0
    assert document["manifest"]["probes"]["missing"] == 0
    assert [row["lost"] for row in document["journeys"]] == [0, 0]
    assert all(row["complete"] > 100 for row in document["journeys"])


def assert_named(document: dict[str, Any], variant: str, lab_crypto: bool = False) -> None:
    wireguard = document["manifest"]["wireguard"]
    expected = find_variant(variant, lab_crypto=lab_crypto)
    assert (wireguard["variant"], wireguard["patch_hash"]) == (expected.name, expected.patch_hash())
    assert re.match(r"6\.12\.", wireguard["source_version"])


def test_inline_fills_the_tables_and_has_no_queues(tmp_path: Path) -> None:
    document = recorded(tmp_path, "--module", "inline")
    assert_exact(document)
    assert_named(document, "inline")
    assert document["manifest"]["wireguard"]["crypto_permille"] == 0 and not document["warning"]
    with open_recording(tmp_path / "it.wgprof") as recording:
        probes = recording.table("probes")
    mine = probes[probes["point"].str.contains("inline|cell")]
    assert set(mine["kind"]) == {"fentry", "fexit"}, "no program of the inline path was refused"

    assert [row["mode"] for row in document["manifest"]["interfaces"]] == ["inline"] * 2 * TUNNELS
    # No hand-off: waits are zero but for the later segments of a list; no ring or peer queue ever held anything.
    assert {row["queue"] for row in document["queues"]} <= {"tx.staged"}
    assert of(document, "Little's law") == {"ok": [], "fail": [], "unknown": []}
    waits = {row["wait"]: row for row in document["waits"] if row["object"] is None}
    assert waits["rx.decrypt.wait"]["max_ns"] == 0
    assert waits["tx.encrypt.wait"]["p50_ns"] >= 0 and waits["rx.deliver.wait"]["mean_ns"] > 0
    assert {row["kind"] for row in document["servers"]} == {"tx.inline", "rx.inline", "cpu"}

    with open_recording(tmp_path / "it.wgprof") as recording:
        stages, executions = recording.table("stages"), recording.table("executions")
        counters, objects = recording.table("interfaces"), recording.table("objects")
    counters = counters[counters["name"].astype(str).str.startswith("wg")]  # not what carries the tunnels
    assert recording.manifest["interfaces"]
    assert set(executions["server"].unique()) == {"rx.napi"}
    devices = set(objects["object"][objects["kind"] == "device"])
    assert set(executions["object"].unique()) <= devices, "a cell belongs to a device"
    for stage, counter in (("tx.encrypt", "tx_packets"), ("rx.decrypt", "rx_packets")):
        counted = int(stages["packets"][stages["stage"] == stage].sum())
        on_interfaces = int(counters[counter].sum())
        # An interface also counts handshakes: a few a tunnel and side.
        assert 0 <= on_interfaces - counted <= 8 * TUNNELS, (stage, on_interfaces, counted)
    delivered = int(stages["packets"][stages["stage"] == "rx.deliver"].sum())
    polled = int(executions["packets"].sum())
    assert 0 <= delivered - polled <= 8 * TUNNELS, "all but keepalives go through a cell"
    screen = wgprof("show", "it.wgprof", folder=tmp_path).stdout
    assert screen.count("no such queue: inline") == 4


def test_steered_counts_as_the_distributions_module_and_the_dial_is_never_overlooked(tmp_path: Path) -> None:
    document = recorded(tmp_path, "--module", "steered", "--lab-crypto", "0.3")
    assert_exact(document)
    assert_named(document, "steered", lab_crypto=True)
    with open_recording(tmp_path / "it.wgprof") as recording:
        executions = recording.table("executions")
    polls = executions[executions["server"] == "rx.napi"]
    assert int(polls["wakeups"].sum()) > 0 and int(polls["delayed"].sum()) > 0, "napi_schedule is seen"

    wireguard = document["manifest"]["wireguard"]
    assert wireguard["crypto_permille"] == 300 and wireguard["crypto_steps"] > 0
    for words in (document["verdict"][0], wgprof("show", "it.wgprof", folder=tmp_path).stdout.splitlines()[0]):
        assert "the packets were NOT encrypted; the cost of crypto was set to 30 %" in words


@pytest.mark.parametrize(("kernel", "tunnels"), [("6.1", 4), ("6.12", 4), ("7.2", 8)])
def test_many_tunnels_whose_workers_interrupt_each_other_are_counted_to_the_packet(
    tmp_path: Path, kernel: str, tunnels: int
) -> None:
    """Two devices a tunnel with three kinds of workers on each CPU, which give way to each other in mid packet.

    On a preemptible kernel more of them are under way at once than a kretprobe has instances by itself.
    """
    options = (
        "--target",
        "lab",
        "--kernel",
        kernel,
        "--tunnels",
        str(tunnels),
        "--duration",
        str(DURATION_S),
        "-o",
        "it.wgprof",
    )
    record = wgprof("record", *options, folder=tmp_path)
    assert record.code == 0, record.stderr
    document = json.loads(wgprof("show", "--json", "it.wgprof", folder=tmp_path).stdout)
    with open_recording(tmp_path / "it.wgprof") as recording:
        probes = recording.table("probes")
    assert [row for row in probes["error"] if row] == [], "every point has the best probe of its plan"
    assert_exact(document)
