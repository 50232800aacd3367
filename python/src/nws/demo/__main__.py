"""The command `python -m nws.demo`: the same work in one process and in a sleigh, and what each took."""

from __future__ import annotations

import argparse
import gc
import os
import platform
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from nws import timeline
from nws.demo.findings import gather, lay_out
from nws.demo.survey import Summary, survey
from nws.sleigh import Sleigh, SleighException, SleighTaskException

_NOT_OURS = {"site-packages", "dist-packages", "__pycache__"}


@dataclass(frozen=True, slots=True)
class Phase:
    """The whole work, done one way."""

    name: str
    summaries: list[Summary]
    seconds: float
    picture: timeline.Timeline

    @property
    def rate(self) -> float:
        """Tasks a second."""
        return len(self.summaries) / self.seconds


def sources(root: str) -> list[str]:
    """The Python files below `root`, what was installed beside the library left out.

    The largest come first, so that no worker begins a long one when the others are nearly done.
    """
    found: list[tuple[int, str]] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _NOT_OURS]
        paths = (os.path.join(folder, name) for name in files if name.endswith(".py"))
        found += ((os.path.getsize(path), path) for path in paths if os.path.isfile(path))
    return [path for size, path in sorted(found, key=lambda entry: (-entry[0], entry[1]))]


def in_one_process(paths: Sequence[str]) -> Phase:
    """The work in a plain loop."""
    summaries: list[Summary] = []
    tasks: list[timeline.Task] = []
    began_ns = time.monotonic_ns()
    for index, path in enumerate(tqdm(paths, unit=" tasks", dynamic_ncols=True, disable=not _shows_bars())):
        task_ns = time.monotonic_ns()
        summaries.append(survey(path))
        tasks.append(timeline.Task(1, index, task_ns, time.monotonic_ns() - task_ns))
    ended_ns = time.monotonic_ns()
    picture = timeline.Timeline([timeline.Row("one process", tasks)], began_ns, ended_ns)
    return Phase("one process", summaries, (ended_ns - began_ns) / 1e9, picture)


def in_a_sleigh(paths: Sequence[str], workers: int) -> Phase:
    """The work with `workers` processes. Starting them is not counted, sending the function is."""
    with tempfile.TemporaryDirectory(prefix="nws-demo-") as folder:
        events = Path(folder, "events.jsonl")
        with Sleigh(workerCount=workers, progress=_shows_bars(), events=str(events)) as sleigh:
            began_ns = time.monotonic_ns()
            results = sleigh.eachElem(survey, [paths])
            seconds = (time.monotonic_ns() - began_ns) / 1e9
        failed = next((result for result in results if isinstance(result, SleighTaskException)), None)
        if failed is not None:
            raise failed
        return Phase(f"{workers} workers", results, seconds, timeline.read(events))


def side_by_side(one: timeline.Timeline, many: timeline.Timeline) -> timeline.Timeline:
    """Both pictures in one, as if they had begun at the same moment."""
    later_ns = many.began_ns - one.began_ns
    rows = [
        timeline.Row(
            row.label,
            [timeline.Task(t.run, t.index, t.began_ns + later_ns, t.duration_ns, t.ok) for t in row.tasks],
            until_ns=one.ended_ns + later_ns,
        )
        for row in one.rows
    ]
    for row in many.rows:
        row.until_ns = many.ended_ns
    return timeline.Timeline(rows + many.rows, many.began_ns, max(one.ended_ns + later_ns, many.ended_ns))


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run(chosen: argparse.Namespace) -> int:
    """Does the work twice, and prints what was found and what it took."""
    root = sysconfig.get_path("stdlib")
    distinct = sources(root)[: chosen.limit]
    if not distinct:
        return _complain(f"there are no Python files in {root}; a Python with its standard library is needed")
    print(f"What is in the standard library of Python {platform.python_version()}?  {root}\n", flush=True)
    paths = distinct * chosen.repeat
    for path in distinct:
        # Read once beforehand: so both find the files in memory, and the first does not wait for the disk alone.
        Path(path).read_bytes()
    _announce("one process")
    one = in_one_process(paths)
    gc.collect()
    _announce(f"{chosen.workers} workers")
    many = in_a_sleigh(paths, chosen.workers)
    _announce("")
    for ours, theirs in zip(one.summaries, many.summaries, strict=True):
        if ours != theirs:
            return _complain(f"the sleigh found something else in {ours['path']}: {theirs}, and not {ours}")
    for line in lay_out(gather(one.summaries[: len(distinct)], root)):
        print(line)
    picture = timeline.draw(
        side_by_side(one.picture, many.picture),
        title="Who parsed which file when",
        subtitle=f"{len(paths):,} files · {one.name} {one.seconds:.2f} s · {many.name} {many.seconds:.2f} s · "
        f"{one.seconds / many.seconds:.2f} times as fast",
        labels=[os.path.relpath(path, root) for path in paths],
    )
    out = Path(chosen.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(picture, encoding="utf-8")
    print(f"\nWho did what when: {out} (open it in a browser)\n")
    print(f"{'':<14}{'tasks':>9}{'seconds':>10}{'tasks/s':>10}{'speed-up':>10}")
    for phase in (one, many):
        print(
            f"{phase.name:<14}{len(phase.summaries):>9,}{phase.seconds:>10.2f}{phase.rate:>10,.0f}"
            f"{one.seconds / phase.seconds:>9.2f}×"
        )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line. Exit code 0: both found the same; 1: something failed; 130: Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m nws.demo",
        description="Parses Python's standard library, first in one process, then in a sleigh on all cores.",
    )
    parser.add_argument("--workers", type=_positive, default=max(cores(), 2), help="default: one a core (%(default)s)")
    parser.add_argument("--limit", type=_positive, help="take only this many files, the largest ones")
    parser.add_argument("--repeat", type=_positive, default=1, help="take each file this many times")
    parser.add_argument("--out", default="demo-out/timeline.svg", help="where the picture goes (%(default)s)")
    chosen = parser.parse_args(arguments)
    try:
        return run(chosen)
    except KeyboardInterrupt:
        print("\nstopped by Ctrl-C; the workers are gone, nothing was written", file=sys.stderr)
        return 130
    except (OSError, SleighException) as error:
        return _complain(str(error))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 up, got {text}")
    return number


def _shows_bars() -> bool:
    return sys.stderr.isatty()


def _announce(what: str) -> None:
    """Says what the bar below is about, where there is one."""
    if _shows_bars():
        print(what, file=sys.stderr, flush=True)


def _complain(message: str) -> int:
    print(f"nws.demo: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
