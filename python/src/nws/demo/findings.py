"""Puts the summaries of all files together, and lays out what was found as text."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from nws.demo.survey import Function, Summary

_WIDTH = 88
_SHOWN = 5
_BRANCHES = ((0, "none"), (1, "1"), (4, "2–4"), (9, "5–9"), (19, "10–19"))
_MORE_BRANCHES = "20 or more"


@dataclass(frozen=True, slots=True)
class Place:
    """A function, and the file it stands in."""

    path: str
    function: Function


@dataclass(frozen=True, slots=True)
class Findings:
    """What is in all the files together."""

    files: int
    lines: int
    code_lines: int
    comment_lines: int
    classes: int
    coroutines: int
    functions: list[Place]
    names: Counter[str]
    imports: Counter[str]
    errors: list[tuple[str, str]]


def gather(summaries: Iterable[Summary], root: str) -> Findings:
    """Adds the summaries up, in whatever order they come. Paths are told from the folder `root` on."""
    all_of: list[Summary] = [{**summary, "path": os.path.relpath(summary["path"], root)} for summary in summaries]
    names: Counter[str] = Counter()
    imports: Counter[str] = Counter()
    for summary in all_of:
        names.update(summary["names"])
        imports.update(name for name in summary["imports"] if not name.startswith("."))
    return Findings(
        files=len(all_of),
        lines=sum(summary["lines"] for summary in all_of),
        code_lines=sum(summary["code_lines"] for summary in all_of),
        comment_lines=sum(summary["comment_lines"] for summary in all_of),
        classes=sum(summary["classes"] for summary in all_of),
        coroutines=sum(summary["coroutines"] for summary in all_of),
        functions=[Place(summary["path"], function) for summary in all_of for function in summary["functions"]],
        names=names,
        imports=imports,
        errors=[(summary["path"], summary["error"]) for summary in all_of if summary["error"]],
    )


def lay_out(found: Findings) -> Iterator[str]:
    """The findings as lines of text, at most 88 columns wide."""
    yield from _totals(found)
    yield from _histogram(found)
    yield from _ranking("Longest functions", "lines", found.functions, lambda function: function["lines"])
    yield from _ranking("Most branches", "branches", found.functions, lambda function: function["branches"])
    yield from _ranking("Deepest nesting", "levels", found.functions, lambda function: function["nesting"])
    yield from _copies(found.functions)
    yield from _counts("Most used names", found.names)
    yield from _counts("Most imported modules (files that do)", found.imports)
    yield from _errors(found)


def _totals(found: Findings) -> Iterator[str]:
    share = 100 / max(found.lines, 1)
    branches = [place.function["branches"] for place in found.functions]
    mean = statistics.fmean(branches) if branches else 0.0
    yield f"  {'files':<12}{found.files:>11,}"
    yield (
        f"  {'lines':<12}{found.lines:>11,}   {found.code_lines * share:.0f} % code, "
        f"{found.comment_lines * share:.0f} % comments"
    )
    yield f"  {'classes':<12}{found.classes:>11,}"
    more = f"{found.coroutines:,} of them async, {mean:.1f} branches each"
    yield f"  {'functions':<12}{len(found.functions):>11,}   {more}"


def _histogram(found: Findings) -> Iterator[str]:
    counts = Counter(_branch_class(place.function["branches"]) for place in found.functions)
    most = max(counts.values(), default=1)
    yield from _heading("Branches per function", "functions")
    for name in (*(name for _, name in _BRANCHES), _MORE_BRANCHES):
        room = _WIDTH - 30
        bar = "█" * round(counts[name] / most * room) or ("▏" if counts[name] else "")
        yield f"  {name:<12}{bar:<{room}}{counts[name]:>{_WIDTH - 14 - room},}"


def _branch_class(branches: int) -> str:
    return next((name for most, name in _BRANCHES if branches <= most), _MORE_BRANCHES)


def _ranking(title: str, unit: str, places: Sequence[Place], of: Callable[[Function], int]) -> Iterator[str]:
    yield from _heading(title, unit)
    ranked = sorted(places, key=lambda place: (-of(place.function), place.path, place.function["line"]))
    for place in ranked[:_SHOWN]:
        where = f"{place.path}:{place.function['line']}"
        left = f"  {place.function['name']:<32.32}  {_clipped(where, _WIDTH - 46)}"
        yield f"{left:<{_WIDTH - 10}}{of(place.function):>10,}"


def _copies(places: Sequence[Place]) -> Iterator[str]:
    """Functions that stand in several places with the same code: those first with which most lines could go."""
    alike: dict[str, list[Place]] = {}
    for place in places:
        if place.function["shape"]:
            alike.setdefault(place.function["shape"], []).append(place)
    copied = [sorted(group, key=lambda place: (place.path, place.function["line"])) for group in alike.values()]
    copied = [group for group in copied if len(group) > 1]
    copied.sort(key=lambda group: (-_spared(group), group[0].path, group[0].function["line"]))
    yield from _heading(f"Written more than once ({len(copied):,} functions)", "lines")
    for group in copied[:_SHOWN]:
        first = group[0]
        where = f"{first.path}:{first.function['line']} and {len(group) - 1} more"
        left = f"  {first.function['name']:<32.32}  {_clipped(where, _WIDTH - 46)}"
        yield f"{left:<{_WIDTH - 10}}{_spared(group):>10,}"


def _spared(group: Sequence[Place]) -> int:
    return sum(place.function["lines"] for place in group[1:])


def _counts(title: str, counts: Counter[str]) -> Iterator[str]:
    yield from _heading(title)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    line = ""
    for entry in (f"{name} {count:,}" for name, count in ranked[: 3 * _SHOWN]):
        if line and len(line) + len(entry) + 5 > _WIDTH:
            yield line
            line = ""
        line = f"{line} · {entry}" if line else f"  {entry}"
    if line:
        yield line


def _errors(found: Findings) -> Iterator[str]:
    if not found.errors:
        return
    yield from _heading(f"Not to be parsed ({len(found.errors)})")
    for path, error in found.errors[: 2 * _SHOWN]:
        line = f"  {path}: {error}"
        yield line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
    if len(found.errors) > 2 * _SHOWN:
        yield f"  … and {len(found.errors) - 2 * _SHOWN} more"


def _heading(title: str, unit: str = "") -> Iterator[str]:
    yield ""
    yield f"{title:<{_WIDTH - 10}}{unit:>10}".rstrip()


def _clipped(text: str, width: int) -> str:
    """The end of a long path says more than its beginning."""
    return text if len(text) <= width else "…" + text[1 - width :]
