"""The probes' and the reader's idea of a bucket are one: the C function, compiled here, against its twin."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from wgprof.agent.layout import BUCKETS, bucket_of
from wgprof.resources import resource_dir

#: Small values, both sides of every power of two, and three in between.
VALUES = sorted(
    {*range(200)}
    | {(1 << power) + step for power in range(64) for step in (-1, 0, 1)}
    | {((1 << power) * share) >> 3 for power in range(3, 64) for share in (9, 11, 15)}
)
PROGRAM = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#define INLINE static inline
typedef uint64_t u64;
typedef uint32_t u32;
{constants}
{function}
int main(int count, char **words)
{{
	for (int i = 1; i < count; i++)
		printf("%llu\\n", (unsigned long long)bucket_of(strtoull(words[i], NULL, 10)));
}}
"""


def test_the_probes_buckets_are_the_readers(tmp_path: Path) -> None:
    probes = resource_dir("probes")
    constants = re.findall(r"^#define (?:SUB_)?BUCKETS?\w* .*", (probes / "layout.h").read_text(), re.MULTILINE)
    match = re.search(r"#define HALVE.*?\n}\n", (probes / "state.h").read_text(), re.DOTALL)
    assert match
    source = tmp_path / "buckets.c"
    source.write_text(PROGRAM.format(constants="\n".join(constants), function=match.group()))
    subprocess.run(["cc", "-o", tmp_path / "buckets", source], check=True)
    done = subprocess.run([tmp_path / "buckets", *map(str, VALUES)], check=True, capture_output=True, text=True)
    assert [int(line) for line in done.stdout.split()] == [bucket_of(value) for value in VALUES]
    assert bucket_of(VALUES[-1]) == BUCKETS - 1
