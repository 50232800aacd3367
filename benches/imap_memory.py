"""Memory of master, server and workers while ten million tasks go through `imap`.

    python benches/imap_memory.py [TASKS]

Prints, for each tenth of the way, the most that each part has had resident so far. It is constant when the last lines
are as the first: the parts hold what is under way, and nothing of what is over.
"""

from __future__ import annotations

import itertools
import os
import sys
import time

from nws.sleigh import Sleigh
from processes import descendants, status_of

WORKERS = 2
TASKS = 10_000_000
# How much the peak may grow between the second tenth and the last, for the allocators' sake.
SLACK_MIB = 16


def peaks_mib(roles: dict[int, str]) -> dict[str, float]:
    """The peak of resident memory so far, of the largest process of each part."""
    peaks: dict[str, float] = {}
    for pid, role in roles.items():
        peak = status_of(pid).get("VmHWM", "0 kB")
        peaks[role] = max(peaks.get(role, 0.0), int(peak.split()[0]) / 1024)
    return peaks


def main() -> int:
    """Run the tasks, and say whether the memory was constant."""
    tasks = int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else TASKS
    told: list[dict[str, float]] = []
    with Sleigh(workerCount=WORKERS, progress=False) as sleigh:
        sleigh.status(timeout=60)
        roles = descendants(os.getpid()) | {os.getpid(): "master"}
        began = time.perf_counter()
        stream = sleigh.imap(abs, itertools.repeat(-1, tasks))
        for tenth in range(1, 11):
            until = tasks * tenth // 10
            for value in itertools.islice(stream, until - stream.returned):
                assert value == 1
            told.append(peaks_mib(roles))
            parts = ", ".join(f"{part} {peak:.1f}" for part, peak in sorted(told[-1].items()))
            rate = until / (time.perf_counter() - began)
            print(f"{until:>12,} tasks: peak MiB {parts}; {rate:,.0f} tasks/s", flush=True)
        assert next(stream, None) is None
    grown = {part: told[-1][part] - told[1][part] for part in told[-1]}
    constant = all(growth <= SLACK_MIB for growth in grown.values())
    print("constant" if constant else f"NOT constant: grown by (MiB) {grown}")
    return 0 if constant else 1


if __name__ == "__main__":
    sys.exit(main())
