"""A sweep's file comes from anybody: whatever is in it, it is read within its own size or refused in one sentence."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.sweeps import RECORDED, recorder, small, swept
from wgprof.errors import RecordingError, WgprofError
from wgprof.recording.part import DiskFull
from wgprof.sweep.configuration import Configuration
from wgprof.sweep.document import DONE
from wgprof.sweep.figures import rows_of
from wgprof.sweep.file import SweepFile

_FIRST = "recordings/0001.wgprof"
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
#: Paths into sweep.json.
_PLACES: list[tuple[str | int, ...]] = [
    *((name,) for name in ("magic", "version", "matrix", "runs", "created", "writer_version")),
    *(
        ("matrix", name)
        for name in ("tunnels", "duration", "module", "lab_crypto", "repeats", "kernel", "mtu", "serial_work")
    ),
    *(("runs", 0, name) for name in ("state", "seconds", "repeat", "number", "reason", "configuration")),
    *(
        ("runs", 1, "configuration", name)
        for name in ("tunnels", "lab_crypto", "threaded", "kernel", "mtu", "serial_work")
    ),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small good sweep."""
    return swept(tmp_path_factory.mktemp("sweep") / "good.sweep", small(repeats=1), recorder(lambda c, n: 100.0))


def rebuilt(
    whole: Path, out: Path, change: Callable[[dict[str, bytes]], None], method: int = zipfile.ZIP_STORED
) -> Path:
    """The file with other members."""
    with zipfile.ZipFile(whole) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out


def test_recordings_are_in_it_as_they_were_written(tmp_path: Path) -> None:
    def copied(_: Configuration, path: Path) -> None:
        path.write_bytes(RECORDED.read_bytes())

    out = swept(tmp_path / "it.sweep", small(), copied)
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == ["sweep.json", *(f"recordings/{number:04d}.wgprof" for number in (1, 2, 3, 4))]
        assert archive.read(_FIRST) == RECORDED.read_bytes()
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def sentence(path: Path) -> str:
    with pytest.raises(RecordingError) as refused, SweepFile(path) as opened:
        rows_of(opened)
    assert "\n" not in refused.value.sentence and len(refused.value.sentence) < 500
    return refused.value.sentence


def test_a_bomb_is_refused_by_its_directory(whole: Path, tmp_path: Path) -> None:
    def inflate(members: dict[str, bytes]) -> None:
        members[_FIRST] = bytes(50_000_000)

    out = rebuilt(whole, tmp_path / "bomb.sweep", inflate, zipfile.ZIP_DEFLATED)
    assert out.stat().st_size < 1_000_000
    assert "a file in it is compressed" in sentence(out)


def test_members_that_overlap_are_refused(whole: Path, tmp_path: Path) -> None:
    """Many names for the same bytes: small on the disk, endless to read."""
    data = whole.read_bytes()
    out = tmp_path / "overlap.sweep"
    with zipfile.ZipFile(io.BytesIO(data), "a") as archive:
        info = archive.getinfo(_FIRST)
        for number in range(50):
            other = zipfile.ZipInfo(f"recordings/{number + 3:04d}.wgprof")
            other.header_offset, other.file_size, other.compress_size = (
                info.header_offset,
                info.file_size,
                info.file_size,
            )
            other.CRC = info.CRC
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
        archive._didModify = True  # type: ignore[attr-defined]
        stream = archive.fp
        assert isinstance(stream, io.BytesIO)
        archive.close()
        out.write_bytes(stream.getvalue())
    assert "its files are larger than itself" in sentence(out)


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/evil", "recordings/0009.wgprof", "recordings/", "sweep.json\u202e"]
)
def test_names_that_do_not_belong_are_refused(whole: Path, tmp_path: Path, name: str) -> None:
    out = rebuilt(whole, tmp_path / "it.sweep", lambda members: members.update({name: b"x"}))
    said = sentence(out)
    assert "files differ from its sweep.json" in said and "\u202e" not in said


def test_a_missing_recording_is_refused(whole: Path, tmp_path: Path) -> None:
    out = rebuilt(whole, tmp_path / "it.sweep", lambda members: members.__delitem__(_FIRST))
    assert "files differ" in sentence(out)


def test_a_recording_that_is_none_is_one_sentence(whole: Path, tmp_path: Path) -> None:
    out = rebuilt(whole, tmp_path / "it.sweep", lambda members: members.update({_FIRST: b"PK no recording"}))
    sentence(out)


def test_a_recording_whose_bytes_changed_is_damage(whole: Path, tmp_path: Path) -> None:
    data = bytearray(whole.read_bytes())
    with zipfile.ZipFile(whole) as archive:
        data[archive.getinfo(_FIRST).header_offset + 5_000] ^= 0xFF
    out = tmp_path / "it.sweep"
    out.write_bytes(data)
    assert "a checksum in it is wrong" in sentence(out)


def test_a_full_disk_is_not_taken_for_damage(whole: Path) -> None:
    with SweepFile(whole) as opened, pytest.raises(DiskFull):
        opened.extract(opened.sweep.runs[0], Path("/dev/full"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "is not a sweep"),
        (b"PK", "is damaged"),
        (b"WGPF....", "is not a sweep"),
    ],
)
def test_what_is_no_sweep_is_one_sentence(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "it.sweep"
    if content is not None:
        path.write_bytes(content)
    assert words in sentence(path)


def test_a_recording_is_no_sweep() -> None:
    assert "is a ZIP file, but not a sweep" in sentence(RECORDED)


def test_a_folder_is_no_finished_sweep(tmp_path: Path) -> None:
    assert "is a folder, not a finished sweep" in sentence(tmp_path)


def test_json_that_is_too_large_is_refused(whole: Path, tmp_path: Path) -> None:
    out = rebuilt(whole, tmp_path / "it.sweep", lambda members: members.update({"sweep.json": b" " * (17 << 20)}))
    assert "sweep.json is 17825792 bytes long" in sentence(out)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_refused_or_harmless(whole: Path, tmp_path: Path, data: st.DataObject) -> None:
    """In the directory and in sweep.json, where every byte means something."""
    content = bytearray(whole.read_bytes())
    with zipfile.ZipFile(whole) as archive:
        edges = [*range(archive.getinfo(_FIRST).header_offset), *range(archive.start_dir, len(content))]
    for at in data.draw(st.lists(st.sampled_from(edges), min_size=1, max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "it.sweep"
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) - 1, len(content) // 2]))])
    try:
        with SweepFile(path) as opened:
            for run in opened.sweep.in_state(DONE):
                opened.extract(run, tmp_path / "copy")
    except WgprofError as error:
        assert "\n" not in error.sentence


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=_JSON, where=st.sampled_from(_PLACES))
def test_any_json_is_read_or_refused(whole: Path, tmp_path: Path, value: object, where: tuple[str | int, ...]) -> None:
    def change(members: dict[str, bytes]) -> None:
        document = place = json.loads(members["sweep.json"])
        *path, last = where
        for step in path:
            place = place[step]
        place[last] = value
        members["sweep.json"] = json.dumps(document).encode()

    path = rebuilt(whole, tmp_path / "it.sweep", change)
    try:
        with SweepFile(path) as opened:
            assert len(opened.sweep.runs) == 2
    except RecordingError as error:
        assert "cannot be decoded" not in error.sentence, "each field is refused for what is wrong with it"
