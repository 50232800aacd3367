"""The group of workers: who has joined, when it closes, and who comes too late. See `Sleigh.status`."""

import json
import os
import signal
import sys
import threading

import pytest

from leftovers import wait_until
from nws.sleigh import Sleigh, SleighIllegalValueException, SleighNwsException, SleighStoppedException


@pytest.fixture
def gated(tmp_path):
    """A Python whose first `count` starts wait until the gate is opened; returns its path and what opens the gate."""

    def make(count):
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        holds = " || ".join(f"mkdir '{tmp_path}/held {number}' 2>/dev/null" for number in range(count))
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\nif {holds}; then read word < '{gate}'; fi\nexec '{sys.executable}' \"$@\"\n")
        program.chmod(0o755)

        def open_gate():
            for _ in range(count):
                with open(gate, "w") as opened:
                    opened.write("go\n")

        return str(program), open_gate

    return make


def ranks():
    return SleighRank, SleighWorkerCount  # noqa: F821 (workers know them)


def test_the_group_closes_when_all_have_joined():
    with Sleigh(workerCount=2) as s:
        assert s.status(timeout=50) == (2, True)
        assert s.status() == (2, True)
        assert s.status(closeGroup=True) == (2, True)
        assert s.eachWorker(ranks) == [(0, 2), (1, 2)]


def test_status_counts_who_has_joined_and_does_not_wait_unless_it_is_told_to(gated):
    python, open_gate = gated(1)
    with Sleigh(workerCount=2, python=python) as s:
        wait_until(lambda: s.status()[0] == 1, "the worker that is not held has joined")
        assert s.status() == (1, False)
        assert s.status(timeout=0.05) == (1, False)
        # Who is there works; nobody waits for the group.
        assert s.eachElem(abs, range(-5, 0)) == [5, 4, 3, 2, 1]
        opening = threading.Thread(target=open_gate)
        opening.start()
        assert s.status(False, 50) == (2, True)
        opening.join()
        assert s.eachWorker(ranks) == [(0, 2), (1, 2)]


def test_a_group_that_is_closed_early_goes_on_with_who_is_there(gated, tmp_path, capfd):
    python, open_gate = gated(2)
    path = tmp_path / "events"
    with Sleigh(workerCount=4, python=python, events=path) as s:
        wait_until(lambda: s.status()[0] == 2, "the workers that are not held have joined")
        pending = s.eachWorker(ranks, blocking=False)
        assert s.status(True, 0.01) == (2, True)
        assert s.workerCount == 2
        assert s.nodeList == ["localhost"] * 2
        # A call that had begun before is told who does not come any more.
        kinds = [type(result).__name__ for result in pending.wait()]
        assert sorted(kinds) == ["SleighTaskException"] * 2 + ["tuple"] * 2
        assert s.eachWorker(ranks) == [(0, 2), (1, 2)]
        assert [info["rank"] for info in s.workerInfo()] == [0, 1]
        assert {failure.rank for failure in s.eachElem("1/0", range(50))} <= {0, 1}
        open_gate()

        def turned():
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            return [line for line in lines if "SleighJoinException: too late" in line.get("cause", "")]

        def turned_away():
            s.eachElem(abs, [-1])
            return len(turned()) == 2

        wait_until(turned_away, "both that were held have been turned away")
        assert s.status() == (2, True)
        assert s.eachWorker(ranks) == [(0, 2), (1, 2)]
    assert capfd.readouterr().err.count("SleighJoinException: too late") == 2


def test_a_worker_of_a_closed_group_that_dies_is_replaced(gated):
    python, open_gate = gated(1)
    with Sleigh(workerCount=2, python=python, initializer="at_first = SleighRank, SleighWorkerCount") as s:
        wait_until(lambda: s.status()[0] == 1, "the worker that is not held has joined")
        ((_, count),) = s.eachElem("at_first", (1,))
        assert (count, s.status(closeGroup=True)) == (2, (1, True))
        (pid,) = s.eachWorker(os.getpid)
        os.kill(pid, 9)
        wait_until(lambda: s.eachWorker(os.getpid) != [pid], "another has taken its place")
        assert s.eachWorker(ranks) == [(0, 1)]
        assert s.eachWorker("at_first") == [(0, 1)]
        open_gate()


def test_tasks_whose_function_somebody_deleted_fail(gated):
    python, open_gate = gated(1)
    with Sleigh(workerCount=1, python=python) as s:
        pending = s.eachElem(abs, range(3), blocking=False)
        s.nws.deleteVar("run 1")
        open_gate()
        assert ["somebody deleted" in result.message for result in pending.wait()] == [True] * 3
        assert s.eachElem(abs, [-1]) == [1]


def test_a_group_without_workers_says_so(gated):
    python, open_gate = gated(1)
    with Sleigh(workerCount=1, python=python) as s:
        assert s.status(closeGroup=True) == (0, True)
        for call in (lambda: s.eachElem(abs, [1]), lambda: s.eachWorker(os.getpid), lambda: s.imap(abs, [1])):
            with pytest.raises(SleighNwsException, match="before any worker had joined"):
                call()
        open_gate()


def test_status_tells_that_the_sleigh_has_ended():
    with Sleigh(workerCount=1) as s:
        os.kill(s._core.host_pid, signal.SIGKILL)

        def told():
            try:
                s.status()
            except SleighNwsException as error:
                return "host process" in str(error)
            return False

        wait_until(told, "the host's end is told")
    with Sleigh(workerCount=1) as s:
        pass
    with pytest.raises(SleighStoppedException):
        s.status()


@pytest.mark.parametrize("bad", [{"timeout": -1}, {"timeout": "1"}, {"timeout": float("nan")}, {"closeGroup": "yes"}])
def test_wrong_arguments_are_refused(bad):
    with Sleigh(workerCount=1) as s, pytest.raises(SleighIllegalValueException, match=next(iter(bad))):
        s.status(**bad)
