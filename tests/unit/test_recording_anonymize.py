"""Anonymising: nothing that identifies anybody is left, and what was the same is still the same."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.frames import synthetic_recording
from wgprof.recording.anonymize import anonymized
from wgprof.recording.reader import Recording
from wgprof.recording.schema import BY_NAME, TABLES

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
