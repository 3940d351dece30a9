"""What a tunnel's two ends cost where both are on the recorded machine: applications, sockets, acknowledgements."""

from __future__ import annotations

from wgprof.model.costs import Quantity
from wgprof.model.parting import LEAST
from wgprof.model.sums import Sums

#: What a product of GRO costs the ends, over what a packet costs them; nobody measured it.
_ALIKE = (1.0, 0.25, 4.0)


def costs_of_ends(
    sums: Sums, data: Sums, acks: Sums, supers_per_packet: float, packet_ns: float, poll_ns: float
) -> dict[str, Quantity]:
    """The costs of a loop, ns.

    `supers_per_packet` is how many GRO made of a packet of data, `packet_ns` and `poll_ns` what softirqs around packets
    and polls cost.  An acknowledgement is caused by what GRO made, so all it costs, at every stage, is a cost of that.
    """
    packets = max(data.packets("rx.deliver"), 1)
    supers = supers_per_packet * packets
    share, least, most = (ratio * supers / (packets + ratio * supers) for ratio in _ALIKE)
    outside = sums.outside_ns
    why = "CPU time outside of WireGuard's path, by packets and GRO's products alike; the recording does not part it"
    around = float(acks.service_ns("tx.stage") + acks.service_ns("rx.receive"))
    around += packet_ns * acks.packets("rx.receive") + poll_ns * acks.server("rx.napi", "executions")
    found = {
        "write": Quantity(
            (1 - share) * outside / packets, (1 - most) * outside / packets, (1 - least) * outside / packets, True, why
        ),
        "read": Quantity(
            (share * outside + around) / supers,
            (least * outside + around) / supers,
            (most * outside + around) / supers,
            True,
            f"{why}; the acknowledgements' wg_xmit and reception",
        ),
    }
    for name, stage, server in (
        ("ack_encrypt", "tx.encrypt", "encrypt.work"),
        ("ack_send", "tx.send", "tx.work"),
        ("ack_decrypt", "rx.decrypt", "decrypt.work"),
        ("ack_deliver", "rx.deliver", "rx.napi"),
    ):
        # A device's workers are recorded for all its peers together, whatever their packets are.
        of = acks if acks.server(server, "packets") else sums
        per_packet = of.server(server, "busy_ns") / max(of.packets(stage), 1)
        ns = (acks.service_ns(stage) + per_packet * acks.packets(stage)) / supers
        spread = 0.2 if acks.packets(stage) >= LEAST else 1.0
        found[name] = Quantity(
            ns, (1 - spread) * ns, (1 + spread) * ns, why=f"measured: {stage} and {server} of packets that acknowledge"
        )
    return found
