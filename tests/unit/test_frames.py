"""The frame protocol: what is written is read, and nothing but FrameError comes of damaged bytes."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wgprof.agent import frames
from wgprof.agent.frames import Frame, FrameError, Kind, ProtocolMismatch, encode, encode_json, read_frame, read_frames

_PAYLOADS = st.one_of(st.binary(max_size=64), st.integers(0, 5000).map(lambda n: b"ab" * n))
_FRAMES = st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 2**32 - 1), _PAYLOADS, st.booleans()), max_size=5)


@settings(deadline=None)
@given(_FRAMES)
def test_frames_come_back_as_they_were(written: list[tuple[Kind, int, bytes, bool]]) -> None:
    stream = BytesIO(b"".join(encode(*frame) for frame in written))
    assert list(read_frames(stream)) == [Frame(kind, sequence, payload) for kind, sequence, payload, _ in written]


@settings(deadline=None)
@given(_PAYLOADS)
def test_an_unsealed_frame_is_sealed_when_it_is_read(payload: bytes) -> None:
    sent = frames.unsealed_header(Kind.TICK, 7, len(payload)) + payload
    assert frames.read_raw(BytesIO(sent)) == encode(Kind.TICK, 7, payload)


def test_an_unsealed_frame_still_has_a_header_that_is_checked() -> None:
    sent = bytearray(frames.unsealed_header(Kind.TICK, 7, 3) + b"abc")
    sent[8] ^= 1  # the sequence
    with pytest.raises(FrameError, match="checksum"):
        frames.read_raw(BytesIO(bytes(sent)))


@settings(deadline=None)
@given(st.sampled_from(Kind), _PAYLOADS, st.booleans(), st.data())
def test_a_frame_cut_off_anywhere_is_an_error(kind: Kind, payload: bytes, compress: bool, data: st.DataObject) -> None:
    whole = encode(kind, 7, payload, compress)
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(FrameError):
        read_frame(BytesIO(whole[:cut]))


@settings(deadline=None)
@given(_PAYLOADS.filter(bool), st.booleans(), st.data())
def test_a_damaged_payload_fails_its_checksum(payload: bytes, compress: bool, data: st.DataObject) -> None:
    whole = bytearray(encode(Kind.EVENTS, 7, payload, compress))
    place = data.draw(st.integers(frames.HEADER.size, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FrameError, match="checksum"):
        read_frame(BytesIO(bytes(whole)))


@settings(deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_at_all_give_frames_or_frame_error(data: bytes, behind_magic: bool) -> None:
    with suppress(FrameError):
        list(read_frames(BytesIO(frames.MAGIC + data if behind_magic else data)))


def test_another_protocol_is_named() -> None:
    whole = bytearray(encode(Kind.END, 0, b"{}"))
    whole[4] = frames.PROTOCOL_VERSION + 1
    with pytest.raises(ProtocolMismatch, match="protocol 2"):
        read_frame(BytesIO(bytes(whole)))


def test_a_frame_that_claims_to_be_huge_is_not_read() -> None:
    header = frames.HEADER.pack(frames.MAGIC, 1, Kind.TICK, 0, 0, frames.MAX_PAYLOAD + 1, 0, 0)
    with pytest.raises(FrameError, match="claims"):
        read_frame(BytesIO(header))


def test_a_payload_that_inflates_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode(Kind.TICK, 0, bytes(100_000), compress=True)
    monkeypatch.setattr(frames, "MAX_DECOMPRESSED", 50_000)
    with pytest.raises(FrameError, match="decompresses"):
        read_frame(BytesIO(whole))


def test_json_frames_hold_objects_only() -> None:
    (frame,) = read_frames(BytesIO(encode_json(Kind.HELLO, 0, {"protocol": 1})))
    assert frame.json() == {"protocol": 1}
    for payload in (b"[1]", b"nonsense", b"\xff"):
        with pytest.raises(FrameError, match="JSON"):
            Frame(Kind.HELLO, 0, payload).json()
