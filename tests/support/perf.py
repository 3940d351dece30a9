"""PERF frames as the agent sends them, of a small invented run."""

from __future__ import annotations

import json
from typing import Any

from wgprof.agent.frames import Kind, encode

WINDOW_S = 2.0
HZ = 500
STAT = "".join(
    json.dumps({"cpu": str(cpu), "counter-value": value, "unit": unit, "event": event,
                "event-runtime": 2_000_000_000, "pcnt-running": 100.0}) + "\n"
    for cpu in (0, 1)
    for event, value, unit in (
        ("cycles", "2000000.000000", ""),
        ("instructions", "3000000.000000", ""),
        ("cache-misses", "<not supported>", ""),
        ("task-clock", "2000.5", "msec"),
    )
)  # fmt: skip
TX = ("process_one_work", "wg_packet_tx_worker", "udp_tunnel_xmit_skb")
RX = ("handle_softirqs", "net_rx_action", "wg_packet_rx_poll", "napi_gro_receive")
KWORK = """
  Kwork Name                     | Cpu  | Avg delay     | Count     | Max delay     |
 --------------------------------------------------------------------------------
  (w)wg_packet_tx_worker         | 0000 |      0.050 ms |        10 |      0.100 ms |
  (w)wg_packet_tx_worker         | 0001 |      0.080 ms |        20 |      0.200 ms |
  (w)vmstat_update               | 0000 |      0.020 ms |         1 |      0.020 ms |
  (s)NET_RX:3                    | 0001 |      0.010 ms |        99 |      0.018 ms |
"""


def script(*samples: tuple[str, int, tuple[str, ...]]) -> str:
    """perf script's output for (thread, CPU, functions from the outermost on)."""
    text = ""
    for thread, cpu, stack in samples:
        lines = [f"\tffffffff {name} ([{'wireguard' if name.startswith('wg_') else 'kernel'}])" for name in stack[::-1]]
        text += f"{thread} 1234 [{cpu:03d}] \n" + "\n".join(lines) + "\n\n"
    return text


SCRIPT = script(
    *[("kworker/0:1", 0, TX)] * 30,
    *[("kworker/1:1", 1, TX)] * 10,
    *[("ksoftirqd/1", 1, RX)] * 20,
    *[("nginx", 0, ("do_syscall_64",))] * 100,
)


def perf_frame(head: dict[str, Any], rest: str | bytes = b"", sequence: int = 0) -> bytes:
    text = json.dumps(head).encode()
    rest = rest.encode() if isinstance(rest, str) else rest
    return encode(Kind.PERF, sequence, len(text).to_bytes(4, "little") + text + rest, compress=True)


def outcome(part: str, exit_code: int = 0, stderr: str = "") -> dict[str, Any]:
    return {"part": part, "exit_code": exit_code, "stderr": stderr, "stopped": False, "truncated": False}


def perf_frames(t_ns: int, first_sequence: int = 0, outcomes: list[dict[str, Any]] | None = None) -> list[bytes]:
    """The frames of a window; the script arrives in pieces that end anywhere."""
    good = [outcome(part) for part in ("stat", "stacks", "kwork")]
    begin = {"part": "begin", "seconds": WINDOW_S, "version": "perf version 6.1.2", "event": "cpu-clock",
             "hz": HZ, "t_ns": t_ns}  # fmt: skip
    pieces: list[tuple[dict[str, Any], str]] = [
        (begin, ""),
        ({"part": "stacks"}, SCRIPT[:1000]),
        ({"part": "stat"}, STAT),
        ({"part": "stacks"}, SCRIPT[1000:]),
        ({"part": "kwork"}, KWORK),
        ({"part": "end", "dt_ns": int(WINDOW_S * 1e9), "outcomes": good if outcomes is None else outcomes}, ""),
    ]
    return [perf_frame(head, rest, first_sequence + number) for number, (head, rest) in enumerate(pieces)]
