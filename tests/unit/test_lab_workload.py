"""Workloads: what counts is what arrived."""

from __future__ import annotations

import json
import shlex

import pytest

from wgprof.errors import UsageError
from wgprof.lab.workload import (
    WORKLOADS,
    TunnelResult,
    check_tunnels,
    summary,
    traffic_seconds,
    tunnel_result,
    workload_named,
)
from wgprof.targets.base import RecordRequest
from wgprof.targets.lab import agent_command


def report(**end: object) -> str:
    return json.dumps({"start": {}, "end": end})


def test_tcp_goodput_is_the_receivers() -> None:
    receiver = report(sum_received={"bytes": 1000, "seconds": 2.0}, sum_sent={"bytes": 0})
    sender = report(sum_sent={"bytes": 1200, "seconds": 2.0, "retransmits": 3}, sum_received={"bytes": 1000})
    result = tunnel_result("wg0", receiver, sender)
    assert result == TunnelResult("wg0", 1000, 2.0, retransmits=3)
    assert result.goodput_bps == 4000


def test_both_directions_are_counted_where_they_arrive() -> None:
    receiver = report(
        sum_received={"bytes": 1000, "seconds": 2.0},
        sum_sent_bidir_reverse={"bytes": 9999, "retransmits": 1},
        sum_received_bidir_reverse={"bytes": 0},
    )
    sender = report(sum_sent={"bytes": 1200, "retransmits": 2}, sum_received_bidir_reverse={"bytes": 500})
    result = tunnel_result("wg1", receiver, sender)
    assert (result.received_bytes, result.retransmits) == (1500, 3)


def test_lost_datagrams_are_told() -> None:
    receiver = report(sum={"bytes": 640, "seconds": 1.0, "lost_packets": 7, "packets": 17})
    assert tunnel_result("wg0", receiver, report(sum={})).lost_packets == 7, "iperf3 3.12 knows `sum` only"


@pytest.mark.parametrize("text", ["", "iperf3: error - unable to bind\n", "{", "[]", "null", "{}"])
def test_a_missing_report_is_an_error_not_a_zero_without_reason(text: str) -> None:
    result = tunnel_result("wg0", text, text)
    assert result.received_bytes == 0
    assert result.error
    assert result.goodput_bps == 0


def test_an_error_iperf3_reports_is_kept() -> None:
    text = json.dumps({"end": {}, "error": "the client has terminated"})
    assert tunnel_result("wg0", text, text).error == "the client has terminated"


def test_the_summary_adds_the_tunnels_up() -> None:
    results = [TunnelResult("wg0", 1000, 1.0, 1), TunnelResult("wg1", 2000, 2.0, 2)]
    values = summary(results)
    assert (values["goodput_bps"], values["received_bytes"], values["retransmits"]) == (16000, 3000, 3)
    assert json.loads(json.dumps(values)) == values, "fit for a manifest"
    assert summary([])["goodput_bps"] == 0


def test_traffic_ends_before_the_recording() -> None:
    assert traffic_seconds(30) == 28
    assert traffic_seconds(10) == 8
    assert traffic_seconds(1) == 0.5


def test_unknown_workloads_and_absurd_tunnels_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="no workload 'torrent'"):
        workload_named("torrent")
    for tunnels in (0, -1, 65):
        with pytest.raises(UsageError):
            check_tunnels(tunnels)
    assert all(workload_named(name).meaning for name in WORKLOADS)


def test_the_request_reaches_the_agent_as_it_is() -> None:
    words = shlex.split(agent_command(RecordRequest(duration_s=2.5, interfaces=("wg'0; rm", "b"))))
    assert words[:5] == ["exec", "python3", "/payload/agent.pyz", "record", "--request"]
    assert json.loads(words[5])["interfaces"] == ["wg'0; rm", "b"]
