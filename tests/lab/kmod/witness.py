#!/usr/bin/env python3
"""Compares what came over the link with what was delivered.  Runs in the lab's machine with nothing but Python.

    witness.py FOLDER END COUNT FLOWS DROPPED MISSED

FOLDER/END.pcap is what arrived at that end, in order (tcpdump, behind netem): the receiver index and the nonce of
every data packet are in clear there.  FOLDER/END.order is what the receiver got, in order (flows.py).  A packet's
length tells its number modulo flows.CODES, so the two orders can be compared packet by packet although the
capture is encrypted.  DROPPED is netem's count of the other end's direction, MISSED tcpdump's own losses.

Prints one JSON object; `wrong_order` is the place of the first packet delivered in another order than it
arrived, or -1.
"""

from __future__ import annotations

import json
import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from flows import RECORD, code, code_of_wire_length  # type: ignore[import-not-found] # beside it in the guest

DATA = 4  # messages.h, MESSAGE_DATA
HANDSHAKES = (1, 2)
KEEPALIVE = 32  # a data message without content
PCAP_HEAD, PACKET_HEAD = 24, struct.Struct("<IIII")
ETHERNET, IPV4, UDP = 14, 20, 8
MESSAGE = struct.Struct("<IIQ")  # type, receiver, counter


def messages(path: Path) -> Iterator[tuple[int, int, int, int]]:
    """Type, receiver index, nonce and length of every WireGuard message in a capture."""
    data = path.read_bytes()
    place = PCAP_HEAD
    while place < len(data):
        _, _, captured, length = PACKET_HEAD.unpack_from(data, place)
        place += PACKET_HEAD.size
        kind, receiver, counter = MESSAGE.unpack_from(data, place + ETHERNET + IPV4 + UDP)
        yield kind & 0xFF, receiver, counter, length - ETHERNET - IPV4 - UDP
        place += captured


def compare(folder: Path, end: str, count: int, flows: int, dropped: int, missed: int) -> dict[str, int | str]:
    arrived: list[int] = []  # the code of each new nonce, in order
    nonces: dict[int, set[int]] = defaultdict(set)
    doubled = handshakes = keepalives = 0
    for kind, receiver, counter, length in messages(folder / f"{end}.pcap"):
        handshakes += kind in HANDSHAKES
        if kind != DATA:
            continue
        if counter in nonces[receiver]:
            doubled += 1
            continue
        nonces[receiver].add(counter)
        if length == KEEPALIVE:
            keepalives += 1
        else:
            arrived.append(code_of_wire_length(length))
    delivered = list(RECORD.iter_unpack((folder / f"{end}.order").read_bytes()))
    codes = [code(flow, number, flows) for flow, number in delivered]
    wrong = next((at for at, pair in enumerate(zip(arrived, codes, strict=False)) if pair[0] != pair[1]), -1)
    # Every key's nonces begin at 0, but the first key was in use before the capture began.
    begin = [min(seen) if at == 0 else 0 for at, seen in enumerate(nonces.values())]
    lost = sum(max(seen) + 1 - first - len(seen) for first, seen in zip(begin, nonces.values(), strict=True))
    return {
        "end": end,
        "sent": count * flows,
        "arrived": len(arrived),
        "delivered": len(delivered),
        "delivered_twice": len(delivered) - len(set(delivered)),
        "wrong_order": wrong,
        "keys": len(nonces),
        "doubled_by_link": doubled,
        "lost_on_link": lost,
        "dropped_by_netem": dropped,
        "handshake_messages": handshakes,
        "keepalives": keepalives,
        "missed_by_capture": missed,
    }


if __name__ == "__main__":
    print(json.dumps(compare(Path(sys.argv[1]), sys.argv[2], *(int(word) for word in sys.argv[3:7]))))
