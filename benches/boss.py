"""How near a Boss comes to the shortest time in which its instructions can be done."""

from __future__ import annotations

import random
import statistics
import time

from nws.taylorism import Boss, Worker
from nws.taylorism.schedulers import LongerFirstScheduler
from row import Row

ROUNDS = 3
COUNT = 200
WORKERS = 8
ALLOWED = 1.1


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


def measure() -> list[Row]:
    """The bound is that of any schedule: all work divided among the workers, or the longest alone."""
    lengths = lengths_s()
    bound_s = max(sum(lengths) / WORKERS, max(lengths))
    took_s = statistics.median(run_s(lengths) for _ in range(ROUNDS))
    measured = f"{took_s:.2f} s, of which {bound_s:.2f} s cannot be avoided"
    name = f"Boss, {COUNT} instructions of 0.01 to 1 s, longest first, {WORKERS} workers, within {ALLOWED} of the bound"
    return [Row(name, ALLOWED * bound_s / took_s, 1.0, measured)]
