"""Who did what when: draws the events of a sleigh as a picture (SVG) with workers as rows and tasks as bars.

    with Sleigh(workerCount=2, events="events.jsonl") as sleigh:
        sleigh.eachElem(work, elements)
    nws.timeline.svg("events.jsonl", "timeline.svg")

The same from a shell: `python -m nws.timeline events.jsonl timeline.svg`. `read` and `draw` are the two halves,
for who wants to add rows of their own. How the picture looks is in `nws._timeline_svg`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nws._timeline_svg import draw as _draw

__all__ = ["Mark", "Row", "Task", "Timeline", "draw", "read", "svg"]

# What the sleigh gives as the cause when nothing went wrong.
_STOPPED = "the sleigh was stopped"


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at a task: when it began (CLOCK_MONOTONIC), and how long it took."""

    run: int
    index: int
    began_ns: int
    duration_ns: int
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to a worker at one moment."""

    at_ns: int
    text: str
    bad: bool = False


@dataclass(slots=True)
class Row:
    """One worker: what it did, in the order of time. `until_ns` is when its work ended, if not with the picture."""

    label: str
    tasks: list[Task] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    until_ns: int | None = None


@dataclass(slots=True)
class Timeline:
    """All rows, and the window of time that is drawn."""

    rows: list[Row]
    began_ns: int
    ended_ns: int


def read(events: str | os.PathLike[str], *, run: int | None = None, sleigh: str | None = None) -> Timeline:
    """Reads a file of events; with `run`, only the tasks of that run.

    Several sleighs may have written to the file: `sleigh` is the name of one as its events have it, and without it the
    last that began is read.

    A last line without an end is left out: its writer died there. Any other line that is no event is a
    ValueError that names it; OSError if the file cannot be read.
    """
    rows: dict[int, Row] = {}
    moments: list[int] = []
    joined: set[int] = set()
    for event in _of_one(_events(Path(events)), sleigh):
        kind = event["event"]
        if kind in ("run_began", "run_done") and run in (None, event["run"]):
            moments.append(event["at_ns"])
        elif kind == "task" and run in (None, event["run"]):
            task = Task(event["run"], event["index"], event["began_ns"], event["duration_ns"], event["ok"])
            moments += (task.began_ns, task.began_ns + task.duration_ns)
            _row(rows, event["rank"]).tasks.append(task)
        elif kind in ("worker_joined", "worker_left"):
            row = _row(rows, event["rank"])
            row.marks += _marks(event, first=event["rank"] not in joined)
            joined.add(event["rank"])
    for row in rows.values():
        row.tasks.sort(key=lambda task: task.began_ns)
    return Timeline([rows[rank] for rank in sorted(rows)], min(moments, default=0), max(moments, default=0))


def draw(
    timeline: Timeline,
    *,
    title: str = "Who did what when",
    subtitle: str | None = None,
    labels: Sequence[str] | None = None,
) -> str:
    """The picture as the text of an SVG file, readable on light and dark.

    `labels` names tasks by their index; `subtitle` replaces the line that counts them.
    """
    return _draw(timeline, title, subtitle, labels)


def svg(
    events: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    run: int | None = None,
    sleigh: str | None = None,
    title: str = "Who did what when",
    labels: Sequence[str] | None = None,
) -> None:
    """Draws the file `events` into the file `out`, whose folder is made where it is missing. See `read` and `draw`."""
    path = Path(out)
    picture = draw(read(events, run=run, sleigh=sleigh), title=title, labels=labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(picture, encoding="utf-8")


def _events(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8", errors="replace")
    whole, _, _ = text.rpartition("\n")
    events: list[dict[str, Any]] = []
    for number, line in enumerate(whole.split("\n"), 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            event["event"]
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"{path}, line {number}: expected an event as a JSON object, got {line[:60]!r}") from None
        events.append(event)
    return events


def _of_one(events: list[dict[str, Any]], sleigh: str | None) -> list[dict[str, Any]]:
    began = [event["sleigh"] for event in events if event["event"] == "sleigh_began"]
    chosen = sleigh if sleigh is not None or not began else began[-1]
    return events if chosen is None else [event for event in events if event.get("sleigh") == chosen]


def _row(rows: dict[int, Row], rank: int) -> Row:
    return rows.setdefault(rank, Row(f"worker {rank}"))


def _marks(event: dict[str, Any], *, first: bool) -> list[Mark]:
    """Only what is out of the ordinary: a death, and the worker that took the place."""
    if event["event"] == "worker_joined":
        return [] if first else [Mark(event["at_ns"], f"joined (process {event['pid']})")]
    cause = event.get("cause") or "no cause is known"
    return [] if cause == _STOPPED else [Mark(event["at_ns"], f"left: {cause}", bad=True)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: `python -m nws.timeline EVENTS OUT`."""
    parser = argparse.ArgumentParser(prog="python -m nws.timeline", description="Draws the events of a sleigh.")
    parser.add_argument("events", help="the file that Sleigh(events=...) has written")
    parser.add_argument("out", help="the SVG file to write")
    parser.add_argument("--run", type=int, help="draw only this run, counted from 1")
    parser.add_argument("--sleigh", help="the sleigh to draw, as its events name it; the last one in the file")
    parser.add_argument("--title", default="Who did what when")
    chosen = parser.parse_args(arguments)
    try:
        svg(chosen.events, chosen.out, run=chosen.run, sleigh=chosen.sleigh, title=chosen.title)
    except (OSError, ValueError) as error:
        print(f"nws.timeline: {error}", file=sys.stderr)
        return 1
    print(chosen.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
