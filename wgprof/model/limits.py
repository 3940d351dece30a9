"""Constants of the kernel that the model's rules use, each with the file it comes from."""

from __future__ import annotations

#: MAX_QUEUED_PACKETS, drivers/net/wireguard/messages.h: a peer's queue and a device's ring, in hand-offs.
QUEUE_LIMIT = 1024
#: NAPI_POLL_WEIGHT, include/linux/netdevice.h.
POLL_BUDGET = 64
#: MAX_SOFTIRQ_TIME, kernel/softirq.c: after that long softirqs let the thread below go on.
SOFTIRQ_LIMIT_NS = 2e6
#: What a packet is longer on the wire: WireGuard 32, UDP 8, IPv4 20, Ethernet with preamble and gap 38 bytes.
WIRE_BYTES = 98
#: GSO_MAX_SIZE / GRO_MAX_SIZE, include/linux/netdevice.h, in bytes.
GSO_MAX_BYTES = 65536


def slice_ns(cpus: int) -> float:
    """How long a thread runs while others wait: sysctl_sched_base_slice, get_update_sysctl_factor() (sched/fair.c)."""
    return 0.75e6 * min(cpus, 8).bit_length()
