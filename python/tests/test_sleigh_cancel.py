"""Calls that are cancelled while they go on: what has not begun is dropped, what runs ends, the sleigh works on."""

import os
import signal
import threading
import time

import pytest

from leftovers import MARK, marked, wait_until
from nws.sleigh import Sleigh, SleighGatheredException, SleighTaskException


@pytest.fixture
def sleigh():
    with Sleigh(workerCount=2, output="keep") as made:
        made.eachWorker(abs, 1)
        yield made


def work(x):
    """The first ten are done at once; the others wait for a word."""
    SleighUserNws.store("begun", x)  # noqa: F821
    return x if x < 10 else SleighUserNws.find("go")  # noqa: F821


def until_two_wait(s):
    for _ in range(12):
        s.userNws.fetch("begun", timeout=50)


def outcomes(results):
    return [result.type if isinstance(result, SleighTaskException) else result for result in results]


def test_cancel_drops_what_has_not_begun_and_ends_what_runs(sleigh):
    before = sleigh.eachWorker(os.getpid)
    pending = sleigh.eachElem(work, range(1000), blocking=False)
    until_two_wait(sleigh)
    wait_until(lambda: pending.check() == 990, "the first results have come")
    pending.cancel()
    # The sleigh is free at once, before anybody asks for the results.
    after = sleigh.eachWorker(os.getpid)
    assert not set(before) & set(after), "those that were busy were ended"
    results = pending.wait()
    assert outcomes(results) == [*range(10), *["Cancelled"] * 990]
    assert (results[999].index, str(results[999])) == (
        999,
        "Cancelled: the call was cancelled before this task was done",
    )
    assert sleigh.userNws.fetchTry("begun") is None, "no other task has begun"
    with pytest.raises(SleighGatheredException):
        pending.wait()


@pytest.mark.parametrize("chunk", [None, 200])
def test_with_finish_those_that_run_come_to_their_end(sleigh, chunk):
    before = sleigh.eachWorker(os.getpid)
    pending = sleigh.eachElem(work, range(10, 1000), chunkSize=chunk, blocking=False)
    [sleigh.userNws.fetch("begun", timeout=50) for _ in range(2)]
    canceller = threading.Thread(target=pending.cancel, args=(True,))
    canceller.start()
    # What waits at the server is taken back at once, though nothing has been done yet.
    wait_until(lambda: pending._run.cancelled and pending._run._cancel is None, "the tasks are taken back")
    sleigh.userNws.store("go", "done")
    canceller.join(50)
    results = outcomes(pending.wait())
    assert sorted(results) == ["Cancelled"] * 988 + ["done"] * 2
    assert sleigh.userNws.fetchTry("begun") is None, "no other task has begun"
    assert sleigh.eachWorker(os.getpid) == before


def test_another_thread_can_cancel_a_call_that_waits(sleigh):
    def cancel():
        until_two_wait(sleigh)
        wait_until(lambda: sleigh.cancel() or True, "it is asked for")

    canceller = threading.Thread(target=cancel)
    canceller.start()
    results = sleigh.eachElem(work, range(500), loadFactor=8)
    canceller.join()
    assert len(results) == 500, "tasks that were not even submitted have their place as well"
    assert outcomes(results) == [*range(10), *["Cancelled"] * 490]
    assert sleigh.eachElem(abs, [-1]) == [1]


def test_a_signal_handler_can_cancel(sleigh):
    asked = []
    old = signal.signal(signal.SIGUSR1, lambda *_: asked.append(sleigh.cancel(finish=False)))
    try:
        helper = threading.Thread(target=lambda: (until_two_wait(sleigh), os.kill(os.getpid(), signal.SIGUSR1)))
        helper.start()
        results = sleigh.eachElem(work, range(100))
        helper.join()
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert asked == [True]
    assert outcomes(results) == [*range(10), *["Cancelled"] * 90]


def test_an_accumulator_is_told_what_was_cancelled(sleigh):
    told = {}

    class Accumulate:
        def result(self, values, indexes):
            told.update(zip(indexes, values, strict=True))

        def error(self, values, indexes):
            told.update((index, value.type) for index, value in zip(indexes, values, strict=True))

        def value(self):
            return "whole"

    pending = sleigh.eachElem(work, range(50), accumulator=Accumulate(), blocking=False)
    until_two_wait(sleigh)
    pending.cancel()
    assert pending.wait() == "whole"
    assert sorted(told) == list(range(50))
    assert set(told.values()) <= {*range(10), "Cancelled"}
    assert list(told.values()).count("Cancelled") >= 40


def test_there_is_nothing_to_cancel_between_calls(sleigh):
    assert sleigh.cancel() is False
    pending = sleigh.eachElem(abs, range(-5, 0), blocking=False)
    wait_until(lambda: pending.check() == 0, "all is done")
    pending.cancel()
    assert pending.wait() == [5, 4, 3, 2, 1], "what has come is not lost"
    assert sleigh.cancel() is False


@pytest.mark.parametrize("finish", [False, True])
def test_an_iterator_that_is_closed_ends_what_runs_or_lets_it_finish(sleigh, finish):
    before = sleigh.eachWorker(os.getpid)
    results = sleigh.imap(work, range(1000))
    assert next(results) == 0
    until_two_wait(sleigh)
    if finish:
        sleigh.userNws.store("go", 1)
    results.close(finish=finish)
    assert list(results) == []
    assert (sleigh.eachWorker(os.getpid) == before) is finish


def test_an_iterator_ends_when_the_call_is_cancelled(sleigh):
    results = sleigh.imap(work, range(1000))
    until_two_wait(sleigh)
    assert sleigh.cancel()
    assert list(results) == []
    assert sleigh.eachElem(abs, [-1]) == [1]


def test_each_worker_can_be_cancelled_as_well(sleigh):
    pending = sleigh.eachWorker(work, 10, blocking=False)
    [sleigh.userNws.fetch("begun", timeout=50) for _ in range(2)]
    pending.cancel()
    assert outcomes(pending.wait()) == ["Cancelled"] * 2
    assert sleigh.eachWorker("SleighRank") == [0, 1]


def test_what_a_cancelled_task_started_ends_with_it(monkeypatch):
    monkeypatch.setenv(MARK, "cancel")

    def start(x):
        __import__("subprocess").Popen(["sleep", "600"], start_new_session=True)
        SleighUserNws.store("begun", x)  # noqa: F821
        signal.pause()

    with Sleigh(workerCount=1) as s:
        pending = s.eachElem(start, [1], blocking=False)
        s.userNws.fetch("begun", timeout=50)
        pending.cancel()
        assert outcomes(pending.wait()) == ["Cancelled"]
        wait_until(lambda: not any("sleep" in line for line in marked("cancel").values()), "the child has ended")


def test_ctrl_c_leaves_a_sleigh_that_works(sleigh):
    helper = threading.Thread(target=lambda: (until_two_wait(sleigh), os.kill(os.getpid(), signal.SIGINT)))
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        sleigh.eachElem(work, range(1000))
    helper.join()
    assert sleigh.eachElem(abs, range(-3, 0)) == [3, 2, 1]
    assert sleigh.userNws.fetchTry("begun") is None, "no other task has begun"


def test_cancel_again_and_again_loses_no_worker(sleigh):
    for round_ in range(30):
        pending = sleigh.eachElem(lambda x: time.perf_counter() and sum(range(x % 5000)), range(3000), blocking=False)
        for _ in range(round_ % 7):
            pending.check()
        pending.cancel(finish=round_ % 3 == 0)
        results = pending.wait()
        assert len(results) == 3000
        assert {type(result) for result in results} <= {int, SleighTaskException}
        assert sleigh.eachWorker("SleighRank") == [0, 1]


def die_or_tell(x):
    """The first waits for a word and dies of it; the others say that they were run."""
    SleighUserNws.store("begun", x)  # noqa: F821
    if x == 0:
        SleighUserNws.find("go")  # noqa: F821
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_replaces_another_begins_no_task_of_a_cancelled_call():
    with Sleigh(workerCount=1) as s:
        s.eachWorker(abs, 1)
        # A chunk, so that the worker holds what it has not begun.
        pending = s.eachElem(die_or_tell, range(50), chunkSize=50, blocking=False)
        assert s.userNws.fetch("begun", timeout=50) == 0
        canceller = threading.Thread(target=pending.cancel, args=(True,))
        canceller.start()
        wait_until(lambda: pending._run.cancelled and pending._run._cancel is None, "the tasks are taken back")
        s.userNws.store("go", True)
        canceller.join(50)
        assert outcomes(pending.wait()) == ["Cancelled"] * 50
        assert s.userNws.fetchTry("begun") is None, "no other task has begun"
