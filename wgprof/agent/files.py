"""Reading files of /proc that stay open."""

from __future__ import annotations

import os

_PIECE = 1 << 16
#: A piece of less is the last one: the kernel fills a page at least, and the next line would have fitted in it.
_LAST = 2048


def read_whole(fd: int, most: int = 1 << 22) -> bytes:
    """An open file's whole content from its beginning, up to about `most` bytes.  Raises OSError.

    Of a file made line by line (seq_file) the kernel gives about a page at a time, however much was asked for.
    """
    part = os.pread(fd, _PIECE, 0)
    if len(part) < _LAST:
        return part
    parts = [part]
    at = len(part)
    while at < most:
        part = os.pread(fd, _PIECE, at)
        if not part:
            break
        parts.append(part)
        at += len(part)
        if len(part) < _LAST:
            break
    return b"".join(parts)
