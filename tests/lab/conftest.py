"""Lab tests: one boot shared by all who can share it, and one repetition when the emulator, not a number, failed.

A test takes `lab_machine` (booted, shared: leave it as you found it), `gateway` (the same, with wgprof
installed and a tunnel), `lab_free` (nobody else's machine is running: for tests that boot their own,
`wgprof record` included), or `lab_image`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from tests.support.gateway import Gateway
from tests.support.wheels import WheelsMissing, wheel_folder
from wgprof.errors import MachineError
from wgprof.lab.image import LabImage, ensure_image
from wgprof.lab.machine import EmulatorFailure, Machine
from wgprof.targets.zipapp import build_agent

#: Another lab on this machine may be busy with a whole test run.
LAB_WAIT_S = "900"
EMULATOR_FAILED = pytest.StashKey[str]()
FAILED = pytest.StashKey[bool]()


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class SharedLab:
    """The machine that tests share, plain or as a gateway; booted when first asked for, and again after `free`."""

    def __init__(self, image: LabImage) -> None:
        self._image = image
        self._machine: Machine | None = None
        self._gateway: Gateway | None = None

    def gateway(self, wheels: Path) -> Gateway:
        if self._gateway is None or not self._gateway.machine.alive:
            self.free()
            gateway = Gateway(self._image, wheels, build_agent(wheels.with_name("agent.pyz")), say)
            gateway.boot()
            self._machine, self._gateway = gateway.machine, gateway
        return self._gateway

    def machine(self) -> Machine:
        if self._gateway is not None or self._machine is None or not self._machine.alive:
            self.free()
            machine = Machine(self._image, notify=say)
            machine.boot()
            self._machine = machine
        return self._machine

    def free(self) -> None:
        if self._machine is not None:
            self._machine.close()
        self._machine = self._gateway = None


@pytest.fixture(scope="session", autouse=True)
def _patient_lab() -> Iterator[None]:
    before = os.environ.get("WGPROF_LAB_WAIT")
    os.environ.setdefault("WGPROF_LAB_WAIT", LAB_WAIT_S)
    yield
    if before is None:
        os.environ.pop("WGPROF_LAB_WAIT", None)


@pytest.fixture(scope="session")
def lab_image() -> LabImage:
    """The default kernel's image, built if need be."""
    try:
        return ensure_image(progress=lambda line, done: say(line))
    except MachineError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{error.sentence}. {error.remedy}")


@pytest.fixture(scope="session")
def shared_lab(lab_image: LabImage) -> Iterator[SharedLab]:
    lab = SharedLab(lab_image)
    yield lab
    lab.free()


@pytest.fixture
def lab_machine(shared_lab: SharedLab) -> Machine:
    """A booted machine, shared with other tests."""
    return shared_lab.machine()


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wgprof's wheel and all it needs."""
    try:
        return wheel_folder(tmp_path_factory.mktemp("gateway") / "wheels")
    except WheelsMissing as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{error}. Needs a package index once.")


@pytest.fixture
def gateway(request: pytest.FixtureRequest, shared_lab: SharedLab, wheels: Path) -> Iterator[Gateway]:
    """A machine with wgprof installed and a tunnel, shared with other tests; never with what one that failed left."""
    yield shared_lab.gateway(wheels)
    if request.node.stash.get(FAILED, False):
        shared_lab.free()


@pytest.fixture
def lab_free(shared_lab: SharedLab) -> None:
    """The lab's lock is free: the shared machine is shut down."""
    shared_lab.free()


# -- the repetition


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    if call.excinfo is not None and isinstance(call.excinfo.value, EmulatorFailure):
        error = call.excinfo.value
        item.stash[EMULATOR_FAILED] = f"{error.sentence}\n{error.remedy}"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a lab test; once more, with new fixtures, if the emulator failed.  A wrong number is never repeated."""
    if item.get_closest_marker("lab") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    reason = item.stash.get(EMULATOR_FAILED, "")
    if reason:
        say(f"\n{item.nodeid}: the emulator failed, once more: {reason}")
        del item.stash[EMULATOR_FAILED]
        del item.stash[FAILED]
        item.session._setupstate.teardown_exact(None)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
