"""The agent's byte streams through the guest's ports `agent-in` and `agent-out`."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import socket
import struct
import termios
import threading
import time
from typing import TYPE_CHECKING, BinaryIO, cast

from wgprof.lab.channel import ChannelClosed, Job

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

#: After a command has ended, its last bytes arrive within this time.
LAST_BYTES_S = 1.0


class EndMark:
    """Finds the mark that ends a stream.  The guest's ports carry no end of file to the host."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self._held = b""
        self.found = False

    def feed(self, data: bytes) -> bytes:
        """The bytes that are certainly the stream's."""
        data = self._held + data
        place = data.find(self._mark)
        if place >= 0:
            self.found = True
            self._held = b""
            return data[:place]
        keep = self._overlap(data)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def rest(self) -> bytes:
        """What was held back when the stream broke off without a mark."""
        rest, self._held = self._held, b""
        return rest

    def _overlap(self, data: bytes) -> int:
        for size in range(min(len(self._mark) - 1, len(data)), 0, -1):
            if data.endswith(self._mark[:size]):
                return size
        return 0


class GuestInput(io.RawIOBase):
    """The standard input of a command in the guest; closing it is an end of file there."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._socket.fileno()

    def write(self, data: Buffer, /) -> int:
        self._socket.sendall(data)
        return memoryview(data).nbytes

    def close(self) -> None:
        if not self.closed:
            self._drain()
            self._socket.close()
        super().close()

    def _drain(self) -> None:
        """QEMU forgets what it has not read when a connection is closed: let it read first."""
        deadline = time.monotonic() + LAST_BYTES_S
        try:
            while _unread_by_peer(self._socket) and time.monotonic() < deadline:
                time.sleep(0.005)
        except OSError:
            pass  # the machine is gone already


def _unread_by_peer(connection: socket.socket) -> int:
    """Bytes of buffers in the socket that its other end has not taken yet (SIOCOUTQ, unix(7))."""
    return int(struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0])


class AgentStreams:
    """A command in the guest with its standard input and output here.

    Closing `stdin` gives the command an end of file and leaves `stdout` open.  Raises TimeoutError or
    ChannelClosed if the command does not come up.
    """

    def __init__(
        self, to_guest: socket.socket, from_guest: socket.socket, mark: bytes, job: Job, timeout: float
    ) -> None:
        self.job = job
        self._from_guest = from_guest
        to_guest.sendall(mark + b"\n")
        self._meet(mark, timeout)
        self._from_guest.settimeout(LAST_BYTES_S)
        read_end, write_end = os.pipe()
        self.stdout: io.BufferedReader = os.fdopen(read_end, "rb")
        self.stdin: BinaryIO = cast(BinaryIO, GuestInput(to_guest))
        self._thread = threading.Thread(target=self._pump, args=(write_end, EndMark(mark)), name="lab-out", daemon=True)
        self._thread.start()

    def _meet(self, mark: bytes, timeout: float) -> None:
        """Wait for the guest's mark: from then on bytes travel both ways."""
        self._from_guest.settimeout(timeout)
        seen = b""
        while len(seen) < len(mark):
            data = self._from_guest.recv(len(mark) - len(seen))
            if not data:
                raise ChannelClosed("the machine went away")
            seen += data
        if seen != mark:
            raise ChannelClosed("the guest's port carries something else")

    def close(self) -> None:
        """Drop both streams: the command gets an end of file, what it still writes is read and lost."""
        self.stdin.close()
        self.stdout.close()

    def _pump(self, write_end: int, mark: EndMark) -> None:
        with os.fdopen(write_end, "wb", buffering=0) as out, self._from_guest:
            try:
                while not mark.found:
                    self._take(out, mark)
            except (OSError, EOFError):
                pass  # the machine went away, or the command could not even write its mark
            with contextlib.suppress(OSError):
                _write_all(out, mark.rest())

    def _take(self, out: io.FileIO, mark: EndMark) -> None:
        ended = self.job.done
        try:
            data = self._from_guest.recv(1 << 16)
        except TimeoutError:
            if ended:
                raise EOFError from None
            return
        if not data:
            raise EOFError
        # Without a reader go on: a guest whose bytes nobody takes would hang in its write for ever.
        with contextlib.suppress(BrokenPipeError):
            _write_all(out, mark.feed(data))


def _write_all(out: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]
