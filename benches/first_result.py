"""How long a user waits for the first result of a new sleigh."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from row import Row

ROUNDS = 15
ALLOWED_MS = 120
# Both print the moment at which they are ready; the clock is the same in all processes of a machine.
BARE = "import nws.sleigh, time; print(time.monotonic_ns())"
SLEIGH = """
from nws.sleigh import Sleigh
import time
with Sleigh(workerCount=2) as sleigh:
    assert sleigh.eachElem(abs, [-1]) == [1]
    print(time.monotonic_ns(), flush=True)
"""


def ready_after_ms(program: str) -> float:
    """The time from the start of a Python until `program` prints the moment at which it is ready."""
    began_ns = time.monotonic_ns()
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    return (int(done.stdout) - began_ns) / 1e6


def measure() -> list[Row]:
    """Starts both in turn, each in a Python of its own."""
    ready_after_ms(SLEIGH)
    rounds = [(ready_after_ms(BARE), ready_after_ms(SLEIGH)) for _ in range(ROUNDS)]
    extra_ms = statistics.median(sleigh - bare for bare, sleigh in rounds)
    measured = f"{extra_ms:.0f} ms beyond a bare start, {ALLOWED_MS} allowed"
    return [Row("first result of a new Sleigh, 2 workers", ALLOWED_MS / extra_ms, 1.0, measured)]
