"""The programs compile, and the running kernel's verifier accepts them: no VM, no WireGuard.

Attaching needs a kernel with WireGuard, which the lab has.  fentry programs cannot even be loaded
without their target, so they are compiled here, and loaded in the lab.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.captures.facts import INLINE, KERNELS
from wgprof.targets.local import python_with_bcc

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def verify(kernel: str, *options: str) -> dict[str, dict[str, str]]:
    """What became of each program of a kernel's plan; runs under the Python that has bcc, as root."""
    python = python_with_bcc()
    assert python, "bcc is missing: run `make setup`"
    become_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    done = subprocess.run(
        [*become_root, python, str(HERE / "load_programs.py"), str(ROOT), kernel, *options],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize("kernel", KERNELS)
def test_kprobe_programs_pass_the_verifier(kernel: str) -> None:
    programs = verify(kernel, "--kprobes")
    assert len(programs) == 26
    refused = {name: row["error"] for name, row in programs.items() if row["error"]}
    assert not refused


@pytest.mark.parametrize("kernel", INLINE)
def test_kprobe_programs_of_the_inline_variant_pass_the_verifier(kernel: str) -> None:
    programs = verify(kernel, "--kprobes")
    assert len(programs) == 34
    assert not {name: row["error"] for name, row in programs.items() if row["error"]}


def test_programs_for_kernels_without_large_map_elements_pass_as_well() -> None:
    programs = verify("6.1", "--kprobes", "--look-up")
    assert not {name: row["error"] for name, row in programs.items() if row["error"]}


@pytest.mark.parametrize("options", [(), ("--detail",)])
def test_programs_that_read_by_casts_pass_as_well(options: tuple[str, ...]) -> None:
    programs = verify("6.12", "--kprobes", "--cast", *options)
    assert not {name: row["error"] for name, row in programs.items() if row["error"]}


@pytest.mark.parametrize(("kernel", "points"), [("6.1", 33), ("6.12", 35), ("7.2", 35), ("6.12-inline", 43)])
def test_kprobe_programs_of_detail_pass_the_verifier(kernel: str, points: int) -> None:
    programs = verify(kernel, "--kprobes", "--detail")
    assert len(programs) == points
    assert not {name: row["error"] for name, row in programs.items() if row["error"]}


@pytest.mark.parametrize("options", [(), ("--detail",)])
@pytest.mark.parametrize("kernel", ("6.12", "7.2", "6.12-inline"))
def test_fentry_programs_compile(kernel: str, options: tuple[str, ...]) -> None:
    programs = verify(kernel, *options)
    assert {"fentry", "fexit", "tracepoint", "perf"} <= {row["kind"] for row in programs.values()}


def test_many_cpus_and_few_slots_pass_as_well() -> None:
    programs = verify("6.1", "--kprobes", "--slots=16", "--cpus=128")
    assert not {name: row["error"] for name, row in programs.items() if row["error"]}
