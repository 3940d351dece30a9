"""What the files of tracefs say."""

from __future__ import annotations

import os
from pathlib import Path

from wgprof.agent.kprobes import Kprobes, left_behind, missed_by_event
from wgprof.agent.recorder import UNKNOWN_MISSES, all_misses

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


def test_what_the_kernel_does_not_tell_is_not_zero(tmp_path: Path) -> None:
    """The profile cannot be read, or has no line of an event: unknown, whatever else is known."""
    kprobes = Kprobes(str(tmp_path))
    kprobes._events = {"encrypt_end": "wgprof/probe_tx_encrypt_end_812", "send_end": "wgprof/probe_tx_send_end_812"}
    assert kprobes.missed() == {}
    (tmp_path / "kprobe_profile").write_text(PROFILE)
    assert kprobes.missed() == {"encrypt_end": 3}


def test_the_misses_of_a_kprobe_are_known_if_those_before_its_program_are() -> None:
    assert all_misses("kretprobe", 2, 3) == 5
    assert all_misses("kprobe", 0, 0) == 0
    assert all_misses("kprobe", 0, None) == UNKNOWN_MISSES
    assert all_misses("kprobe", 2, None) == 2, "at least, and that is enough to fail"
    assert all_misses("fexit", 0, None) == 0
