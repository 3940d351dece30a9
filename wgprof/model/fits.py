"""Laws of scaling fitted to throughput against cores or tunnels, with confidence intervals.

Amdahl (1967): X(n) = X1 n / (1 + s (n - 1)).  Gunther's Universal Scalability Law (2007) adds coherence:
X(n) = X1 n / (1 + s (n - 1) + k n (n - 1)), which may fall again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from wgprof.errors import UsageError

Floats = npt.NDArray[np.float64]
_LAWS = {"amdahl": ("x1", "serial"), "usl": ("x1", "contention", "coherence")}


@dataclass(frozen=True)
class Parameter:
    """A fitted value with its interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """A law fitted to points."""

    law: str
    parameters: tuple[Parameter, ...]
    confidence: float
    residual: float  # root mean square of the relative residuals

    def at(self, n: Sequence[float] | Floats) -> Floats:
        """The fitted curve."""
        return _curve(np.asarray(n, dtype=np.float64), *(p.value for p in self.parameters))

    @property
    def peak(self) -> float:
        """Where throughput is highest; infinite if it never falls."""
        if self.law != "usl" or self.parameters[2].value <= 0:
            return math.inf
        return math.sqrt(max(1 - self.parameters[1].value, 0.0) / self.parameters[2].value)


def fit(law: str, n: Sequence[float], throughput: Sequence[float], confidence: float = 0.95) -> Fit:
    """Fit `amdahl` or `usl` by least squares of relative residuals.

    Raises UsageError with fewer points than the law has parameters plus one, or values that are no throughput.
    """
    names = _LAWS[law]
    x, y = np.asarray(n, dtype=np.float64), np.asarray(throughput, dtype=np.float64)
    if x.size != y.size or len(set(x.tolist())) <= len(names):
        raise UsageError(
            f"{len(set(x.tolist()))} different points are too few for {law}, which has {len(names)} parameters",
            f"Measure or predict at least {len(names) + 1} numbers of cores or tunnels.",
        )
    if not (np.all(np.isfinite(y)) and np.all(y > 0) and np.all(x >= 1)):
        raise UsageError("a throughput to fit must be above 0, at 1 or more cores or tunnels")
    first = float(y[x.argmin()] / x.min())
    bounds = ([0.0] * len(names), [np.inf] + [1.0] + [1.0] * (len(names) - 2))
    start = [first] + [0.05] + [0.001] * (len(names) - 2)
    values, covariance = optimize.curve_fit(_curve, x, y, p0=start, bounds=bounds, sigma=y, maxfev=20000)
    half = stats.t.ppf((1 + confidence) / 2, x.size - len(names)) * np.sqrt(np.diag(covariance))
    found = tuple(
        Parameter(name, float(v), max(float(v - h), 0.0), float(v + h))
        for name, v, h in zip(names, values, half, strict=True)
    )
    residual = float(np.sqrt(np.mean(((_curve(x, *values) - y) / y) ** 2)))
    return Fit(law, found, confidence, residual)


def _curve(n: Floats, x1: float, serial: float, coherence: float = 0.0) -> Floats:
    return np.asarray(x1 * n / (1 + serial * (n - 1) + coherence * n * (n - 1)))
