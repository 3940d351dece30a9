"""Whether what the model needs, an extra of the installation, is there."""

from __future__ import annotations

import importlib.util

from wgprof.errors import MachineError


def require_model(what: str = "predicting") -> None:
    """Raises MachineError where what only the model needs was not installed with wgprof."""
    missing = [name for name in ("numba", "scipy") if importlib.util.find_spec(name) is None]
    if missing:
        remedy = "Install them with it: pip install 'wgprof[model]'."
        raise MachineError(f"{what} needs {' and '.join(missing)}, which wgprof was installed without", remedy)
