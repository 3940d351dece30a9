"""Anonymising: nothing that identifies anybody is left, and what was the same is still the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.frames import synthetic_recording
from wgprof.analysis.summary import Analysis, analyse
from wgprof.recording import parquet
from wgprof.recording.anonymize import anonymized, anonymous
from wgprof.recording.reader import Recording, open_recording
from wgprof.recording.schema import BY_NAME, TABLES
from wgprof.report.as_json import plain
from wgprof.report.sheets import notes
from wgprof.rules.diagnose import diagnose

EXAMPLE = Path(__file__).parents[2] / "reports" / "example.wgprof"
RECORDING = synthetic_recording(seconds=0.2, rate=60.0, peers=3)
KEYS = [key for key in RECORDING.table("objects")["public_key"] if key]
TABLE_OF = {table.name: RECORDING.arrow(table.name) for table in TABLES}


def log(*messages: str) -> pa.Table:
    rows = [{"t_ns": 1, "level": "info", "topic": "peer", "message": message} for message in messages]
    return pa.Table.from_pylist(rows, schema=BY_NAME["log"].arrow)


def messages(*texts: str) -> list[str]:
    _, tables = anonymized({}, {"log": log(*texts)}, salt=b"1")
    found = tables["log"]
    assert isinstance(found, pa.Table)
    return [str(message) for message in found.column("message").to_pylist()]


def test_no_key_and_no_address_is_left() -> None:
    manifest = {
        **RECORDING.manifest,
        "target": {"kind": "ssh", "host": "gateway.example", "user": "karin", "url": "ssh://karin@gateway.example"},
        "message": f"lost {KEYS[0]} at 192.0.2.1:51820",
        "machine": {"kernel": "6.12.0", "[2001:db8::1]:51820": ["aa:bb:cc:dd:ee:ff"]},
    }
    whole, tables = anonymized(manifest, {**TABLE_OF, "log": log(f"{KEYS[1]} moved to 192.0.2.9")})
    texts = json.dumps(whole) + "".join(str(t.to_pydict()) for t in tables.values() if isinstance(t, pa.Table))
    for secret in (*KEYS, "192.0.2.", "2001:db8", "aa:bb:cc", "gateway.example", "karin"):
        assert secret not in texts
    assert whole["anonymized"] is True
    assert whole["machine"]["kernel"] == "6.12.0"
    assert RECORDING.manifest["anonymized"] is False
    objects = Recording.from_tables(whole, tables).table("objects")
    assert sorted(objects["public_key"]) == ["", "peer-1", "peer-2", "peer-3"]
    assert all(endpoint.endswith(":51820") for endpoint in objects["endpoint"] if endpoint)


def test_the_same_is_still_the_same() -> None:
    said, again = messages(f"{KEYS[0]} at 192.0.2.1:51820", f"192.0.2.1 is {KEYS[0]}")
    peer, _, address = said.split()
    assert again == f"{address.removesuffix(':51820')} is {peer}"
    (one,) = messages("2001:db8::5 2001:0DB8:0::5 2001:db8::6")
    assert len(set(one.split())) == 2


def test_labels_depend_on_the_salt_alone() -> None:
    names = set()
    for salt in range(20):
        _, tables = anonymized({}, TABLE_OF, salt=bytes([salt + 1]))
        _, again = anonymized({}, TABLE_OF, salt=bytes([salt + 1]))
        assert tables == again
        names.add(tuple(Recording.from_tables({}, tables).table("objects")["public_key"]))
    assert len(names) > 1


@pytest.mark.parametrize(
    "text",
    [
        "kernel 6.12.41-1, bcc 0.31.0",
        "at 12:30:45",
        "::1 and 127.0.0.1",
        "wireguard:wg_xmit",
        "1.2.3.4.5",
        "",
        "a::b::c",
    ],
)
def test_what_is_no_address_stays(text: str) -> None:
    assert messages(text) == [text]


@settings(deadline=None)
@given(st.ip_addresses(), st.sampled_from(["{}", "at {}, it said", "{}.", "[{}]:51820", "({})", "{}/32", "x={};"]))
def test_any_address_goes(address: IPv4Address | IPv6Address, form: str) -> None:
    kept = address.is_loopback or address.is_unspecified
    assert messages(form.format(address)) == [form.format(address if kept else "addr-1")]


def test_counts_are_untouched() -> None:
    _, tables = anonymized(RECORDING.manifest, TABLE_OF)
    for name in ("stages", "journeys", "depths", "histograms", "cpus"):
        assert tables[name] is TABLE_OF[name]


def named(name: str) -> dict[str, pa.Table]:
    """The recording with its device called so."""
    frames = {table: RECORDING.table(table).assign(name=name) for table in ("objects", "interfaces")}
    frames["interfaces"]["name"] = frames["interfaces"]["name"].astype("category")
    renamed = Recording.from_tables({}, frames)
    return {**TABLE_OF, **{table: renamed.arrow(table) for table in frames}}


def names_in(tables: Mapping[str, pa.Table | Path]) -> set[str]:
    return {
        str(name)
        for table in ("objects", "interfaces")
        for name in Recording.from_tables({}, tables).table(table)["name"]
    }


@pytest.mark.parametrize("spilled", [False, True])
def test_an_interface_that_is_called_like_an_address_is_so_everywhere(tmp_path: Path, spilled: bool) -> None:
    """Counters of interfaces are found by name: those of a device must still be its own."""
    assert len(TABLE_OF["interfaces"])
    tables: dict[str, pa.Table | Path] = dict(named("10.8.0.1"))
    if spilled:
        path = tmp_path / "interfaces.parquet"
        tables["interfaces"] = path
        path.write_bytes(parquet.encode(BY_NAME["interfaces"], named("10.8.0.1")["interfaces"]))
    manifest = {"interfaces": [{"name": "10.8.0.1"}], "outer": [{"carries": ["10.8.0.1@left"], "name": "eth0"}]}
    whole, found = anonymized(manifest, tables)
    (label,) = names_in(found)
    assert label.startswith("addr-")
    assert whole["interfaces"] == [{"name": label}]
    assert whole["outer"] == [{"carries": [f"{label}@left"], "name": "eth0"}]


def test_names_of_interfaces_and_namespaces_stay() -> None:
    _, found = anonymized({}, named("wg-office"))
    assert names_in(found) == {"wg-office"}
    assert set(Recording.from_tables({}, found).table("objects")["netns_name"]) == {"left"}


def test_a_host_called_like_a_key_of_the_manifest_does_not_cost_it() -> None:
    whole, _ = anonymized({"target": {"host": "machine"}, "machine": {"kernel": "6.12"}, "message": "machine left"}, {})
    assert whole["machine"] == {"kernel": "6.12"}
    assert whole["target"] == {"host": "host-1"}
    assert whole["message"] == "host-1 left"


def said(analysis: Analysis, recording: Recording) -> str:
    """Everything a screen shows of it, as one text."""
    diagnosis = diagnose(analysis, recording)
    rows: list[object] = [analysis.headline, *diagnosis.outcomes, *analysis.stages, *analysis.waits, *analysis.queues]
    rows += [*analysis.servers, *analysis.checks, *analysis.ledger.losses, analysis.outer]
    return json.dumps([plain(row) for row in rows], ensure_ascii=False)


def test_the_example_has_the_same_findings_and_says_that_it_is_anonymised() -> None:
    with open_recording(EXAMPLE) as recording:
        first, other = analyse(recording), anonymous(recording)
        text = said(first, recording)
    second = analyse(other)
    assert second.anonymized and not first.anonymized
    hidden = said(second, other)
    for number, thing in second.names.things.items():
        assert (thing.label != first.names.label(number)) is (thing.kind == "peer")
        hidden = hidden.replace(thing.label, first.names.label(number))
    assert hidden == text
    assert set(notes(second)) - set(notes(first)) == {
        "Anonymised: peer-N, addr-N and host-N stand for public keys, addresses and host names."
    }
