"""How a run of perf ended: that something is missing is a state with a remedy, not an exception."""

from __future__ import annotations

from dataclasses import dataclass

OK = "ok"
NOT_INSTALLED = "not installed"
REFUSED = "refused"  # not permitted
UNSUPPORTED = "unsupported"  # this perf or this kernel does not have it
NO_SYMBOLS = "no symbols"
STOPPED = "stopped"  # by the user, before its time; what it said until then is kept
FAILED = "failed"

#: Exit code of perf's option parser, and the shell's for a program that is not there.
_USAGE, _NO_PROGRAM = 129, 127
_INSTALL = "Install it: apt install linux-perf (Debian), linux-tools-$(uname -r) (Ubuntu), perf (Fedora)."


@dataclass(frozen=True)
class Run:
    """What the agent saw of a part of the window."""

    part: str  # stat, stacks or kwork
    exit_code: int
    stderr: str = ""
    stopped: bool = False
    truncated: bool = False  # it printed more than is passed on


@dataclass(frozen=True)
class State:
    """How a part went; `sentence` and `remedy` are empty if well."""

    part: str
    state: str
    sentence: str = ""
    remedy: str = ""


def classify(run: Run) -> State:
    """What a part's end means."""
    said = run.stderr.lower()
    if run.exit_code == 0 or run.stopped:
        return _ended(run)
    if run.exit_code == _NO_PROGRAM or "perf not found for kernel" in said:
        return State(run.part, NOT_INSTALLED, "perf is not installed for this kernel", _INSTALL)
    if any(words in said for words in ("is not a perf-command", "unknown option", "unknown switch")) or (
        run.exit_code == _USAGE and "usage:" in said and "event syntax error" not in said
    ):
        return State(run.part, UNSUPPORTED, f"this perf has no {_WORDS[run.part]}", "A newer perf has it.")
    if any(words in said for words in ("perf_event_paranoid", "no permission", "operation not permitted", "lockdown")):
        return State(
            run.part,
            REFUSED,
            "the kernel does not let perf measure",
            "Run as root; in a container, add CAP_PERFMON; sysctl kernel.perf_event_paranoid=1 allows users.",
        )
    if any(words in said for words in ("event syntax error", "no such device", "not supported", "tracepoint")):
        return State(
            run.part,
            UNSUPPORTED,
            f"this kernel lacks what {_WORDS[run.part]} needs: {last_line(run.stderr)}",
            "Nothing to do; the rest is recorded.",
        )
    return State(
        run.part,
        FAILED,
        f"perf failed with exit code {run.exit_code}: {last_line(run.stderr)}",
        "Run perf by hand on that machine to see more.",
    )


_WORDS = {"stat": "counters (perf stat)", "stacks": "sampling (perf record)", "kwork": "latency of work (perf kwork)"}


def _ended(run: Run) -> State:
    if run.stopped:
        return State(run.part, STOPPED, "it was stopped early", "")
    if run.truncated:
        sentence = "perf printed more than is kept, the end is missing"
        return State(run.part, FAILED, sentence, "Choose a shorter --stacks.")
    return State(run.part, OK)


def without_names(samples: int, unresolved: int) -> State | None:
    """The state of stacks most of whose functions have no name."""
    if samples and unresolved > samples / 2:
        return State(
            "stacks",
            NO_SYMBOLS,
            f"{unresolved} of {samples} samples have no function names",
            "sysctl kernel.kptr_restrict=1 lets root see them.",
        )
    return None


def last_line(text: str) -> str:
    """The line in which perf says what is wrong: not its advice, nor the usage it prints behind it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if line.startswith("Error:"):
            rest = line.removeprefix("Error:").strip()
            return (rest or " ".join(lines[number + 1 : number + 2]))[:200]
    lines = [line for line in lines if "perf record:" not in line]
    return (lines[0] if lines else "it said nothing")[:200]
