"""What can be known of the lab's machine without booting one."""

from __future__ import annotations

import lzma
import os
import select
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from wgprof.errors import MachineError
from wgprof.lab import console, initramfs, qemu
from wgprof.lab.emulator import write_payload
from wgprof.lab.paths import guest_dir

DEPENDENCIES = """\
kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz kernel/fs/mbcache.ko.xz kernel/fs/jbd2/jbd2.ko.xz
kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/crc16.ko.xz
kernel/lib/crc16.ko.xz:
kernel/fs/mbcache.ko.xz:
kernel/crypto/crc32c_generic.ko.xz:
kernel/drivers/block/virtio_blk.ko.xz:
kernel/drivers/net/veth.ko.xz:
"""


@pytest.fixture
def qemu_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "qemu_words", lambda: ["/usr/bin/qemu-system-x86_64"])


def test_modules_are_loaded_after_what_they_need() -> None:
    order = [Path(path).name for path in initramfs.load_order(DEPENDENCIES)]
    assert order.index("crc16.ko.xz") < order.index("jbd2.ko.xz") < order.index("ext4.ko.xz")
    assert sorted(set(order)) == sorted(order), "nothing twice"
    assert "veth.ko.xz" not in order


def test_the_first_disk_unpacks(tmp_path: Path) -> None:
    tree = {
        "usr/lib/modules/6.12/modules.dep": DEPENDENCIES.encode(),
        "usr/bin/busybox": b"busybox",
    }
    for line in DEPENDENCIES.splitlines():
        name = line.split(":")[0]
        tree[f"usr/lib/modules/6.12/{name}"] = lzma.compress(f"module {Path(name).name}".encode())
    base = initramfs.base_archive(tree.__getitem__, "6.12")
    names = _cpio_names(base)
    assert {"bin/busybox", "modules/ext4.ko", "modules/order", "dev/console"} <= set(names)
    assert b"module virtio_blk.ko.xz" in base, "modules travel uncompressed"
    assert _cpio_names(initramfs.overlay_archive()) == ["init", "guest/init.sh"]
    assert len(base) % 4 == 0, "another archive can follow"


def _cpio_names(data: bytes) -> list[str]:
    names: list[str] = []
    place = 0
    while True:
        fields = [int(data[place + 6 + 8 * i : place + 14 + 8 * i], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[place + 110 : place + 110 + name_size - 1].decode()
        if name == "TRAILER!!!":
            return names
        names.append(name)
        place += (110 + name_size + 3) // 4 * 4
        place += (size + 3) // 4 * 4


def test_a_module_of_a_compression_without_a_tool_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MachineError, match=r"cannot unpack the kernel module a\.ko\.zst"):
        initramfs.unpack_module("kernel/a.ko.zst", b"")


@pytest.mark.usefixtures("qemu_there")
def test_the_machine_is_the_one_that_was_seen_to_work(tmp_path: Path) -> None:
    boot = qemu.Boot(Path("/k"), Path("/i"), Path("/cache,2/disk"))
    command = qemu.command_line(qemu.MachineSettings(cpus=3, append="quux"), "tcg", boot, tmp_path)
    text = " ".join(command)
    assert "-machine q35" in text and "-cpu Nehalem-v2" in text and "tcg,thread=multi" in text
    assert "-smp 3" in text and "-m 2048" in text and "-nic none" in text
    assert "file=/cache,,2/disk,if=virtio,format=raw,snapshot=on" in text, "the image is never written to"
    assert command[command.index("-append") + 1].endswith(" quux")
    for port in qemu.PORTS:
        assert f"name={port}" in text


@pytest.mark.usefixtures("qemu_there")
def test_counted_instructions_run_on_one_thread(tmp_path: Path) -> None:
    settings = qemu.MachineSettings(icount=True)
    text = " ".join(qemu.command_line(settings, "tcg", qemu.Boot(Path("/k"), Path("/i")), tmp_path))
    assert "thread=single -icount shift=2,sleep=off" in text
    assert "-drive" not in text


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs util-linux's setpriv: apt install util-linux")
def test_the_emulator_dies_with_whoever_started_it() -> None:
    """Even when that one is killed by SIGKILL."""
    command = qemu.tied_to_this_process(["sleep", "60"])
    script = f"import subprocess, sys; print(subprocess.Popen({command!r}).pid, flush=True); sys.stdin.read()"
    with subprocess.Popen(["python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        descriptor = os.pidfd_open(child)
        while Path(f"/proc/{child}/comm").read_text() != "sleep\n":
            pass  # the tie is made just before
        parent.kill()
        parent.wait()
    assert select.select([descriptor], [], [], 10)[0], "the child outlived its parent"
    os.close(descriptor)


def test_only_the_guests_cpus_count_as_its_cpus() -> None:
    assert [
        name
        for name in ("CPU 0/TCG", "ALL CPUs/TCG", "CPU 1/KVM", "qemu-system-x86", "IO mon")
        if qemu.is_vcpu_thread(name)
    ] == ["CPU 0/TCG", "ALL CPUs/TCG", "CPU 1/KVM"]


def test_thread_times_are_read_after_the_name_whatever_it_contains() -> None:
    rest = "S 1 1 1 0 -1 4194304 0 0 0 0 250 50 0 0 20 0 5 0 100 0 0"
    assert qemu.thread_ticks(f"17 (CPU 0/TCG) {rest}") == 300
    assert qemu.thread_ticks(f"17 (odd ) name) {rest}") == 300
    assert qemu.vcpu_seconds(os.getpid()) == 0.0
    assert qemu.vcpu_seconds(2**22 + 1) == 0.0, "a process that is gone"


def test_the_consoles_last_lines_are_fit_to_show(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(
        b"\x1b[2J\x1b[0mSeaBIOS\r\n\r\n[ 1.0] one\r\n\x07[ 2.0] Kernel panic - not syncing: VFS\r\n\xff\xfe\r\n"
    )
    assert console.tail(log, 3)[:2] == ["[ 1.0] one", "[ 2.0] Kernel panic - not syncing: VFS"]
    assert console.panic_line(log) == "Kernel panic - not syncing: VFS"
    assert console.tail(tmp_path / "none") == []
    assert console.panic_line(tmp_path / "none") == ""


def test_the_last_lines_of_a_panic_are_not_registers(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text("""\
[   41.974436] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI
[   41.975397] RIP: 0010:bpf_trace_run1+0x71/0x110
[   41.975543] Code: 0f 85 a5 00 00 00 65 48 8b 2d 9b a0 dd 46 48 8b 47 48
[   41.975638] RAX: 0000000000000001 RBX: ffffd001c01e1000 RCX: ffff89ef81991174
[   41.975726] FS:  0000000000000000(0000) GS:ffff89effd800000(0000) knlGS:0000000000000000
[   41.975891] Call Trace:
[   41.976452]  <IRQ>
[   41.976588]  handle_softirqs+0x244/0x280
[   41.977008]  ? kick_pool+0x5c/0x140
[   41.977992] Kernel panic - not syncing: Fatal exception in interrupt
""")
    words = [line.split("] ", 1)[1].split(":")[0] for line in console.telling_tail(log)]
    assert words == ["Oops", "RIP", "Call Trace", "Kernel panic - not syncing"]
    assert len(console.tail(log, 400)) == 10


def test_a_huge_console_log_is_not_read_as_a_whole(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"old\n" * 100_000 + b"last\n")
    assert console.tail(log, 1) == ["last"]


def test_the_payload_carries_the_guests_scripts_and_more(tmp_path: Path) -> None:
    extra = tmp_path / "agent.pyz"
    extra.write_bytes(b"zip")
    write_payload(tmp_path / "payload.tar", ((extra, "agent.pyz"),))
    with tarfile.open(tmp_path / "payload.tar") as archive:
        assert {"agent.pyz", "topology.sh", "send.sh", "listen.sh"} <= set(archive.getnames())
    assert (tmp_path / "payload.tar").stat().st_size % 512 == 0, "a drive has whole sectors"
    with pytest.raises(MachineError, match="cannot take"):
        write_payload(tmp_path / "payload.tar", ((tmp_path / "missing", "x"),))


@pytest.mark.parametrize("script", sorted(path.name for path in guest_dir().glob("*.sh")))
def test_the_guests_scripts_are_shell(script: str) -> None:
    subprocess.run(["sh", "-n", str(guest_dir() / script)], check=True)
