"""Talking with the guest: any command arrives as it was, replies in any order, streams end where they end."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wgprof.lab.channel import ChannelClosed, ControlChannel, encode_request
from wgprof.lab.stream import AgentStreams, EndMark

MARK = b"0123456789abcdef"


@pytest.fixture
def guest() -> Iterator[tuple[ControlChannel, socket.socket]]:
    host, other = socket.socketpair()
    channel = ControlChannel(host)
    yield channel, other
    other.close()
    channel.close()


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_a_command_survives_the_way_through_the_shell(command: str) -> None:
    line = encode_request(7, 1.5, command)
    assert line.count(b"\n") == 1
    program = 'IFS=" " read -r number limit script; echo "$number $limit"; printf %b "$script"'
    out = subprocess.run(["sh", "-c", program], input=line, capture_output=True, check=True).stdout
    assert out == b"7 1.5\n" + command.strip().encode()


def test_replies_may_come_in_any_order(guest: tuple[ControlChannel, socket.socket]) -> None:
    channel, other = guest
    other.sendall(b"ready 5.1 6.12\n")
    assert channel.wait_ready(5)
    first, second = channel.start("a"), channel.start("b")
    other.sendall(b"2 3 2 0\nhi")
    assert second.wait(5).exit_code == 3
    assert second.wait(5).stdout == "hi"
    assert not first.done
    other.sendall(b"1 0 1 4\nxoops")
    assert (first.wait(5).stdout, first.wait(5).stderr) == ("x", "oops")


def test_an_answer_that_never_comes_is_a_timeout(guest: tuple[ControlChannel, socket.socket]) -> None:
    channel, other = guest
    other.sendall(b"ready 1 6.12\n")
    with pytest.raises(TimeoutError):
        channel.start("a").wait(0.05)


@pytest.mark.parametrize("goodbye", [b"", b"1 0 10 0\nhalf", b"nonsense\n", b"1 0 99999999999 0\n", b"1 0 -1 0\n"])
def test_a_guest_that_goes_away_ends_every_wait(guest: tuple[ControlChannel, socket.socket], goodbye: bytes) -> None:
    channel, other = guest
    other.sendall(b"ready 1 6.12\n")
    job = channel.start("a")
    other.sendall(goodbye)
    other.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ChannelClosed):
        job.wait(5)
    with pytest.raises(ChannelClosed):
        channel.start("b")


def test_a_guest_that_dies_while_booting_is_not_ready(guest: tuple[ControlChannel, socket.socket]) -> None:
    channel, other = guest
    other.close()
    assert not channel.wait_ready(5)


@given(st.binary(max_size=60), st.binary(max_size=10), st.lists(st.integers(1, 9), max_size=80))
def test_the_mark_ends_a_stream_however_it_is_cut(body: bytes, after: bytes, cuts: list[int]) -> None:
    if MARK in body:
        return
    data, finder, seen = body + MARK + after, EndMark(MARK), b""
    for size in [*cuts, len(data)]:
        if data and not finder.found:
            seen += finder.feed(data[:size])
            data = data[size:]
    assert finder.found
    assert seen == body


@given(st.lists(st.sampled_from([MARK[:1], MARK[:5], MARK[:15], b"x"]), max_size=8))
def test_without_a_mark_nothing_is_lost(parts: list[bytes]) -> None:
    finder = EndMark(MARK)
    seen = b"".join(finder.feed(part) for part in parts) + finder.rest()
    assert seen == b"".join(parts)


class Streams:
    """An agent's streams whose guest is this test."""

    def __init__(self) -> None:
        to_guest, self.stdin = socket.socketpair()
        from_guest, self.stdout = socket.socketpair()
        control, self.control = socket.socketpair()
        self.channel = ControlChannel(control)
        self.control.sendall(b"ready 1 6.12\n")
        self.stdout.sendall(MARK)
        self.streams = AgentStreams(to_guest, from_guest, MARK, self.channel.start("agent"), 5)
        assert self.stdin.recv(100) == MARK + b"\n"

    def close(self) -> None:
        for end in (self.stdin, self.stdout, self.control):
            end.close()
        self.streams.close()
        self.channel.close()


@pytest.fixture
def agent() -> Iterator[Streams]:
    streams = Streams()
    yield streams
    streams.close()


def test_closing_the_input_leaves_the_output_open(agent: Streams) -> None:
    agent.streams.stdin.write(b"stop\n")
    assert agent.stdin.recv(100) == b"stop\n"
    agent.streams.stdin.close()
    assert agent.stdin.recv(100) == b""
    agent.stdout.sendall(b"the end" + MARK)
    assert agent.streams.stdout.read() == b"the end"


def test_an_agent_that_could_not_write_its_mark_still_ends(agent: Streams) -> None:
    agent.stdout.sendall(b"cut off" + MARK[:4])
    agent.control.sendall(b"1 137 0 0\n")
    assert agent.streams.stdout.read() == b"cut off" + MARK[:4]


def test_a_machine_that_dies_ends_the_output(agent: Streams) -> None:
    agent.stdout.close()
    assert agent.streams.stdout.read() == b""


def test_an_agent_whose_reader_left_is_read_until_its_end(agent: Streams) -> None:
    """Otherwise it would hang in its last write."""
    agent.streams.close()
    agent.stdout.settimeout(10)
    agent.stdout.sendall(b"x" * 3_000_000 + MARK)
    assert agent.stdout.recv(1) == b"", "then the connection is closed"


def test_closing_twice_does_no_harm(agent: Streams) -> None:
    agent.streams.close()


def test_a_guest_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    to_guest, stdin = socket.socketpair()
    from_guest, stdout = socket.socketpair()
    control, other = socket.socketpair()
    channel = ControlChannel(control)
    with pytest.raises(TimeoutError):
        AgentStreams(to_guest, from_guest, MARK, channel.start("agent"), 0.05)
    for end in (to_guest, stdin, from_guest, stdout, other):
        end.close()
    channel.close()
