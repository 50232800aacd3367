"""How near a Boss comes to the shortest time in which its instructions can be done."""

from __future__ import annotations

import random
import statistics
import subprocess
import time
from pathlib import Path

from nws.taylorism import Boss, Worker
from nws.taylorism.schedulers import LongerFirstScheduler
from row import Row

ROUNDS = 3
COUNT = 200
WORKERS = 8
ALLOWED = 1.1
RUST = Path(__file__).resolve().parent.parent / "target" / "release" / "examples" / "boss_bound"


class Waiter(Worker):
    """Takes as long as it says, and no processor."""

    expected_time: float

    def _task(self) -> None:
        """The work."""
        time.sleep(self.expected_time)


def lengths_s() -> list[float]:
    """Lengths from 0.01 to 1 s, as many short as long ones on a logarithmic scale; the same in each run."""
    choose = random.Random(5)
    return [0.01 * 100 ** choose.random() for _ in range(COUNT)]


def run_s(lengths: list[float]) -> float:
    """How long it takes from the making of a Boss to its last report."""
    began = time.monotonic()
    with Boss(scheduler=LongerFirstScheduler(WORKERS)) as boss:
        boss.set_instructions({}, {"expected_time": lengths})
        boss.make_them_work()
        boss.wait_till_finished()
        report = boss.get_report()
    took = time.monotonic() - began
    assert report is not None and len(report["workers_report"]) == COUNT
    return took


def rust_run_s(lengths: list[float]) -> float:
    """The same from Rust."""
    told = subprocess.run(
        [RUST, str(WORKERS), *map(str, lengths)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(told.stdout)


def measure() -> list[Row]:
    """The bound is that of any schedule: all work divided among the workers, or the longest alone."""
    lengths = lengths_s()
    bound_s = max(sum(lengths) / WORKERS, max(lengths))
    rows = []
    for language, run in (("Boss", run_s), ("Boss from Rust", rust_run_s)):
        if language != "Boss" and not RUST.exists():
            continue
        took_s = statistics.median(run(lengths) for _ in range(ROUNDS))
        measured = f"{took_s:.2f} s, of which {bound_s:.2f} s cannot be avoided"
        what = f"{COUNT} instructions of 0.01 to 1 s, longest first, {WORKERS} workers, within {ALLOWED} of the bound"
        rows.append(Row(f"{language}, {what}", ALLOWED * bound_s / took_s, 1.0, measured))
    return rows
