"""Tiny tasks: `eachElem` of a trivial function against `multiprocessing.Pool.map`."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable

from nws.sleigh import Sleigh
from row import Row

ROUNDS = 7
WORKERS = 2
ELEMENTS = 200_000


def cube(x: int) -> int:
    """The trivial function."""
    return x * x * x


def seconds(run: Callable[[], list[int]], expected: list[int]) -> float:
    """How long `run` takes; what it brings must be right."""
    began = time.perf_counter()
    results = run()
    took = time.perf_counter() - began
    if results != expected:
        raise AssertionError("a map brought wrong results")
    return took


def measure() -> list[Row]:
    """Both keep their workers over all rounds, and take turns."""
    elements = list(range(ELEMENTS))
    expected = [cube(x) for x in elements]
    context = multiprocessing.get_context("fork")
    with context.Pool(WORKERS) as pool, Sleigh(workerCount=WORKERS) as sleigh:
        rounds = [
            (
                seconds(lambda: pool.map(cube, elements), expected),
                seconds(lambda: sleigh.eachElem(cube, elements), expected),
            )
            for _ in range(ROUNDS + 1)
        ][1:]
    ratio = statistics.median(theirs / ours for theirs, ours in rounds)
    theirs, ours = (ELEMENTS / statistics.median(times) for times in zip(*rounds, strict=True))
    return [
        Row(f"eachElem of {ELEMENTS:,} x³ against Pool.map", ratio, 0.5, f"{ours:,.0f} against {theirs:,.0f} tasks/s")
    ]
