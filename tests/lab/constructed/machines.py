"""A larger machine out of a measured one: more tunnels, more CPUs, CPUs with time left."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd

from tests.lab.constructed.draft import Draft
from wgprof.analysis.tables import ints

#: Counted by interval of time, with a CPU, an object or both.
COUNTED = ("stages", "executions", "arrivals", "depths", "polls", "heads", "moves", "preemptions", "wakeups",
            "contention", "cpus", "softnet")  # fmt: skip
#: Far too large to be there many times; those of the first copy stay.
_OF_ONE = ("histograms", "journeys", "ipis")


def side_by_side(draft: Draft, copies: int) -> Draft:
    """The measured machine so many times, as one with so many times its CPUs, devices and peers.

    Journeys and histograms are the first one's alone, unless there is one only.
    """
    cpus, objects = len(draft.cpus), int(draft.tables["objects"]["object"].max())
    tables: dict[str, pd.DataFrame] = {}
    for name in COUNTED:
        parts = []
        for number in range(copies):
            part = draft.table(name)
            if "cpu" in part:
                part["cpu"] += cpus * number
            if "object" in part:
                part.loc[part["object"] > 0, "object"] += objects * number
            parts.append(part)
        tables[name] = pd.concat(parts, ignore_index=True)
    tables["objects"] = pd.concat([_objects(draft, n, cpus, copies) for n in range(copies)], ignore_index=True)
    interfaces = draft.tables["interfaces"]
    each = [interfaces.assign(name=[named(name, n) for name in interfaces["name"]]) for n in range(copies)]
    tables["interfaces"] = pd.concat(each, ignore_index=True)
    return _described(draft.having(tables), copies, cpus * copies)


def _objects(draft: Draft, number: int, cpus: int, copies: int) -> pd.DataFrame:
    objects = draft.table("objects")
    step = int(objects["object"].max()) * number
    objects[["object", "device"]] += step
    objects["name"] = [named(name, number) for name in objects["name"]]
    peers = (objects["kind"] == "peer").to_numpy()
    if number:
        objects["public_key"] = [f"{n}{key[len(str(n)):]}" if key else "" for n, key in
                                 zip([number] * len(objects), objects["public_key"], strict=True)]  # fmt: skip
    # serial_work_cpu is the number modulo the CPUs; on each the copy's work stays on the copy's CPU.
    home = objects["internal_id"] % cpus + cpus * number
    objects.loc[peers, "internal_id"] = np.where(home == 0, cpus * copies, home)[peers]
    return objects


def named(name: str, number: int) -> str:
    """An interface of the copy: wg0 and veth0 become wg3 and veth3."""
    return f"{name[:-1]}{number}" if number and name.endswith("0") else name


def _described(draft: Draft, copies: int, cpus: int) -> Draft:
    """The manifest of so many copies, on so many CPUs."""
    manifest = copy.deepcopy(draft.manifest)
    for key in ("interfaces", "outer"):
        manifest[key] = [
            {**item, "name": named(item["name"], n), **_carries(item, n)}
            for n in range(copies) for item in manifest[key]
        ]  # fmt: skip
    results = manifest["results"]
    for name in ("host_cores", "host_cpu_s", "goodput_bps", "received_bytes"):
        results[name] = results[name] * copies
    results["tunnels"] = results["tunnels"] * copies
    return on_cpus(draft.having(**manifest), cpus)


def _carries(item: dict[str, Any], number: int) -> dict[str, Any]:
    if "carries" not in item:
        return {}
    parts = [name.partition("@") for name in item["carries"]]
    return {"carries": [f"{named(wg, number)}{at}{where}" for wg, at, where in parts]}


def on_cpus(draft: Draft, cpus: int) -> Draft:
    """The manifest says so many CPUs, on one node."""
    machine = {**draft.manifest["machine"], "cpus_online": [*range(cpus)], "numa_nodes": {"0": [*range(cpus)]}}
    return draft.having(machine=machine, results={**draft.manifest["results"], "vcpus": cpus})


def idle_cpus(draft: Draft, number: int) -> Draft:
    """So many CPUs more, which do nothing."""
    first, old = len(draft.cpus), draft.table("cpus")
    quiet = _idle(old[old["cpu"] == draft.cpus[0]].copy())
    more = [quiet.assign(cpu=first + n) for n in range(number)]
    return on_cpus(draft.having({"cpus": pd.concat([old, *more], ignore_index=True)}), first + number)


def _idle(cpus: pd.DataFrame) -> pd.DataFrame:
    """The account of CPUs that did nothing."""
    cpus[[name for name in cpus.columns if name not in ("t_ns", "dt_ns", "cpu")]] = 0
    cpus["idle_ns"] = cpus["dt_ns"]
    return cpus


def in_turns(draft: Draft, ways: int = 2) -> Draft:
    """The same work on so many times the CPUs, which take turns: each works in every so manieth interval alone.

    Nothing is changed but the numbers of the CPUs, so everything still balances, and each has time left.  What is
    always on one CPU, a peer's transmit work, changes it here too, so the peers' internal ids are unknown.
    """
    cpus, starts = len(draft.cpus), np.sort(ints(draft.tables["intervals"], "t_ns"))
    tables = {name: draft.table(name) for name in (*COUNTED, *_OF_ONE)}
    for name, frame in tables.items():
        if "cpu" in frame and len(frame):
            when = ints(frame, "end_ns" if name == "journeys" else "t_ns")
            turn = np.maximum(np.searchsorted(starts, when, side="right") - 1, 0) % ways
            frame["cpu"] = frame["cpu"] + cpus * turn
    rest = idle_cpus(draft, cpus * (ways - 1))
    everywhere = pd.MultiIndex.from_frame(rest.tables["cpus"][["t_ns", "cpu"]])
    quiet = _idle(rest.table("cpus"))
    worked = tables["cpus"]
    others = quiet[~everywhere.isin(pd.MultiIndex.from_frame(worked[["t_ns", "cpu"]]))]
    tables["cpus"] = pd.concat([worked, others], ignore_index=True)
    objects = draft.table("objects")
    objects.loc[objects["kind"] == "peer", "internal_id"] = -1
    return rest.having({**tables, "objects": objects})
