"""What the files of tracefs say."""

from __future__ import annotations

import os

from wgprof.agent.kprobes import left_behind, missed_by_event

#: Above what /proc/sys/kernel/pid_max can be.
NOBODY = 2**22 + 1

PROFILE = """\
  probe_tx_encrypt_end_812                                 25763               3
  p_other_0                                                    1               0
a line of another kind
"""


def test_only_events_of_ours_whose_maker_is_gone_were_left_behind() -> None:
    events = f"""\
p:wgprof/probe_a_{NOBODY} wireguard:wg_xmit
r1024:wgprof/probe_b_{NOBODY} wireguard:encrypt_packet
r:wgprof/probe_c_{NOBODY} wireguard:decrypt_packet
p:wgprof/probe_d_{os.getpid()} wireguard:wg_xmit
p:kprobes/p_wg_xmit_bcc_{NOBODY} wg_xmit
p:kprobes/x wgprof/probe_e_{NOBODY}
"""
    assert left_behind(events) == [f"wgprof/probe_{letter}_{NOBODY}" for letter in "abc"]
    assert left_behind("") == []


def test_misses_are_those_of_each_event() -> None:
    assert missed_by_event(PROFILE) == {"probe_tx_encrypt_end_812": 3, "p_other_0": 0}
