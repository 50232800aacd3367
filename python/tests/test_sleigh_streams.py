"""`imap` and `starmap` over inputs that are long or have no end: what is held at any moment."""

import itertools
import os

import pytest

from leftovers import wait_until
from nws import client
from nws.sleigh import Sleigh, SleighOccupiedException


@pytest.fixture(scope="module")
def sleigh():
    with Sleigh(workerCount=2) as made:
        yield made


class Endless:
    """Counts without end, and how far it was read."""

    def __init__(self, shape):
        self.taken = 0
        self._shape = shape

    def __iter__(self):
        return self

    def __next__(self):
        self.taken += 1
        return self._shape(self.taken - 1)


def streams(sleigh, **options):
    single, rows = Endless(lambda number: -number), Endless(lambda number: (-number,))
    yield single, lambda: sleigh.imap(abs, single, **options)
    yield rows, lambda: sleigh.starmap(abs, rows, **options)


@pytest.mark.parametrize("factor", [1, 3, 10])
def test_an_endless_input_is_read_no_further_than_its_load_factor_allows(sleigh, factor):
    for source, start in streams(sleigh, loadFactor=factor):
        stream = start()
        assert source.taken == stream.submitted == 2 * factor
        for expected in range(200):
            assert next(stream) == expected
            assert source.taken <= expected + 1 + 2 * factor
        assert (stream.returned, stream.submitted) == (200, source.taken)
        stream.stop()


def test_by_default_it_is_read_ten_tasks_a_worker_ahead_and_further_only_while_results_are_waited_for(sleigh):
    for source, start in streams(sleigh):
        stream = start()
        assert source.taken == 20
        # Nobody takes a result, so nothing more is read, though all that was submitted comes to its end.
        wait_until(lambda stream=stream: not stream._run.look() and stream.buffered == 20, "all have come")
        assert source.taken == 20
        assert [next(stream) for _ in range(10)] == list(range(10))
        assert source.taken <= 30
        stream.stop()


def test_what_is_held_does_not_grow_with_the_number_of_tasks(sleigh):
    """200,000 tasks: what lies between input and consumer is bounded, and so is what the server keeps."""
    most_held = most_kept = most_variables = 0
    stream = sleigh.imap(abs, itertools.repeat(-1, 200_000))
    for count, value in enumerate(stream, 1):
        assert value == 1
        most_held = max(most_held, stream.submitted - stream.returned, stream.buffered)
        if count % 20_000 == 0:
            variables = sleigh.nws.listVars(format="dict")
            most_kept = max(most_kept, sum(row[client.V_VALUES] for row in variables.values()))
            most_variables = max(most_variables, len(variables))
    assert count == 200_000
    # The window grows to 8192 tasks a worker at most, and a task is a value or a result of one.
    assert most_held <= 2 * 8192
    assert most_kept <= 2 * 8192 + 10
    assert most_variables <= 8
    left = sleigh.nws.listVars(format="dict")
    assert sum(row[client.V_VALUES] for name, row in left.items() if "tasks" in name or name == "results") == 0


def test_many_short_runs_leave_nothing_on_the_server(sleigh):
    before = None
    for number in range(60):
        assert list(sleigh.imap(abs, range(-20, 0))) == list(range(20, 0, -1))
        assert sleigh.eachElem(abs, [-1]) == [1]
        if number == 10:
            before = sleigh.nws.listVars(format="dict").keys()
    # The runs are numbered: a variable of one that was kept would show.
    wait_until(lambda: len(sleigh.nws.listVars(format="dict")) <= len(before), "the last run's variable is gone")


def test_the_shortest_input_ends_the_stream(sleigh):
    assert list(sleigh.imap(pow, [1, 2, 3], itertools.count(2))) == [1, 8, 81]
    assert list(sleigh.imap(pow, itertools.count(1), [2, 2])) == [1, 4]


def test_a_stream_occupies_its_sleigh_until_all_it_submitted_was_retrieved(sleigh):
    stream = sleigh.imap(abs, itertools.count(), loadFactor=2)
    assert next(stream) == 0
    stream.shutdown()
    submitted = stream.submitted
    for expected in range(1, submitted):
        with pytest.raises(SleighOccupiedException):
            sleigh.eachWorker(os.getpid)
        assert next(stream) == expected
    assert next(stream, "over") == "over"
    assert stream.submitted == submitted
    assert len(sleigh.eachWorker(os.getpid)) == 2


def test_a_stopped_stream_frees_its_sleigh_at_once_and_flushes_what_was_pending(sleigh):
    stream = sleigh.imap("__import__('time').sleep(300)", itertools.count())
    assert not stream.stopped
    stream.stop()
    assert stream.stopped
    assert stream.buffered == 0
    assert next(stream, "over") == "over"
    assert sleigh.eachElem(abs, range(-3, 0)) == [3, 2, 1]
    stream.stop()
