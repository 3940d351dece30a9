"""Which interrupts a network interface has, where they may run and where they did."""

from __future__ import annotations

import os
import re
from typing import Any, Dict, List, Set

from wgprof.agent.kernel import parse_cpu_list, read_text

_MOST = 1024


def parse_interrupts(text: str) -> Dict[int, Dict[str, Any]]:
    """/proc/interrupts: number -> its name and its counts by CPU, {"name": .., "counts": {cpu: count}}."""
    lines = text.splitlines()
    cpus = [int(word[3:]) for word in lines[0].split() if word.startswith("CPU")] if lines else []
    found = {}
    for line in lines[1:]:
        number, _, rest = line.partition(":")
        words = rest.split()
        if not number.strip().isdigit() or len(words) < len(cpus):
            continue
        counts = {str(cpu): int(word) for cpu, word in zip(cpus, words) if word.isdigit() and word != "0"}
        found[int(number)] = {"name": " ".join(words[len(cpus) :]), "counts": counts}
    return found


def interface_interrupts(name: str) -> List[Dict[str, Any]]:
    """The interrupts of an interface since boot, by number: those of its device, else those that bear its name."""
    table = parse_interrupts(read_text("/proc/interrupts"))
    numbers = _device_numbers(f"/sys/class/net/{name}/device") & set(table) or named(table, name)
    return [
        {
            "irq": number,
            "name": table[number]["name"],
            "affinity": _cpus(number, "smp_affinity_list"),
            "effective": _cpus(number, "effective_affinity_list"),
            "counts": table[number]["counts"],
        }
        for number in sorted(numbers)[:_MOST]
    ]


def named(table: Dict[int, Dict[str, Any]], interface: str) -> Set[int]:
    """The interrupts whose name has the interface's in it, as a word of its own."""
    word = re.compile(rf"(?<![\w.]){re.escape(interface)}(?![\w.])")
    return {number for number, row in table.items() if word.search(row["name"])}


def _device_numbers(device: str) -> Set[int]:
    """Of a PCI device, or of the one that a virtio device is on."""
    on_virtio = os.path.basename(os.path.realpath(device + "/subsystem")) == "virtio"
    messages = device + ("/../msi_irqs" if on_virtio else "/msi_irqs")
    if os.path.isdir(messages):
        return {int(number) for number in os.listdir(messages) if number.isdigit()}
    irq = read_text(device + "/irq").strip()
    return {int(irq)} if irq.isdigit() and irq != "0" else set()


def _cpus(number: int, file: str) -> List[int]:
    """Empty if the kernel does not say."""
    text = read_text(f"/proc/irq/{number}/{file}").strip()
    return parse_cpu_list(text) if re.fullmatch(r"[\d,-]+", text) else []
