"""The one exception base of wgprof: a sentence for the user, a remedy, and an exit code.

The command line catches `WgprofError` once, prints `error: SENTENCE` and `REMEDY` to stderr and
exits with the code of the class.  Exit codes are those of the README: 1 a failure, 2 usage,
3 this machine cannot do it, 4 interrupted with a complete file.
"""

from __future__ import annotations


class WgprofError(Exception):
    """Something went wrong that the user can understand; `remedy` says what to do about it."""

    exit_code = 1

    def __init__(self, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.remedy = remedy


class UsageError(WgprofError):
    """What was asked makes no sense."""

    exit_code = 2


class MachineError(WgprofError):
    """This machine, or the target, cannot do what was asked."""

    exit_code = 3


class RecordingError(WgprofError):
    """A file is not a recording, is damaged, or is from a newer wgprof."""
