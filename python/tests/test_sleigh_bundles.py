"""Short tasks share a lease. What becomes of one of them becomes of it alone."""

import os
import time

import pytest

from nws.sleigh import Sleigh, SleighTaskException

COUNT, ODD_ONE = 20_000, 15_000


def end_at(index, odd_one):
    if index == odd_one:
        os._exit(3)
    return index


def fail_at(index, odd_one):
    if index == odd_one:
        raise ValueError("this one")
    return -index


def sleep_at(index, odd_one):
    if index == odd_one:
        time.sleep(3600)
    return index


def wait_at(index, odd_one):
    if index == odd_one:
        return SleighUserNws.find("the others are done")  # noqa: F821
    return index


def write_down(folder, index):
    with open(os.path.join(folder, str(index)), "a") as file:
        file.write("x")
    if index == ODD_ONE // 10:
        os._exit(3)


class Collector:
    """Does something when so many results have come."""

    def __init__(self, count, act):
        self.count = count
        self.act = act
        self.seen = {}

    def result(self, values, indexes):
        self.seen.update(zip(indexes, values, strict=True))
        if len(self.seen) == self.count:
            self.act()

    def value(self):
        return self.seen


@pytest.fixture
def sleigh():
    with Sleigh(workerCount=2, output="keep") as s:
        yield s


def the_odd_one(results, others):
    failed = results.pop(ODD_ONE)
    assert results == [other for index, other in enumerate(others) if index != ODD_ONE]
    assert isinstance(failed, SleighTaskException), failed
    assert failed.index == ODD_ONE
    return failed


def test_a_task_that_fails_among_others_of_its_lease_fails_alone(sleigh):
    results = sleigh.eachElem(fail_at, range(COUNT), ODD_ONE)
    assert the_odd_one(results, [-index for index in range(COUNT)]).type == "ValueError"


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_task_that_costs_workers_among_others_of_its_lease_pays_alone(sleigh, retries):
    results = sleigh.eachElem(end_at, range(COUNT), ODD_ONE, retries=retries)
    failed = the_odd_one(results, range(COUNT))
    assert (failed.deaths, failed.exitCode) == (retries + 1, 3)
    # The next run has nothing of it.
    assert sleigh.eachElem(end_at, range(COUNT), -1) == list(range(COUNT))


def test_a_task_that_takes_too_long_among_others_of_its_lease_fails_alone(sleigh):
    results = sleigh.eachElem(sleep_at, range(COUNT), ODD_ONE, timeout=5)
    assert the_odd_one(results, range(COUNT)).type == "TimeoutError"


def test_those_that_share_the_lease_of_a_long_task_do_not_wait_for_it(sleigh):
    collector = Collector(COUNT - 1, lambda: sleigh.userNws.store("the others are done", "now"))
    seen = sleigh.eachElem(wait_at, range(COUNT), ODD_ONE, accumulator=collector)
    assert seen == {index: "now" if index == ODD_ONE else index for index in range(COUNT)}


def test_a_task_that_kills_is_run_as_often_as_it_may_and_others_of_its_lease_have_one_result(sleigh, tmp_path):
    count = COUNT // 5
    results = sleigh.eachElem(write_down, [[str(tmp_path)] * count, range(count)], retries=0)
    failed = [result for result in results if isinstance(result, SleighTaskException)]
    assert [failure.index for failure in failed] == [ODD_ONE // 10]
    runs = [len((tmp_path / str(index)).read_text()) for index in range(count)]
    assert runs[ODD_ONE // 10] == 1
    assert all(1 <= run <= 2 for run in runs)


def test_a_chunk_of_one_has_each_task_by_its_own_lease(sleigh):
    results = sleigh.eachElem(end_at, range(COUNT), ODD_ONE, chunkSize=1)
    assert the_odd_one(results, range(COUNT)).deaths == 2
