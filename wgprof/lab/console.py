"""What a machine said on its console, made fit to be shown."""

from __future__ import annotations

import re
from pathlib import Path

_ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|[()][0-9A-Za-z]|[@-Z\\-_c])")
#: Registers, code bytes and the frames of a call trace: for the whole log, not for its last lines.
_TRACE = re.compile(
    r"^(\[[ .\d]+\]\s+)?(\? |R[0-9A-Z]{2}: \w{16}|RSP: |[CF]S: |CR2: |DR\d: |Code: |</?[A-Z]+>|[\w.]+\+0x\w+/0x)"
)
_READ_BYTES = 64 << 10


def clean(text: str) -> list[str]:
    """Lines without escape sequences, control characters and blank lines."""
    lines = []
    for line in _ESCAPE.sub("", text).replace("\r", "\n").split("\n"):
        kept = "".join(c for c in line if c.isprintable() or c == "\t").rstrip()
        if kept.strip():
            lines.append(kept)
    return lines


def tail(path: Path, count: int = 12) -> list[str]:
    """The last lines of a console log; empty if there is none."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _READ_BYTES))
            data = stream.read()
    except OSError:
        return []
    return clean(data.decode(errors="replace"))[-count:]


def telling_tail(path: Path, count: int = 12) -> list[str]:
    """As `tail`, without what only a kernel developer reads."""
    return [line for line in tail(path, 400) if not _TRACE.match(line)][-count:]


def panic_line(path: Path) -> str:
    """The kernel's reason if it died, else an empty string."""
    for line in tail(path, 400):
        if "Kernel panic" in line:
            return line[line.index("Kernel panic") :]
    return ""
