"""`nws map` against `xargs -P`, and against GNU parallel where that is installed."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable

from nws._binary import binary_path
from row import Row

ROUNDS = 5
JOBS = 1000
ALLOWED = 2.0
OUTPUTS = 64
ALLOWED_LONG = 1.2
OUTPUT_BYTES = 1_000_000
CORES = len(os.sched_getaffinity(0))


def seconds(command: list[str], count: int, expected: bytes) -> float:
    """How long it takes for so many inputs, a line each."""
    inputs = "".join(f"{number}\n" for number in range(1, count + 1)).encode()
    began = time.monotonic()
    output = subprocess.run(command, input=inputs, stdout=subprocess.PIPE, check=True)
    took = time.monotonic() - began
    assert output.stdout == expected, "an output is not what it should be"
    return took


def in_turn(*runs: Callable[[], float]) -> list[float]:
    """Medians, of all in turn."""
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS):
        for times, run in zip(taken, runs, strict=True):
            times.append(run())
    return [statistics.median(times) for times in taken]


def measure() -> list[Row]:
    """Jobs that do nothing, and jobs with long outputs whose order is kept."""
    width = str(CORES)
    ours = [str(binary_path()), "map", "--jobs", width, "--"]
    xargs = ["xargs", f"-P{width}", "-n1"]
    parallel = [found, "--will-cite", "-k", f"-j{width}"] if (found := shutil.which("parallel")) else None
    ours_s, xargs_s = in_turn(
        lambda: seconds([*ours, "true"], JOBS, b""),
        lambda: seconds([*xargs, "true"], JOBS, b""),
    )
    what = f"{JOBS:,} jobs that do nothing, {width} at a time"
    rows = [
        Row(
            f"{what}, within {ALLOWED} of xargs",
            ALLOWED * xargs_s / ours_s,
            1.0,
            f"{ours_s:.2f} s, {xargs_s:.2f} s",
        )
    ]
    script = f"head -c {OUTPUT_BYTES - 1} /dev/zero | tr '\\0' x; echo"
    outputs = (b"x" * (OUTPUT_BYTES - 1) + b"\n") * OUTPUTS
    long_s, plain_s = in_turn(
        lambda: seconds([*ours, "sh", "-c", script], OUTPUTS, outputs),
        # The shortest way to the same outputs: one after the other, whose order nobody has to keep.
        lambda: seconds(["xargs", "-P1", "-n1", "sh", "-c", script], OUTPUTS, outputs),
    )
    measured = f"{long_s:.2f} s, {plain_s:.2f} s"
    rows.append(
        Row(
            f"{OUTPUTS} outputs of 1 MB in order, against xargs one by one",
            plain_s / long_s,
            1.0,
            measured,
        )
    )
    if parallel is None:
        return rows
    few = JOBS // 5
    few_s, parallel_s = in_turn(
        lambda: seconds([*ours, "true"], few, b""),
        lambda: seconds([*parallel, "true"], few, b""),
    )
    rows.append(
        Row(
            f"{few} jobs that do nothing, against parallel",
            parallel_s / few_s,
            1.0,
            f"{few_s:.2f} s, {parallel_s:.2f} s",
        )
    )
    long_s, parallel_s = in_turn(
        lambda: seconds([*ours, "sh", "-c", script], OUTPUTS, outputs),
        lambda: seconds([*parallel, "-q", "sh", "-c", script], OUTPUTS, outputs),
    )
    measured = f"{long_s:.2f} s, {parallel_s:.2f} s"
    rows.append(
        Row(
            f"{OUTPUTS} outputs of 1 MB in order, against parallel",
            parallel_s / long_s,
            1.0,
            measured,
        )
    )
    return rows
