"""A file of /proc that stays open must be read to its end: the kernel hands a long one out in pieces."""

from __future__ import annotations

import os
from pathlib import Path

from wgprof.agent.files import read_whole

#: One line a mapping: far more than a page in any Python process with numpy in it.
MAPS = Path("/proc/self/maps")


def test_a_long_seq_file_is_read_whole_again_and_again() -> None:
    fd = os.open(MAPS, os.O_RDONLY)
    try:
        assert len(os.pread(fd, 1 << 20, 0)) < len(MAPS.read_bytes()), "one read is not enough, as this test assumes"
        for _ in range(2):
            whole = read_whole(fd)
            assert whole.endswith(b"\n")
            last = MAPS.read_bytes().splitlines()[-1]
            assert whole.splitlines()[-1] == last
    finally:
        os.close(fd)


def test_no_more_than_asked_for_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(bytes(1 << 18))
    fd = os.open(path, os.O_RDONLY)
    try:
        assert len(read_whole(fd, most=1 << 17)) == 1 << 17
    finally:
        os.close(fd)


def test_short_lines_of_any_length_are_read_whole() -> None:
    """A small piece is taken for the last one: so it is in the files that the agent reads."""
    for name in ("dev", "softnet_stat", "snmp", "snmp6", "udp", "udp6"):
        path = Path("/proc/net") / name
        fd = os.open(path, os.O_RDONLY)
        try:
            assert read_whole(fd).count(b"\n") == path.read_bytes().count(b"\n")
        finally:
            os.close(fd)
