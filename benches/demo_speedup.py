"""Real work: the demo's parallel part against its serial part."""

from __future__ import annotations

import statistics
import sysconfig

from nws.demo.__main__ import in_a_sleigh, in_one_process, sources
from row import Row

ROUNDS = 3
WORKERS = 2


def measure() -> list[Row]:
    """Surveys the standard library in turn in one process and in a sleigh."""
    paths = sources(sysconfig.get_path("stdlib"))
    in_a_sleigh(paths, WORKERS)
    rounds = [(in_one_process(paths).seconds, in_a_sleigh(paths, WORKERS).seconds) for _ in range(ROUNDS)]
    one, many = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratio = statistics.median(one / many for one, many in rounds)
    return [Row("the demo, 2 workers against 1 process", ratio, 1.7, f"{one:.2f} s against {many:.2f} s")]
