"""For all tests."""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes depends on who else uses the machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# For `make test-fast`: `make test` tries the usual hundred where a test does not say how many.
settings.register_profile("quick", settings.get_profile("any machine"), max_examples=25)


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """What importing makes stays, so nobody looks for rubbish in it, neither now nor whenever a test made some."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
