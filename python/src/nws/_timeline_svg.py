"""How a timeline looks. `nws.timeline` reads the events; this file knows only about pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nws.timeline import Row, Task, Timeline

_WIDTH = 1200
_LEFT = 112
_RIGHT = 188
_TOP = 84
_PLOT = _WIDTH - _LEFT - _RIGHT
# A picture has at most about this many bars, however many tasks there were: what is narrower than `_NARROW`
# is drawn together with its neighbours, and the bound for that is doubled until the picture is small enough.
_BARS = 6_000
_NARROW = 0.5
# Tasks are coloured by how long they took; upper bounds, the last class has none.
_CLASSES = ((1_000_000, "under 1 ms"), (10_000_000, "1–10 ms"), (100_000_000, "10–100 ms"), (1_000_000_000, "0.1–1 s"))
_LAST_CLASS = "over 1 s"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_STYLE = """
text{font:13px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:#24292f}
.page{fill:#fff}.title{font-size:18px;font-weight:600}.dim{fill:#6a737d;font-size:12px}
.num{font-variant-numeric:tabular-nums}.track{fill:#f0f2f5}.grid{stroke:#d5dae1;stroke-width:1}
.d0{fill:#a6d4f2}.d1{fill:#63aee3}.d2{fill:#2f83c9}.d3{fill:#17589b}.d4{fill:#0b2f5e}
.bad{fill:#d6304a}.join{fill:#3a9a5b}.left{fill:#d6304a}rect:hover{opacity:.75}
@media (prefers-color-scheme:dark){text{fill:#e2e6eb}.page{fill:#14181d}.dim{fill:#929ba6}.track{fill:#1f252c}
.grid{stroke:#353d47}.d0{fill:#1c4468}.d1{fill:#1f6aa8}.d2{fill:#3391dc}.d3{fill:#7cbdf2}.d4{fill:#c9e6fd}
.bad,.left{fill:#ff6276}.join{fill:#59c47f}}
""".strip()


@dataclass(slots=True)
class _Bar:
    """One task, or neighbours that are too narrow to be seen alone. Positions in pixels of the plot."""

    left: float
    right: float
    count: int
    busy_ns: int
    failed: int
    first: Task


@dataclass(frozen=True, slots=True)
class _Scale:
    began_ns: int
    ended_ns: int

    @property
    def span_ns(self) -> int:
        return max(self.ended_ns - self.began_ns, 1)

    def x(self, at_ns: int) -> float:
        return (at_ns - self.began_ns) / self.span_ns * _PLOT


def draw(timeline: Timeline, title: str, subtitle: str | None, labels: Sequence[str] | None) -> str:
    """See `nws.timeline.draw`."""
    scale = _Scale(timeline.began_ns, timeline.ended_ns)
    pitch = _pitch(len(timeline.rows))
    bottom = _TOP + pitch * max(len(timeline.rows), 1)
    height = bottom + 76
    drawn = _bars(timeline.rows, scale)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style>",
        f'<rect class="page" width="{_WIDTH}" height="{height}"/>',
        f'<text class="title" x="24" y="36">{_text(title)}</text>',
        f'<text class="dim" x="24" y="58">{_text(subtitle or _subtitle(timeline, scale))}</text>',
    ]
    for number, row in enumerate(timeline.rows):
        parts += _draw_track(row, number, pitch, scale)
    parts += _axis(scale, bottom)
    for number, (row, bars) in enumerate(zip(timeline.rows, drawn, strict=True)):
        parts += _draw_row(row, bars, _TOP + number * pitch, pitch, scale, labels)
    parts += _legend(drawn, bottom + 52)
    parts.append("</svg>\n")
    return "\n".join(parts)


def span(ns: float) -> str:
    """A length of time as a reader wants it: three digits and a unit."""
    for bound, unit in ((1e3, "ns"), (1e6, "µs"), (1e9, "ms")):
        if ns < bound * 0.9995:
            value = ns / (bound / 1e3)
            return f"{value:.3g} {unit}" if value < 999.5 else f"{value:.0f} {unit}"
    seconds = ns / 1e9
    if seconds < 100:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _pitch(rows: int) -> int:
    for most, pitch in ((4, 40), (12, 30), (40, 18), (100, 9)):
        if rows <= most:
            return pitch
    return 4


def _bars(rows: Sequence[Row], scale: _Scale) -> list[list[_Bar]]:
    narrow = _NARROW
    while True:
        drawn = [list(_merge(row.tasks, scale, narrow)) for row in rows]
        # One bar a row is as few as it gets.
        if sum(map(len, drawn)) <= _BARS or narrow > _PLOT:
            return drawn
        narrow *= 2


def _merge(tasks: Sequence[Task], scale: _Scale, narrow: float) -> Iterator[_Bar]:
    """Bars in the order of time; tasks narrower than `narrow` that begin in one cell of that width share a bar."""
    cell = max(narrow, 1.0)
    shared: _Bar | None = None
    for task in tasks:
        left, right = scale.x(task.began_ns), scale.x(task.began_ns + task.duration_ns)
        if right - left < narrow and shared is not None and int(left / cell) == int(shared.left / cell):
            shared.right = max(shared.right, right)
            shared.count += 1
            shared.busy_ns += task.duration_ns
            shared.failed += not task.ok
            continue
        if shared is not None:
            yield shared
        shared = _Bar(left, right, 1, task.duration_ns, int(not task.ok), task)
        if right - left >= narrow:
            yield shared
            shared = None
    if shared is not None:
        yield shared


def _draw_track(row: Row, number: int, pitch: int, scale: _Scale) -> list[str]:
    top = _TOP + number * pitch
    inner = _inner(pitch)
    parts = [f'<rect class="track" x="{_LEFT}" y="{top}" width="{_PLOT}" height="{inner}"/>']
    # Where rows are lower than a line of text, only some of them are named.
    every = -(-16 // pitch)
    if number % every == 0:
        middle = top + inner / 2 + 4.5
        parts.append(f'<text x="{_LEFT - 12}" y="{middle:.1f}" text-anchor="end">{_text(row.label)}</text>')
        until_ns = scale.ended_ns if row.until_ns is None else row.until_ns
        busy = sum(task.duration_ns for task in row.tasks) / max(until_ns - scale.began_ns, 1)
        note = f"{_count(len(row.tasks), 'task')} · {busy:.0%} busy"
        parts.append(f'<text class="dim num" x="{_WIDTH - _RIGHT + 12}" y="{middle:.1f}">{note}</text>')
    return parts


def _draw_row(
    row: Row, bars: Sequence[_Bar], top: int, pitch: int, scale: _Scale, labels: Sequence[str] | None
) -> Iterator[str]:
    inner = _inner(pitch)
    yield f'<g transform="translate({_LEFT} {top})">'
    for bar in bars:
        width = max(bar.right - bar.left, _NARROW)
        # A hair of the track between neighbours shows where one task ends and the next begins.
        if width > 3:
            width -= 0.7
        share = bar.busy_ns / scale.span_ns * _PLOT / width if bar.count > 1 else 1.0
        faint = f' fill-opacity="{max(share, 0.25):.2f}"' if share < 0.95 else ""
        kind = "bad" if bar.failed else f"d{_class(bar.busy_ns / bar.count)}"
        yield (
            f'<rect class="{kind}" x="{bar.left:.2f}" width="{width:.2f}" height="{inner}"{faint}>'
            f"<title>{_tooltip(bar, scale, labels)}</title></rect>"
        )
    for mark in row.marks:
        if scale.began_ns < mark.at_ns <= scale.ended_ns:
            x = scale.x(mark.at_ns)
            yield (
                f'<path class="{"left" if mark.bad else "join"}" d="M{x - 4:.1f} -5h8l-4 6z"><title>'
                f"{_text(row.label)} {_text(mark.text)}, {span(mark.at_ns - scale.began_ns)}</title></path>"
            )
    yield "</g>"


def _tooltip(bar: _Bar, scale: _Scale, labels: Sequence[str] | None) -> str:
    began = span(max(bar.first.began_ns - scale.began_ns, 0))
    if bar.count > 1:
        failed = f", {bar.failed} failed" if bar.failed else ""
        return f"{bar.count} tasks, {span(bar.busy_ns / bar.count)} each{failed}, from {began}"
    index = bar.first.index
    name = _text(labels[index]) if labels is not None and 0 <= index < len(labels) else f"task {index}"
    return f"{name}: {span(bar.busy_ns)}{' failed' if bar.failed else ''}, from {began}"


def _axis(scale: _Scale, bottom: int) -> list[str]:
    step = _step(scale.span_ns)
    parts = []
    for number in range(scale.span_ns // step + 1):
        x = _LEFT + scale.x(scale.began_ns + number * step)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{bottom + 2}"/>')
        label = _tick(number * step)
        parts.append(f'<text class="dim num" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    return parts


def _tick(ns: int) -> str:
    for unit_ns, unit in ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")):
        if ns >= unit_ns:
            return f"{ns / unit_ns:g} {unit}"
    return f"{ns} ns" if ns else "0"


def _step(span_ns: int) -> int:
    """The smallest of 1, 2, 5, 10, … ns that makes at most ten steps."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if span_ns <= 10 * step * factor:
                return step * factor
        step *= 10


def _legend(drawn: Sequence[Sequence[_Bar]], y: int) -> list[str]:
    bars = [bar for row in drawn for bar in row]
    names = [*(name for _, name in _CLASSES), _LAST_CLASS]
    seen = sorted({_class(bar.busy_ns / bar.count) for bar in bars if not bar.failed})
    entries = [(f"d{number}", names[number]) for number in seen]
    if any(bar.failed for bar in bars):
        entries.append(("bad", "failed"))
    parts = []
    x = _LEFT
    for kind, name in entries:
        parts.append(f'<rect class="{kind}" x="{x}" y="{y - 11}" width="14" height="14" rx="2"/>')
        parts.append(f'<text class="dim" x="{x + 20}" y="{y}">{name}</text>')
        x += 44 + 7 * len(name)
    return parts


def _subtitle(timeline: Timeline, scale: _Scale) -> str:
    tasks = sum(len(row.tasks) for row in timeline.rows)
    failed = sum(not task.ok for row in timeline.rows for task in row.tasks)
    parts = [_count(tasks, "task")]
    if tasks:
        parts.append(f"{span(scale.span_ns)} in all")
    if failed:
        parts.append(f"{failed} failed")
    return " · ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _class(duration_ns: float) -> int:
    for number, (bound, _) in enumerate(_CLASSES):
        if duration_ns < bound:
            return number
    return len(_CLASSES)


def _inner(pitch: int) -> int:
    return max(pitch * 7 // 10, 2)


def _text(text: str) -> str:
    """Escaped, and without what XML cannot hold: file names may have anything in them."""
    return escape(_NOT_XML.sub("�", text))
