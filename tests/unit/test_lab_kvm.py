"""KVM is believed only after a boot, and the boot is not repeated for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from wgprof.lab import kvm
from wgprof.lab.image import LabImage


def image(release: str = "6.12") -> LabImage:
    return LabImage("6.12", release, Path("/nowhere"))


@pytest.fixture
def probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A device that may be opened, and a probe that says yes to kernel 6.12 only."""
    done: list[str] = []
    device = tmp_path / "kvm"
    device.touch()

    def probe(tried: LabImage) -> bool:
        done.append(tried.release)
        return tried.release == "6.12"

    monkeypatch.setenv("WGPROF_CACHE", str(tmp_path))
    monkeypatch.setattr(kvm, "DEVICE", device)
    monkeypatch.setattr(kvm, "probe", probe)
    return done


def test_each_kernel_is_tried_once(probes: list[str]) -> None:
    said: list[str] = []
    assert [kvm.usable(image(release), said.append) for release in ("6.12", "6.1", "6.12", "6.1")] == [
        True,
        False,
        True,
        False,
    ]
    assert probes == ["6.12", "6.1"]
    assert [line for line in said if "emulating" in line] and len(said) == 4


def test_a_restart_or_a_damaged_note_means_trying_again(probes: list[str], tmp_path: Path) -> None:
    for text in ("", "[]", "null", '{"boot": "another", "works": {"6.12": false}}', '{"boot": 1, "works": 2}'):
        (tmp_path / "kvm.json").write_text(text)
        assert kvm.usable(image(), lambda line: None)
    assert len(probes) == 5


def test_without_the_device_nothing_is_tried(
    probes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm, "DEVICE", tmp_path / "none")
    assert not kvm.usable(image(), pytest.fail)
    assert probes == []
