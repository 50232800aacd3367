# ruff: noqa: E501 (a table with one fact a line)
"""Every fact that the user guide and the article state of Sleigh, and the tests that hold it.

What the guide's appendix has from the module's reference is in `test_sleigh_reference.py`; here is what it adds.
"""

import operator
import os
import socket

import pytest

from documented import Fact, expect_tests
from leftovers import wait_until
from nws import client
from nws.sleigh import Sleigh, SleighException, SleighPending

CALLS = "test_sleigh_calls"
HERE = "test_sleigh_documented"
SLEIGH = "test_sleigh"
STREAMS = "test_sleigh_streams"

GUIDE: list[Fact] = [
    ("2.4.1", "workers on this machine are the default", [f"{SLEIGH}::test_the_defaults_are_as_documented"]),
    ("2.4.1", "three of them, or as many as workerCount says", [f"{SLEIGH}::test_the_defaults_are_as_documented", "test_as_many_workers_as_asked_for"]),
    ("2.4.1", "the same as launch='local'", ["test_local_is_the_default_by_name"]),
    ("2.4.2", "ssh comes later: refused with what there is", [f"{HERE}::test_launchers_that_are_not_there_yet_are_refused_by_name"]),
    ("2.4.3", "so does rsh", [f"{HERE}::test_launchers_that_are_not_there_yet_are_refused_by_name"]),
    ("2.4.4", "and so does the web", [f"{HERE}::test_launchers_that_are_not_there_yet_are_refused_by_name"]),
    ("3.2", "stop deletes the workspace and ends all workers", [f"{HERE}::test_stop_deletes_the_workspaces", f"{HERE}::test_workers_start_with_the_object_and_end_with_stop"]),
    ("3.2", "nwsHost names a server elsewhere", ["test_sleigh_named_server::test_a_named_server_is_used_and_left_as_it_was"]),
    ("3.2", "a program changes only the way it makes its sleigh", ["test_sleigh_named_server::test_a_named_server_is_used_and_left_as_it_was"]),
    ("3.2", "abs of ten numbers, as a list in order", ["test_abs_of_ten_numbers"]),
    ("3.2", "each task is a value in the sleigh's workspace", ["test_tasks_are_values_in_the_workspace"]),
    ("3.2", "the call waits for all results", ["test_abs_of_ten_numbers"]),
    ("3.2", "two lists are added as by map", ["test_two_lists_are_added_as_by_map"]),
    ("3.2", "a fixed argument is the same for every task", ["test_a_fixed_argument_is_that_of_every_task"]),
    ("3.2", "fixed arguments come last, unless argPermute says otherwise", ["test_a_permutation_reverses_the_arguments_of_sub"]),
    ("3.2", "blocking=0 returns at once; check counts, wait waits", ["test_a_program_does_something_else_meanwhile"]),
    ("3.2", "loadFactor limits the tasks in the workspace", ["test_a_load_factor_limits_the_values_in_the_workspace"]),
    ("3.2", "it changes no result", [f"{SLEIGH}::test_load_factor_and_chunk_size_do_not_change_results"]),
    ("3.2", "workers talk with each other by workspaces", ["test_workers_pass_messages"]),
    ("A.2", "an example: math.exp of ten numbers", [f"{HERE}::test_the_first_example_needs_nothing_else"]),
    ("imap", "is like map: ends with the shortest input", [f"{STREAMS}::test_the_shortest_input_ends_the_stream"]),
    ("imap", "returns an iterator with methods and properties", [f"{HERE}::test_streams_are_iterators_that_count"]),
    ("imap", "one input for each argument", [f"{CALLS}::test_imap_gives_results_in_order_and_failures_among_them"]),
    ("imap", "has a type", ["test_streams_have_types"]),
    ("imap", "loadFactor is the most tasks a worker", [f"{STREAMS}::test_an_endless_input_is_read_no_further_than_its_load_factor_allows"]),
    ("imap", "ten by default (more while workers run out of tasks)", [f"{STREAMS}::test_by_default_it_is_read_ten_tasks_a_worker_ahead_and_further_only_while_results_are_waited_for"]),
    ("imap", "inputs may be endless", [f"{STREAMS}::test_an_endless_input_is_read_no_further_than_its_load_factor_allows"]),
    ("starmap", "each item has the arguments of a task", [f"{CALLS}::test_imap_gives_results_in_order_and_failures_among_them"]),
    ("starmap", "has a type", ["test_streams_have_types"]),
    ("starmap", "loadFactor as for imap", [f"{STREAMS}::test_an_endless_input_is_read_no_further_than_its_load_factor_allows"]),
    ("A.2.2", "eight exceptions under one", ["test_the_exceptions_that_the_guide_names"]),
]  # fmt: skip

ARTICLE: list[Fact] = [
    ("article", "it launches generic workers that wait for work", [f"{HERE}::test_workers_start_with_the_object_and_end_with_stop"]),
    ("article", "three, here: their host's name three times", [f"{SLEIGH}::test_the_defaults_are_as_documented"]),
    ("article", "eachWorker runs once in each, and returns a list", [f"{SLEIGH}::test_each_worker_runs_once_on_every_worker"]),
    ("article", "eachWorker prepares workers: imports, data", ["test_each_worker_prepares_for_later_tasks"]),
    ("article", "more tasks than workers, in order: cubes", ["test_a_table_of_cubes"]),
    ("article", "columns and a fixed argument", [f"{SLEIGH}::test_columns_fixed_arguments_and_permutation_work_as_documented"]),
    ("article", "and permutations of them", [f"{SLEIGH}::test_columns_fixed_arguments_and_permutation_work_as_documented"]),
    ("article", "a task goes to whoever is free", [f"{SLEIGH}::test_tasks_behind_a_long_one_are_given_to_who_is_free"]),
    ("article", "workers know the definitions of the function's module", ["test_pickle::test_the_functions_of_a_module_share_one_namespace_per_worker"]),
    ("article", "and what eachWorker defined before", ["test_sleigh_scripts::test_what_each_worker_defined_stays_visible_to_later_tasks"]),
    ("article", "workers keep their state between tasks", ["test_workers_keep_their_state_between_tasks"]),
    ("article", "eachElem waits by default", ["test_abs_of_ten_numbers"]),
    ("article", "or returns a SleighPending that tells of progress and results", ["test_a_program_does_something_else_meanwhile"]),
]  # fmt: skip


@pytest.mark.parametrize("fact", [*GUIDE, *ARTICLE], ids=lambda fact: f"{fact[0]}: {fact[1]}")
def test_a_fact_of_guide_or_article_has_its_test(fact: Fact) -> None:
    expect_tests(__file__, fact)


@pytest.fixture(scope="module")
def sleigh():
    with Sleigh(workerCount=2) as made:
        yield made


def add2(x, y):
    return x + y


def sub(x, y):
    return x - y


def test_as_many_workers_as_asked_for():
    with Sleigh(workerCount=8) as s:
        assert len(set(s.eachWorker(os.getpid))) == s.workerCount == 8


def test_local_is_the_default_by_name():
    with Sleigh(launch="local") as s:
        assert s.eachWorker(socket.gethostname) == [socket.gethostname()] * 3


def test_abs_of_ten_numbers(sleigh):
    assert sleigh.eachElem(abs, range(-10, 0)) == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]


@pytest.fixture
def held(sleigh):
    """Tasks that wait for a word in the user's workspace, of which each takes one."""

    def hold(x):
        return SleighUserNws.fetch("go") + x  # noqa: F821 (workers know it)

    # Both have joined and wait: who is alone when the first two tasks come has them both.
    sleigh.eachWorker(abs, 1)
    return hold


def tasks_in(sleigh):
    return sleigh.nws.listVars(format="dict")["tasks"][client.V_VALUES]


def test_tasks_are_values_in_the_workspace(sleigh, held):
    pending = sleigh.eachElem(held, range(10), blocking=False)
    # A worker that computes holds one: it is under way, and comes back if the worker dies.
    wait_until(lambda: tasks_in(sleigh) == 8, "each worker has taken a task")
    sleigh.userNws.storeMany("go", [100] * 10)
    assert pending.wait() == list(range(100, 110))
    assert tasks_in(sleigh) == 0


def test_a_load_factor_limits_the_values_in_the_workspace(sleigh, held):
    stream = sleigh.imap(held, range(1000), loadFactor=3)
    wait_until(lambda: tasks_in(sleigh) == 4, "each worker has taken one of three tasks")
    assert stream.submitted == 6
    sleigh.userNws.storeMany("go", [100] * 1000)
    for count, value in enumerate(stream):
        assert value == count + 100
        assert tasks_in(sleigh) <= 6


def test_two_lists_are_added_as_by_map(sleigh):
    expected = list(map(add2, range(10), range(10, 0, -1)))
    assert sleigh.eachElem(add2, [range(10), range(10, 0, -1)]) == expected
    many = sleigh.eachElem(add2, [range(1000), range(1000)], loadFactor=3)
    assert many == list(map(add2, range(1000), range(1000)))


def test_a_fixed_argument_is_that_of_every_task(sleigh):
    assert sleigh.eachElem(add2, range(10), 20) == list(map(add2, range(10), [20] * 10))


def test_a_permutation_reverses_the_arguments_of_sub(sleigh):
    assert sleigh.eachElem(sub, range(20), 20, argPermute=[1, 0]) == list(map(sub, [20] * 20, range(20)))


def test_a_program_does_something_else_meanwhile(sleigh):
    pending = sleigh.eachElem(add2, [range(20), range(20, 0, -1)], blocking=0)
    assert isinstance(pending, SleighPending)
    seen = [20]
    while pending.check() > 0:
        seen.append(pending.check())
    assert seen == sorted(seen, reverse=True)
    assert pending.wait() == [20] * 20


def test_workers_pass_messages(sleigh):
    def ring(start):
        SleighUserNws.store(f"to {(SleighRank + 1) % SleighWorkerCount}", start + SleighRank)  # noqa: F821
        return SleighUserNws.fetch(f"to {SleighRank}")  # noqa: F821

    assert sleigh.eachWorker(ring, 7) == [8, 7]


def test_streams_have_types(sleigh):
    for stream in (sleigh.imap, sleigh.starmap):
        items = [(1, 2), (3, 4)]
        inputs = [items] if stream == sleigh.starmap else list(zip(*items, strict=True))
        assert list(stream("SleighArguments", *inputs, type="eval")) == [[1, 2], [3, 4]]
        assert list(stream(operator.add, *inputs, type="invoke")) == [3, 7]
        with pytest.raises(SleighException, match="type"):
            stream("SleighArguments", *inputs, type="invoke")


def test_the_exceptions_that_the_guide_names():
    kinds = {kind.__name__ for kind in SleighException.__subclasses__()}
    assert kinds == {
        f"Sleigh{name}Exception"
        for name in ("Gathered", "IllegalValue", "Join", "Nws", "Occupied", "Script", "Stopped", "Task")
    }


def test_each_worker_prepares_for_later_tasks(sleigh):
    sleigh.eachWorker("import math\ntable = [math.sqrt(number) for number in range(10)]")
    assert sleigh.eachElem("table[SleighArguments[0]]", (4, 9)) == [2.0, 3.0]


def test_a_table_of_cubes(sleigh):
    cubes = sleigh.eachElem(lambda x: x * x * x, range(100))
    assert len(cubes) == 100
    assert cubes[2:5] == [8, 27, 64]


def test_workers_keep_their_state_between_tasks(sleigh):
    def count():
        global counted
        counted = globals().get("counted", 0) + 1
        return counted

    assert [sleigh.eachWorker(count) for _ in range(3)] == [[1, 1], [2, 2], [3, 3]]
