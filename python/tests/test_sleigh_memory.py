"""A limit on the memory of each worker."""

import mmap
import os
import signal
import subprocess
import sys

import pytest

from leftovers import MARK, marked, wait_until
from nws.sleigh import Sleigh, SleighIllegalValueException, SleighTaskException

MB = 1 << 20


def hold(i, megabytes):
    block = bytearray(b"x") * (megabytes * MB)
    SleighUserNws.store("held", i)  # noqa: F821
    if megabytes > 100:
        signal.pause()
    return len(block)


def hold_by_a_child(i):
    script = f"import signal; block = bytearray(b'x') * {400 * MB}; signal.pause()"
    subprocess.run([sys.executable, "-c", script], check=True)


def hold_by_sharing(i):
    area = mmap.mmap(-1, 400 * MB)
    for place in range(0, len(area), 4096):
        area[place] = 1
    signal.pause()


def check(bad):
    assert isinstance(bad, SleighTaskException)
    assert (bad.type, bad.deaths, bad.signal) == ("MemoryError", 1, signal.SIGKILL)
    assert "at most 200 MiB are allowed" in bad.message
    assert "too much memory, so the host ended it" in bad.message


@pytest.fixture(scope="module")
def sleigh():
    with Sleigh(workerCount=2, memoryLimit="200MiB") as made:
        yield made


def test_a_task_that_takes_more_than_the_limit_fails_alone(sleigh):
    results = sleigh.eachElem(hold, [range(12), [400 if i == 5 else 1 for i in range(12)]], retries=9)
    check(results[5])
    assert results[5].peakMemory > 150 * MB
    assert [result for i, result in enumerate(results) if i != 5] == [MB] * 11
    held = [sleigh.userNws.fetchTry("held") for _ in range(12)]
    assert held.count(5) <= 1, "it is not run again"


@pytest.mark.parametrize("way", [hold_by_a_child, hold_by_sharing])
def test_what_a_task_starts_or_maps_counts_as_well(sleigh, monkeypatch, way):
    check(sleigh.eachElem(way, [1])[0])
    assert sleigh.eachElem(abs, [-1]) == [1]


def test_the_children_of_such_a_task_end_with_it(monkeypatch):
    monkeypatch.setenv(MARK, "memory")
    with Sleigh(workerCount=1, memoryLimit="200MiB") as s:
        check(s.eachElem(hold_by_a_child, [1])[0])
        wait_until(lambda: not any("bytearray" in line for line in marked("memory").values()), "the child has ended")


def test_memory_that_a_fork_shares_counts_once(sleigh):
    def fork(i):
        block = bytearray(b"x") * (120 * MB)
        children = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
        # A look has come when the host had time for many; nothing tells of one that finds nothing.
        SleighUserNws.fetchTry("nothing")  # noqa: F821
        for _ in range(300):
            os.sched_yield()
            sum(range(20000))
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        return len(block)

    assert sleigh.eachElem(fork, [1]) == [120 * MB]


def test_a_task_within_the_limit_is_left_alone(sleigh):
    before = sleigh.eachWorker(os.getpid)
    assert sleigh.eachElem(hold, [range(4), [90] * 4]) == [90 * MB] * 4
    assert sleigh.eachWorker(os.getpid) == before


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GiB", 2 << 30), ("500 MB", 500_000_000), (1 << 30, 1 << 30), ("0.5gib", 1 << 29), ("100m", 100_000_000)],
)
def test_amounts_are_read_as_they_are_written(text, size):
    from nws._sleigh.checks import memory

    assert memory("memoryLimit", text) == size


@pytest.mark.parametrize("bad", ["much", "1", 1000, True, -1, "2 XB", 1.5])
def test_amounts_that_are_none_are_refused(bad):
    with pytest.raises(SleighIllegalValueException, match="memoryLimit: expected"):
        Sleigh(memoryLimit=bad)
