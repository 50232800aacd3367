"""Sleigh against `multiprocessing.Pool`, with two workers each: tiny tasks, short ones, and very uneven ones."""

from __future__ import annotations

import multiprocessing
import random
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nws.sleigh import Sleigh
from row import Row

WORKERS = 2
ROUNDS = 5
TINY = 200_000
# Of the uneven tasks: how many, their median in seconds, and the spread of the logarithm.
UNEVEN, MEDIAN_S, SIGMA = 2_000, 0.0005, 2.0
UNEVEN_SEEDS = (1, 2, 3)
RUST = Path(__file__).resolve().parent.parent / "target" / "release" / "examples" / "map_rate"


def cube(x: int) -> int:
    """The trivial function."""
    return x * x * x


def work(seconds: float) -> float:
    """Keep a core busy for this long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds


def seconds(run: Callable[[], Sequence[Any]], expected: Sequence[Any]) -> float:
    """How long `run` takes; what it brings must be right."""
    began = time.perf_counter()
    results = run()
    took = time.perf_counter() - began
    if list(results) != list(expected):
        raise AssertionError("a map brought wrong results")
    return took


def contest(
    name: str, goal: float, ours: Callable[[], Sequence[Any]], theirs: Callable[[], Sequence[Any]], expected: list[Any]
) -> Row:
    """Both in turn; the first round only warms up."""
    rounds = [(seconds(theirs, expected), seconds(ours, expected)) for _ in range(ROUNDS + 1)][1:]
    ratio = statistics.median(them / us for them, us in rounds)
    them, us = (len(expected) / statistics.median(times) for times in zip(*rounds, strict=True))
    return Row(name, ratio, goal, f"{us:,.0f} against {them:,.0f} tasks/s")


def against_pool(sleigh: Sleigh) -> list[Row]:
    """The rows whose peer is a pool that was forked from this very process."""
    tiny = list(range(TINY))
    cubes = [cube(x) for x in tiny]
    rows = []
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        rows.append(
            contest(
                f"eachElem of {TINY:,} x³ against Pool.map",
                0.8,
                lambda: sleigh.eachElem(cube, tiny),
                lambda: pool.map(cube, tiny),
                cubes,
            )
        )
        rows.append(
            contest(
                f"eachElem of {TINY:,} x³, chunkSize 1, against Pool.imap",
                8.0,
                lambda: sleigh.eachElem(cube, tiny, chunkSize=1),
                lambda: list(pool.imap(cube, tiny, chunksize=1)),
                cubes,
            )
        )
        for task_s, count in ((100e-6, 20_000), (1e-3, 2_000)):
            tasks = [task_s] * count
            rows.append(
                contest(
                    f"tasks of {task_s * 1e6:,.0f} µs against Pool.map",
                    1.0,
                    lambda tasks=tasks: sleigh.eachElem(work, tasks),
                    lambda tasks=tasks: pool.map(work, tasks),
                    tasks,
                )
            )
    return rows


def uneven(sleigh: Sleigh) -> Row:
    """How close the end comes to the lower bound: the work shared evenly, or the longest task."""
    ratios = []
    for seed in UNEVEN_SEEDS:
        chance = random.Random(seed)
        tasks = [MEDIAN_S * chance.lognormvariate(0.0, SIGMA) for _ in range(UNEVEN)]
        bound = max(sum(tasks) / WORKERS, max(tasks))
        ratios.append(bound / seconds(lambda tasks=tasks: sleigh.eachElem(work, tasks), tasks))
    each = ", ".join(f"{1 / ratio:.3f}" for ratio in ratios)
    return Row(f"{UNEVEN:,} lognormal tasks: lower bound against time", min(ratios), 1 / 1.1, f"times {each} the bound")


def everything_on() -> Row:
    """What the capture of output, seeds and the timeline cost together."""
    tiny = list(range(TINY))
    cubes = [cube(x) for x in tiny]
    with tempfile.TemporaryDirectory() as folder:
        events = str(Path(folder) / "events.jsonl")
        with (
            Sleigh(workerCount=WORKERS, output="keep", seed=1, events=events) as laden,
            Sleigh(workerCount=WORKERS, output="inherit") as bare,
        ):
            return contest(
                "capture, seeds and timeline on, against all off",
                0.95,
                lambda: laden.eachElem(cube, tiny),
                lambda: bare.eachElem(cube, tiny),
                cubes,
            )


def from_rust(sleigh: Sleigh) -> Row:
    """The trivial map from Rust, against Python's."""
    tiny = list(range(TINY))
    cubes = [cube(x) for x in tiny]
    rounds = []
    for _ in range(ROUNDS):
        # Its first round, and ours, only warm up.
        done = subprocess.run([RUST, str(TINY), "4"], capture_output=True, text=True, check=True, timeout=120)
        ours = statistics.median([float(found) for found in re.findall(r" in ([0-9.]+) s", done.stdout)][1:])
        theirs = statistics.median([seconds(lambda: sleigh.eachElem(cube, tiny), cubes) for _ in range(4)][1:])
        rounds.append((theirs, ours))
    ratio = statistics.median(them / us for them, us in rounds)
    them, us = (TINY / statistics.median(times) for times in zip(*rounds, strict=True))
    return Row(f"{TINY:,} x³ from Rust against from Python", ratio, 2.0, f"{us:,.0f} against {them:,.0f} tasks/s")


def measure() -> list[Row]:
    """All of them in one run."""
    with Sleigh(workerCount=WORKERS) as sleigh:
        return [*against_pool(sleigh), uneven(sleigh), from_rust(sleigh), everything_on()]
