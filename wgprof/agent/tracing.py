"""Loads and attaches fentry and fexit programs by bpf(2) itself.

bcc takes `kfunc__MODULE__FUNCTION` names from its release 0.28 on; the kernel attaches to functions of modules
since 5.11 (commit 290248a5b7d8).  Asking the kernel directly makes an older bcc no hindrance, and every kernel
is treated the same.  Commands and layouts are those of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Optional

from wgprof.agent.runtime import bpf

_PROG_LOAD = 5
_OBJ_GET_INFO_BY_FD = 15
_RAW_TRACEPOINT_OPEN = 17
_BTF_GET_FD_BY_ID = 19
_BTF_GET_NEXT_ID = 23
_PROG_TYPE_TRACING = 26
_TRACE_FENTRY, _TRACE_FEXIT = 24, 25

_INSTRUCTION_BYTES = 8
_LOG_BYTES = 1 << 20
_NAME_BYTES = 16
#: union bpf_attr of BPF_PROG_LOAD up to attach_btf_obj_fd.
_LOAD = struct.Struct("<IIQQIIQII16sIIIIQIIQIIII")
#: struct bpf_btf_info: btf, btf_size, id, name, name_len, kernel_btf.
_BTF_INFO = struct.Struct("<QIIQII")


class TracingError(Exception):
    """The kernel refused; the message holds the verifier's words."""


def btf_descriptor(module: str) -> Optional[int]:
    """A descriptor of a loaded module's type information; None if the kernel has none, or cannot give it."""
    number = 0
    while True:
        attributes = ctypes.create_string_buffer(struct.pack("<III", number, 0, 0), 12)
        if bpf(_BTF_GET_NEXT_ID, attributes) < 0:
            return None
        number = struct.unpack_from("<I", attributes.raw, 4)[0]
        fd = bpf(_BTF_GET_FD_BY_ID, struct.pack("<III", number, 0, 0))
        if fd < 0:
            if ctypes.get_errno() == errno.ENOENT:
                continue  # its module was just unloaded
            return None
        if _btf_name(fd) == module:
            return fd
        os.close(fd)


def _btf_name(fd: int) -> str:
    name = ctypes.create_string_buffer(64)
    packed = _BTF_INFO.pack(0, 0, 0, ctypes.addressof(name), len(name), 0)
    info = ctypes.create_string_buffer(packed, len(packed))
    if bpf(_OBJ_GET_INFO_BY_FD, struct.pack("<IIQ", fd, len(packed), ctypes.addressof(info))) < 0:
        return ""
    return name.value.decode("ascii", "replace")


def load_tracing(code: bytes, name: str, fexit: bool, type_id: int, btf_fd: int) -> int:
    """Has the kernel verify a program for one function; returns its descriptor.

    `type_id` is the function's number in the type information behind `btf_fd`; 0 is the kernel's own.
    Raises TracingError.
    """
    instructions = ctypes.create_string_buffer(code, len(code))
    license_name = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(_LOG_BYTES)
    # Without a log at first: writing one makes the verifier several times slower.
    for level in (0, 1):
        attributes = _LOAD.pack(
            _PROG_TYPE_TRACING,
            len(code) // _INSTRUCTION_BYTES,
            ctypes.addressof(instructions),
            ctypes.addressof(license_name),
            level,
            len(log) if level else 0,
            ctypes.addressof(log) if level else 0,
            0,
            0,
            name.encode()[: _NAME_BYTES - 1],
            0,
            _TRACE_FEXIT if fexit else _TRACE_FENTRY,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            type_id,
            btf_fd,
            0,
        )
        fd = bpf(_PROG_LOAD, attributes)
        if fd >= 0:
            return fd
        reason = os.strerror(ctypes.get_errno())
    raise TracingError(f"{reason}\n{log.value.decode('utf-8', 'replace')}")


def attach_tracing(program_fd: int) -> int:
    """Attaches a loaded program to its function, until the descriptor returned is closed.  Raises TracingError."""
    fd = bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QII", 0, program_fd, 0))
    if fd < 0:
        raise TracingError(os.strerror(ctypes.get_errno()))
    return fd
