import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from nws import timeline
from nws._timeline_svg import span

SVG = "{http://www.w3.org/2000/svg}"
MS = 1_000_000


def task(index, rank, began_ns, duration_ns, *, run=1, ok=True):
    return {
        "event": "task",
        "run": run,
        "index": index,
        "rank": rank,
        "began_ns": began_ns,
        "duration_ns": duration_ns,
        "ok": ok,
    }


def written(path: Path, *events, tail=""):
    path.write_text("".join(json.dumps(event) + "\n" for event in events) + tail)
    return path


def bars(picture: str):
    """All drawn tasks: (class, left, width, tooltip)."""
    found = []
    for rect in ET.fromstring(picture).iter(f"{SVG}rect"):
        title = rect.find(f"{SVG}title")
        if title is not None:
            found.append((rect.get("class"), float(rect.get("x")), float(rect.get("width")), title.text))
    return found


def texts(picture: str):
    return [element.text for element in ET.fromstring(picture).iter(f"{SVG}text")]


@pytest.fixture
def events(tmp_path):
    return tmp_path / "events.jsonl"


def test_each_task_is_a_bar_in_the_row_of_its_worker(events):
    written(
        events,
        {"event": "worker_joined", "rank": 0, "pid": 10, "at_ns": 500},
        {"event": "run_began", "run": 1, "at_ns": 1000, "tasks": 2},
        task(0, 0, 1000, 50 * MS),
        task(1, 1, 1000, 100 * MS),
        {"event": "run_done", "run": 1, "at_ns": 1000 + 100 * MS, "tasks": 2},
    )
    picture = timeline.draw(timeline.read(events))
    (_, left, short, first), (_, other_left, long, second) = bars(picture)
    assert left == other_left == 0
    assert long == pytest.approx(2 * short, rel=0.01)
    assert first == "task 0: 50 ms, from 0 ns"
    assert second == "task 1: 100 ms, from 0 ns"
    assert {"worker 0", "worker 1", "1 task · 50% busy", "1 task · 100% busy"} <= set(texts(picture))


def test_a_failed_task_is_drawn_as_such(events):
    written(events, task(0, 0, 0, 10 * MS), task(1, 0, 10 * MS, 10 * MS, ok=False))
    picture = timeline.draw(timeline.read(events))
    assert [kind for kind, *_ in bars(picture)] == ["d2", "bad"]
    assert "failed" in bars(picture)[1][3]
    assert "failed" in texts(picture)
    assert "2 tasks · 20 ms in all · 1 failed" in texts(picture)


def test_the_death_of_a_worker_is_marked_with_its_cause(events):
    written(
        events,
        {"event": "worker_joined", "rank": 0, "pid": 7, "at_ns": 1},
        task(0, 0, 0, 10 * MS),
        {"event": "worker_left", "rank": 0, "pid": 7, "at_ns": 5 * MS, "cause": "killed by signal 9 (SIGKILL)"},
        {"event": "worker_joined", "rank": 0, "pid": 8, "at_ns": 6 * MS},
        {"event": "worker_left", "rank": 0, "pid": 0, "at_ns": 9 * MS, "cause": "the sleigh was stopped"},
    )
    picture = timeline.draw(timeline.read(events))
    marks = [path.find(f"{SVG}title").text for path in ET.fromstring(picture).iter(f"{SVG}path")]
    assert marks == [
        "worker 0 left: killed by signal 9 (SIGKILL), 5 ms",
        "worker 0 joined (process 8), 6 ms",
    ]


def test_labels_name_tasks_and_may_hold_anything(events):
    written(events, task(0, 0, 0, MS), task(1, 0, MS, MS), task(7, 0, 2 * MS, MS))
    picture = timeline.draw(timeline.read(events), title="<a> & b", labels=["a<b>.py", "bad\x00\udc80.py"])
    assert [tooltip.partition(":")[0] for *_, tooltip in bars(picture)] == ["a<b>.py", "bad��.py", "task 7"]
    assert "<a> & b" in texts(picture)


def test_many_tasks_make_a_small_picture_and_none_is_forgotten(events):
    count = 100_000
    with events.open("w") as lines:
        for index in range(count):
            lines.write(json.dumps(task(index, index % 3, index // 3 * 1000, 900, ok=index != 4321)) + "\n")
    picture = timeline.draw(timeline.read(events))
    assert len(picture.encode()) < 1_000_000
    drawn = bars(picture)
    assert sum(int(tooltip.split()[0]) if " tasks," in tooltip else 1 for *_, tooltip in drawn) == count
    assert sum(kind == "bad" for kind, *_ in drawn) == 1
    assert f"{count:,} tasks · 33.3 ms in all · 1 failed" in texts(picture)


def test_many_tasks_on_many_workers_make_a_small_picture_too(events):
    with events.open("w") as lines:
        for index in range(100_000):
            lines.write(json.dumps(task(index, index % 500, index // 500 * 10 * MS, 9 * MS)) + "\n")
    assert len(timeline.draw(timeline.read(events)).encode()) < 2_000_000


def test_a_run_can_be_drawn_alone(events):
    written(
        events,
        {"event": "run_began", "run": 1, "at_ns": 0, "tasks": 1},
        task(0, 0, 0, 10 * MS),
        {"event": "run_began", "run": 2, "at_ns": 50 * MS, "tasks": 1},
        task(0, 0, 50 * MS, 5 * MS, run=2),
        {"event": "run_done", "run": 2, "at_ns": 60 * MS, "tasks": 1},
    )
    second = timeline.read(events, run=2)
    assert (second.began_ns, second.ended_ns) == (50 * MS, 60 * MS)
    assert [task.run for row in second.rows for task in row.tasks] == [2]


def test_of_several_sleighs_in_a_file_the_last_is_drawn_or_the_one_that_is_named(events):
    written(
        events,
        {"event": "sleigh_began", "sleigh": "a", "pid": 1, "at_ns": 0},
        {"event": "sleigh_began", "sleigh": "b", "pid": 2, "at_ns": 1},
        {**task(0, 0, 1000, 50 * MS), "sleigh": "a"},
        {**task(1, 0, 1000, 70 * MS), "sleigh": "b"},
    )
    assert [task.index for task in timeline.read(events).rows[0].tasks] == [1]
    assert [task.index for task in timeline.read(events, sleigh="a").rows[0].tasks] == [0]


def test_the_half_line_of_a_dead_writer_is_left_out(events):
    written(events, task(0, 0, 0, MS), tail='{"event":"task","run":1,"ind')
    assert len(timeline.read(events).rows[0].tasks) == 1


@pytest.mark.parametrize("line", ["nonsense", "[1]", '{"rank":1}', "7"])
def test_a_line_that_is_no_event_is_named(events, line):
    written(events, task(0, 0, 0, MS), tail=line + "\n")
    with pytest.raises(ValueError, match=r"events\.jsonl, line 2: expected an event"):
        timeline.read(events)


def test_an_unknown_event_is_passed_over(events):
    written(events, {"event": "from_a_later_version", "rank": 3}, task(0, 0, 0, MS))
    assert [row.label for row in timeline.read(events).rows] == ["worker 0"]


def test_no_events_make_an_empty_picture(events):
    events.write_text("")
    assert bars(timeline.draw(timeline.read(events))) == []


def test_the_command_writes_the_picture_and_says_where(events, tmp_path, capsys):
    written(events, task(0, 0, 0, MS))
    out = tmp_path / "deep" / "picture.svg"
    assert timeline.main([str(events), str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert len(bars(out.read_text(encoding="utf-8"))) == 1


def test_the_command_says_what_is_wrong_with_its_file(tmp_path, capsys):
    assert timeline.main([str(tmp_path / "none.jsonl"), str(tmp_path / "out.svg")]) == 1
    assert "none.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_500, "1.5 µs"),
        (999_999, "1 ms"),
        (34_250_000, "34.2 ms"),
        (999_600_000, "1.00 s"),
        (12_340_000_000, "12.3 s"),
        (125 * 10**9, "2 min 5 s"),
    ],
)
def test_lengths_of_time_have_three_digits_and_a_unit(ns, text):
    assert span(ns) == text
