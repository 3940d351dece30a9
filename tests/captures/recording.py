"""Makes a small test recording of a real one: `python -m tests.captures.recording FILE.wgprof OUT.wgprof`.

Histograms are left out and journeys thinned: of the packets that were sampled only those that one in 64 takes stay,
and the intervals say so.  Counters, depths and the kernel's accounts are as they were recorded.

Those in tests/captures/recordings were recorded with

    wgprof record --target lab --duration 12 --workload idle            idle-6.12
    wgprof record --target lab --duration 12 --workload udp-paced       udp-paced-6.12
    wgprof record --target lab --duration 12 --kernel 7.2               tcp-7.2 (threaded NAPI is this kernel's default)
    wgprof record --target lab --duration 12 --module vanilla --lab-crypto 0.1      dial-6.12

    wgprof record --target lab --duration 12            multiples-6.12 (whole, by a version that sampled multiples of N)

and those in its folder scenarios, named after the scenario, by `python -m tests.lab.scenarios NAME`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from wgprof.analysis.journeys import Sampling
from wgprof.recording.reader import open_recording
from wgprof.recording.schema import TABLES
from wgprof.recording.writer import write_recording

KEPT = 64


def thinned(source: Path, out: Path) -> None:
    """Write a small copy."""
    with open_recording(source) as recording:
        tables = {table.name: recording.table(table.name) for table in TABLES if table.name != "histograms"}
        journeys, intervals, sampling = tables["journeys"], tables["intervals"], Sampling.of(recording)
        tables["journeys"] = journeys[sampling.takes(journeys["nonce"].to_numpy(dtype=np.uint64), KEPT)]
        intervals["sample_every"] = sampling.both(intervals["sample_every"].to_numpy(), KEPT).astype(np.int32)
        arrow = {
            table.name: pa.Table.from_pandas(tables[table.name], schema=table.arrow, preserve_index=False)
            for table in TABLES
            if table.name in tables
        }
        write_recording(out, recording.manifest, arrow)


if __name__ == "__main__":
    thinned(Path(sys.argv[1]), Path(sys.argv[2]))
