"""The ways to call a sleigh: expressions, definitions, accumulators, pending calls, streams."""

import itertools
import os
import threading

import pytest

from leftovers import wait_until
from nws.sleigh import (
    Sleigh,
    SleighGatheredException,
    SleighIllegalValueException,
    SleighOccupiedException,
    SleighPending,
    SleighResultIterator,
    SleighTaskException,
)


@pytest.fixture(scope="module")
def sleigh():
    with Sleigh(workerCount=2) as made:
        yield made


def test_an_expression_sees_its_arguments(sleigh):
    assert sleigh.eachElem("SleighArguments[0] * 2", range(3)) == [0, 2, 4]
    assert sleigh.eachElem("  SleighArgs", [[1, 2], [3, 4]], [5], argPermute=[2, 0]) == [[5, 1], [5, 2]]
    assert sleigh.eachWorker("SleighArguments", 1, 2) == [[1, 2], [1, 2]]


def test_statements_give_what_they_assign_to_sleigh_value(sleigh):
    assert sleigh.eachElem("import math\nSleighValue = math.factorial(SleighArguments[0])", range(4)) == [1, 1, 2, 6]
    assert sleigh.eachElem("x = 1", range(2)) == [None, None]


def test_what_statements_define_stays(sleigh):
    sleigh.eachWorker("def triple(x):\n    return 3 * x\nbase = 7")
    assert sleigh.eachElem("triple(SleighArguments[0]) + base", range(3)) == [7, 10, 13]


def test_bad_syntax_raises_in_the_call(sleigh):
    with pytest.raises(SyntaxError):
        sleigh.eachElem("1 +", range(3))
    assert sleigh.eachElem("1", range(1)) == [1]


@pytest.mark.parametrize(("fun", "type"), [("1", "invoke"), ("1", "define"), (abs, "eval"), (abs, "no such")])
def test_a_type_that_does_not_go_with_the_function_is_refused(sleigh, fun, type):
    with pytest.raises(SleighIllegalValueException, match="type"):
        sleigh.eachElem(fun, range(3), type=type)
    with pytest.raises(SleighIllegalValueException, match="type"):
        sleigh.eachWorker(fun, type=type)


def test_define_makes_a_function_known_and_does_not_call_it(sleigh):
    def known(x):
        return x + 100

    assert sleigh.eachWorker(known, type="define") == [None, None]
    assert sleigh.eachElem("known(SleighArguments[0])", range(2)) == [100, 101]
    sleigh.eachWorker(lambda x: x - 1, type="define")
    assert sleigh.eachElem("SleighFunction(5)", range(1)) == [4]


def test_workers_know_who_they_are(sleigh):
    assert sleigh.eachWorker("SleighRank") == [0, 1]
    assert sleigh.eachWorker(lambda: SleighWorkerCount) == [2, 2]  # noqa: F821


def test_workers_and_master_share_the_users_workspace(sleigh):
    def double():
        SleighUserNws.store("answer", 2 * SleighUserNws.fetch("question"))  # noqa: F821
        return SleighUserNws.currentWs()  # noqa: F821

    pending = sleigh.eachWorker(double, blocking=False)
    for number in (3, 4):
        sleigh.userNws.store("question", number)
    assert sorted(sleigh.userNws.fetch("answer", timeout=20) for _ in range(2)) == [6, 8]
    assert pending.wait() == [sleigh.userNws.currentWs()] * 2
    assert sleigh.eachWorker("SleighNws.currentWs()") == [sleigh.nws.currentWs()] * 2


def test_worker_info_tells_each_worker(sleigh):
    info = sleigh.workerInfo()
    assert [worker["rank"] for worker in info] == [0, 1]
    assert [worker["pid"] for worker in info] == sleigh.eachWorker(os.getpid)
    assert set(info[0]) == {"host", "os", "pid", "python", "nws", "rank", "logfile"}
    assert len(sleigh.nodeList) == 2


def test_an_accumulator_gets_every_result_once(sleigh):
    values = {}
    calls = []

    def take(results, indexes):
        assert isinstance(results, list)
        assert isinstance(indexes, list)
        calls.append(len(results))
        values.update(zip(indexes, results, strict=True))

    assert sleigh.eachElem(lambda x: 10 // x, range(3), accumulator=take) is None
    assert isinstance(values.pop(0), SleighTaskException)
    assert values == {1: 10, 2: 5}
    assert sleigh.eachWorker(abs, -1, accumulator=take) is None
    assert values == {0: 1, 1: 1, 2: 5}


def test_an_accumulator_object_may_tell_errors_apart_and_give_the_value(sleigh):
    class Sum:
        def __init__(self):
            self.total = 0
            self.bad = []

        def result(self, values, indexes):
            self.total += sum(values)

        def error(self, values, indexes):
            assert all(isinstance(value, SleighTaskException) for value in values)
            self.bad += indexes

        def value(self):
            return self.total, self.bad

    assert sleigh.eachElem(lambda x: 12 // x, range(4), accumulator=Sum()) == (12 + 6 + 4, [0])
    assert sleigh.eachElem(abs, range(-1000, 0), accumulator=Sum(), loadFactor=3) == (500500, [])


def test_an_accumulator_that_raises_ends_the_call(sleigh):
    def fail(values, indexes):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        sleigh.eachElem(abs, range(1000), accumulator=fail)
    assert sleigh.eachElem(abs, [-1]) == [1]
    with pytest.raises(TypeError, match="accumulator"):
        sleigh.eachElem(abs, [-1], accumulator=7)


def test_a_pending_call_counts_down_and_gives_its_results_once(sleigh, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    def wait(x):
        return open(gate).read() + str(x)

    pending = sleigh.eachElem(wait, range(2), blocking=False)
    assert isinstance(pending, SleighPending)
    assert pending.check() == 2
    assert "2 of 2" in str(pending)
    with pytest.raises(SleighOccupiedException):
        sleigh.eachElem(abs, [-1])

    def open_gate():
        if pending.check():
            try:
                os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                return False
        return pending.check() == 0

    wait_until(open_gate, "both tasks have passed the gate")
    with pytest.raises(SleighOccupiedException):
        sleigh.eachElem(abs, [-1])
    assert pending.wait() == ["0", "1"]
    with pytest.raises(SleighGatheredException):
        pending.wait()
    assert pending.check() == 0
    assert sleigh.eachElem(abs, [-1]) == [1]


def test_imap_gives_results_in_order_and_failures_among_them(sleigh):
    results = list(sleigh.imap(lambda a, b: a // b, [4, 9, 8], [2, 0, 4, 1]))
    assert results[0] == 2
    assert results[2] == 2
    assert isinstance(results[1], SleighTaskException)
    assert list(sleigh.starmap(pow, [(2, 3), (3, 2)])) == [8, 9]
    assert list(sleigh.imap("SleighArguments[0] + 1", range(3))) == [1, 2, 3]
    assert list(sleigh.imap(abs, [])) == []
    assert list(sleigh.imap(abs, range(-5000, 0), chunkSize=10)) == list(range(5000, 0, -1))


@pytest.mark.parametrize("factor", [1, 5])
def test_imap_reads_no_further_ahead_than_its_load_factor(sleigh, factor):
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield number

    stream = sleigh.imap(abs, endless(), loadFactor=factor)
    for expected in range(100):
        assert next(stream) == expected
        assert len(taken) - expected - 1 <= 2 * factor
    assert stream.returned == 100
    assert stream.submitted == len(taken)
    assert stream.buffered <= 2 * factor
    assert not stream.stopped
    with pytest.raises(SleighOccupiedException):
        sleigh.eachElem(abs, [-1])
    stream.stop()
    assert stream.stopped
    assert list(stream) == []
    assert sleigh.eachElem(abs, [-1]) == [1]


def test_shutdown_lets_what_was_submitted_be_retrieved(sleigh):
    stream = sleigh.imap(abs, itertools.count(), loadFactor=4)
    assert isinstance(stream, SleighResultIterator)
    assert next(stream) == 0
    stream.shutdown()
    rest = list(stream)
    assert rest == list(range(1, stream.submitted))
    assert stream.stopped
    assert sleigh.eachElem(abs, [-1]) == [1]


def test_a_stream_that_nobody_holds_frees_the_sleigh(sleigh):
    stream = sleigh.imap(abs, itertools.count())
    assert stream.next() == 0
    del stream
    assert sleigh.eachElem(abs, [-1]) == [1]


def test_an_input_that_raises_ends_the_stream(sleigh):
    def source():
        yield from range(10)
        raise LookupError("the end of the file")

    with pytest.raises(LookupError):
        list(sleigh.imap(abs, source()))
    assert sleigh.eachElem(abs, [-1]) == [1]


def test_many_tasks_stream_through_in_bounded_memory(sleigh):
    # The maximum of what was ever buffered is what a window allows, not what the input holds.
    most = 0
    stream = sleigh.imap(abs, range(60_000))
    for count, value in enumerate(stream):
        assert value == count
        most = max(most, stream.submitted - stream.returned)
    assert count == 59_999
    assert most <= 2 * 8192


def test_threads_that_call_one_sleigh_are_told_apart(sleigh):
    outcomes = []

    def call():
        try:
            outcomes.append(sleigh.eachElem(abs, range(-2000, 0))[0])
        except SleighOccupiedException:
            outcomes.append("occupied")

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(outcomes) <= {2000, "occupied"}
    assert 2000 in outcomes
