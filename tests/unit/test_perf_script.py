"""Sampled stacks: real output, output cut into any pieces, and output of threads with odd names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.captures.facts import KERNELS, captured_perf
from wgprof.perf.script import MAX_DEPTH, MAX_NAME, Function, Sample, ScriptParser, module_of
from wgprof.perf.stacks import ELSEWHERE, MORE, StackCount, StackCounts


def parse(text: str | bytes, piece: int = 1 << 20) -> tuple[list[Sample], int]:
    """Samples and skipped lines of an output that arrives in pieces."""
    data = text.encode() if isinstance(text, str) else text
    parser = ScriptParser()
    samples = [sample for at in range(0, len(data), piece) for sample in parser.feed(data[at : at + piece])]
    return samples + list(parser.close()), parser.skipped


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_real_run_shows_wireguards_paths(kernel: str) -> None:
    samples, skipped = parse(captured_perf(kernel)["stacks"]["stdout"])
    assert skipped == 0
    assert len(samples) >= 10
    assert {sample.cpu for sample in samples} <= {0, 1}
    names = {function.name for sample in samples for function in sample.stack}
    assert names & {"wg_packet_encrypt_worker", "wg_packet_decrypt_worker"}, names
    counts = StackCounts()
    for sample in samples:
        counts.add(sample)
    rows = list(counts.rows())
    assert sum(row.samples for row in rows) == counts.samples == len(samples)
    ours = [row for row in rows if row.folded != ELSEWHERE]
    paths = [row for row in ours if "wg_" in row.folded or "crypt" in row.folded]
    assert len(paths) >= 5
    # What is left is a worker of WireGuard's between two work items.
    assert all(row.thread == "kworker" and "worker_thread" in row.folded for row in ours if row not in paths)
    assert counts.unresolved < len(samples) / 10


NAMES = st.text(
    st.characters(codec="ascii", exclude_categories=("C", "Z"), exclude_characters="()[]"), min_size=1, max_size=15
)
FUNCTIONS = st.builds(
    Function, NAMES.map(lambda name: f"f_{name}"), st.sampled_from(["wireguard", "kernel.kallsyms", ""])
)
THREADS = st.tuples(NAMES, NAMES).map(" ".join) | NAMES
TIMES = st.none() | st.integers(0, 2**64 // 1000).map(lambda us: us * 1000)
SAMPLES = st.builds(
    Sample, THREADS, st.integers(0, 8191), st.lists(FUNCTIONS, min_size=1, max_size=6).map(tuple), TIMES
)


def printed(samples: list[Sample], alone: bool) -> str:
    """As perf prints it; a single function may follow on the line of its thread."""
    out = []
    for number, sample in enumerate(samples):
        lines = [
            f"{0xFFFFFFFF81000000 + n:16x} {f.name}" + (f" ([{f.module}])" if f.module else "")
            for n, f in enumerate(reversed(sample.stack))
        ]
        head = f"{sample.thread} {number + 1:5d} [{sample.cpu:03d}] "
        if sample.t_ns is not None:
            seconds, ns = divmod(sample.t_ns, 10**9)
            head += f"{seconds:5d}.{ns // 1000:06d}: "
        joint = " " if alone and len(lines) == 1 else "\n\t"
        out.append(head + joint + "\n\t".join(lines) + "\n\n")
    return "".join(out)


@given(st.lists(SAMPLES, max_size=5), st.integers(1, 60), st.booleans())
def test_what_was_printed_is_read_back_whatever_the_pieces(samples: list[Sample], piece: int, alone: bool) -> None:
    found, skipped = parse(printed(samples, alone), piece)
    assert found == samples
    assert skipped == 0


@given(st.binary(max_size=2000), st.integers(1, 500))
def test_any_bytes_are_read_or_skipped(data: bytes, piece: int) -> None:
    samples, skipped = parse(data, piece)
    assert len(samples) + skipped <= data.count(b"\n") + 1


def test_a_line_without_end_takes_no_memory_and_costs_one_line() -> None:
    parser = ScriptParser()
    for _ in range(100):
        assert list(parser.feed(b"x" * 10_000)) == []
        assert len(parser._rest) <= 10_000
    assert list(parser.feed(b"\nthread 7 [001] \n\tff f ([wireguard])\n\n")) == [
        Sample("thread", 1, (Function("f", "wireguard"),))
    ]
    assert parser.skipped == 1


def test_deep_stacks_and_long_names_are_cut() -> None:
    text = "t 1 [000] \n" + f"\tff {'n' * 1000} (x)\n" * 1000
    ((sample,), _) = parse(text)
    assert len(sample.stack) == MAX_DEPTH
    assert len(sample.stack[0].name) == MAX_NAME


@pytest.mark.parametrize(
    ("dso", "module"),
    [
        ("[wireguard]", "wireguard"),
        ("/lib/modules/6.12.1/kernel/drivers/net/wireguard/wireguard.ko.xz", "wireguard"),
        ("/lib/modules/6.12.1/kernel/lib/crypto/libchacha20poly1305.ko", "libchacha20poly1305"),
        ("/x/curve25519-x86_64.ko.zst", "curve25519_x86_64"),
        ("[kernel.kallsyms]", "kernel.kallsyms"),
        ("", ""),
    ],
)
def test_modules(dso: str, module: str) -> None:
    assert module_of(dso) == module


def counted(samples: list[Sample], most: int = 100, interfaces: tuple[str, ...] = ()) -> list[StackCount]:
    counts = StackCounts(interfaces, most)
    for sample in samples:
        counts.add(sample)
    return list(counts.rows())


IN_WIREGUARD = (Function("process_one_work"), Function("wg_packet_tx_worker", "wireguard"), Function("udp_tunnel"))
IN_WORKER = (Function("worker_thread"), Function("schedule"))


def test_only_wireguards_paths_and_workers_keep_their_stacks() -> None:
    samples = [
        Sample("kworker/0:1", 0, IN_WIREGUARD),
        Sample("kworker/3:2", 0, IN_WIREGUARD),
        Sample("kworker/0:1-wg-crypt-wg0", 0, IN_WORKER),
        Sample("kworker/0:1+wg-", 0, IN_WORKER),
        Sample("kworker/0:1-events", 0, IN_WORKER),
        Sample("napi/wg0-8193", 1, IN_WORKER),
        Sample("napi/eth0-8193", 1, IN_WORKER),
        Sample("nginx", 1, (Function("do_syscall_64"), Function("my_wg_packet"))),
        Sample("iperf3", 1, (Function("do_syscall_64"), Function("wg_xmit", "kernel.kallsyms"))),
    ]
    assert counted(samples, interfaces=("wg0",)) == [
        StackCount(0, "kworker", "process_one_work;wg_packet_tx_worker;udp_tunnel", 2),
        StackCount(0, "kworker", "worker_thread;schedule", 2),
        StackCount(1, "", ELSEWHERE, 2),
        StackCount(0, "", ELSEWHERE, 1),
        StackCount(1, "napi/wg0-8193", "worker_thread;schedule", 1),
        StackCount(1, "iperf3", "do_syscall_64;wg_xmit", 1),
    ]


@given(st.lists(SAMPLES, max_size=30), st.integers(0, 4))
def test_no_sample_is_lost_when_the_stacks_are_too_many(samples: list[Sample], most: int) -> None:
    rows = counted(samples, most)
    assert sum(row.samples for row in rows) == len(samples)
    assert sum(row.folded not in (ELSEWHERE, MORE) for row in rows) <= most
    ours = sum(any(f.module == "wireguard" for f in sample.stack) for sample in samples)
    assert sum(row.samples for row in rows if row.folded != ELSEWHERE) == ours


def test_the_window_is_from_the_first_sample_to_the_last() -> None:
    counts = StackCounts()
    assert counts.length_ns == 0
    for t_ns in (5_000, 2_000, 9_000, None):
        counts.add(Sample("t", 0, IN_WIREGUARD, t_ns))
    assert counts.length_ns == 7_000


def test_a_name_cannot_look_like_two_functions() -> None:
    odd = (Function("wg_a;b\x1b[2J", "wireguard"),)
    assert [row.folded for row in counted([Sample("t", 0, odd)])] == ["wg_a:b?[2J"]
