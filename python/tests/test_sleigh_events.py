"""The file that `Sleigh(events=...)` writes."""

import json
import os

import pytest

from nws import timeline
from nws.sleigh import Sleigh


def told(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events_tell_every_task(tmp_path):
    path = tmp_path / "events.jsonl"
    with Sleigh(workerCount=2, events=path) as s:
        s.eachElem(abs, range(20))
        # One may have been done before the other had joined.
        s.status(timeout=50)
    events = told(path)
    tasks = [event for event in events if event["event"] == "task"]
    assert sorted(task["index"] for task in tasks) == list(range(20))
    assert all(task["ok"] and task["duration_ns"] > 0 for task in tasks)
    kinds = [event["event"] for event in events]
    assert kinds.count("run_began") == kinds.count("run_done") == 1
    assert kinds.count("worker_joined") == kinds.count("worker_left") == 2


def test_the_events_of_two_sleighs_in_one_file_are_told_apart(tmp_path):
    path = tmp_path / "events.jsonl"
    with Sleigh(workerCount=1, events=path) as a, Sleigh(workerCount=1, events=path) as b:
        a.eachElem(abs, range(3000))
        b.eachElem(abs, range(4000))
        a.eachElem("1/0", range(2))
    events = told(path)
    first, second = [event["sleigh"] for event in events if event["event"] == "sleigh_began"]
    tasks = [(event["sleigh"], event["run"], event["ok"]) for event in events if event["event"] == "task"]
    assert tasks.count((first, 1, True)) == 3000
    assert tasks.count((second, 1, True)) == 4000
    assert tasks.count((first, 2, False)) == 2
    assert len(tasks) == 7002
    assert [len(row.tasks) for row in timeline.read(path).rows] == [4000]
    assert [len(row.tasks) for row in timeline.read(path, sleigh=first).rows] == [3002]


def test_a_file_of_events_that_cannot_be_made_is_told_before_anything_starts(tmp_path):
    path = tmp_path / "missing" / "events.jsonl"
    with pytest.raises(FileNotFoundError, match=str(path)):
        Sleigh(workerCount=1, events=path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
def test_a_full_disk_is_a_warning_and_ends_no_run():
    with Sleigh(workerCount=1, events="/dev/full") as s:
        with pytest.warns(RuntimeWarning, match="/dev/full.*[Nn]o space"):
            assert s.eachElem(abs, [-1]) == [1]
        # Told once.
        assert s.eachElem(abs, [-2]) == [2]


def test_a_forked_child_writes_no_event_of_its_parents_sleigh(tmp_path):
    path = tmp_path / "events.jsonl"
    with Sleigh(workerCount=1, events=path) as s:
        pending = s.eachElem(abs, range(3), blocking=False)
        pid = os.fork()
        if pid == 0:
            s.stop()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        pending.wait()
    kinds = [event["event"] for event in told(path)]
    assert [kinds.count(kind) for kind in ("sleigh_began", "run_began", "run_done", "worker_left")] == [1, 1, 1, 1]
