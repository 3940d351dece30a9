"""Functions compiled by numba, kept on disk for the next process.

numba's own cache looks at the file of the function it compiles and not at those of the functions that are
called from it, so the cache's folder is named after all of the engine's sources.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def _cache_folder() -> Path:
    base = os.environ.get("WGPROF_CACHE") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return Path(base) / "wgprof" / "compiled" / digest.hexdigest()[:16]


# numba makes both at run time.
_config: Any = numba.config
_njit: Any = numba.njit
_config.CACHE_DIR = str(_cache_folder())
# More is not faster here, and takes half as long again to compile.
_config.OPT = type(_config.OPT)(1)


#: What is not called from Python needs no wrapper; and nothing here allocates, so counting references, which would
#: take most of the time, is left out (`_nrt`).
_OPTIONS = {"error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}
_INNER = {**_OPTIONS, "no_cpython_wrapper": True}


def entry(function: F) -> F:
    """Compile for calls from Python, on first use; the result, with all it calls, is kept on disk.

    Calls from several threads run at once.
    """
    return cast(F, _njit(cache=True, nogil=True, **_OPTIONS)(function))


def compiled(function: F) -> F:
    """Compile for calls from compiled functions."""
    return cast(F, _njit(**_INNER)(function))


def inlined(function: F) -> F:
    """Compile as a part of its callers: for what is called for every event."""
    return cast(F, _njit(forceinline=True, **_INNER)(function))
