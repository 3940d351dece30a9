"""The quality panel: does the recording agree with itself, and what did it cost?

One file a kind of check; `panel` puts them together.
"""

from wgprof.analysis.checks.check import FAIL, MEANINGS, OK, UNKNOWN, Check, worst_first
from wgprof.analysis.checks.overhead import Overhead, overhead_of
from wgprof.analysis.checks.panel import Evidence, idle_panel, panel

__all__ = [
    "FAIL",
    "MEANINGS",
    "OK",
    "UNKNOWN",
    "Check",
    "Evidence",
    "Overhead",
    "idle_panel",
    "overhead_of",
    "panel",
    "worst_first",
]
