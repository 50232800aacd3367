"""Tasks that take longer than they may."""

import os
import signal
import subprocess

import pytest

from leftovers import MARK, marked, wait_until
from nws.sleigh import Sleigh, SleighIllegalValueException, SleighTaskException


@pytest.fixture(scope="module")
def sleigh():
    with Sleigh(workerCount=2) as made:
        yield made


def hang(x):
    if x == 3:
        signal.pause()
    return x * 2


def test_a_task_that_takes_too_long_fails_alone(sleigh):
    results = sleigh.eachElem(hang, range(20), timeout=0.3, retries=5)
    bad = results[3]
    assert isinstance(bad, SleighTaskException)
    assert bad.type == "TimeoutError"
    assert "0.3 s" in bad.message
    assert bad.deaths == 1, "it is not run again"
    assert [x for x in results if x is not bad] == [x * 2 for x in range(20) if x != 3]


def test_each_worker_and_streams_have_timeouts_as_well(sleigh):
    assert {bad.type for bad in sleigh.eachWorker(signal.pause, timeout=0.2)} == {"TimeoutError"}
    third = list(sleigh.imap(hang, range(5), timeout=0.2))[3]
    assert third.type == "TimeoutError"


def test_tasks_that_block_signals_or_ignore_them_end_too(sleigh):
    def stubborn(x):
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
        while True:
            try:
                signal.sigwait([signal.SIGUSR1])
            except BaseException:
                continue

    [bad] = sleigh.eachElem(stubborn, (1,), timeout=0.2)
    assert bad.type == "TimeoutError"


def test_what_a_task_started_ends_with_it(monkeypatch):
    monkeypatch.setenv(MARK, "timeouts")

    def start(x):
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        signal.pause()

    with Sleigh(workerCount=1) as s:
        [bad] = s.eachElem(start, (1,), timeout=0.3)
        assert bad.type == "TimeoutError"
        wait_until(lambda: not any("sleep" in line for line in marked("timeouts").values()), "the child has ended")


def test_a_timeout_does_not_touch_tasks_within_it_or_later_runs(sleigh):
    before = sleigh.eachWorker(os.getpid)
    assert sleigh.eachElem(abs, range(-2000, 0), timeout=30) == list(range(2000, 0, -1))
    assert sleigh.eachWorker(os.getpid) == before


@pytest.mark.parametrize("bad", [0, -1, "1", True, float("nan"), float("inf")])
def test_a_timeout_that_is_none_is_refused(sleigh, bad):
    with pytest.raises(SleighIllegalValueException, match="timeout"):
        sleigh.eachElem(abs, [-1], timeout=bad)
