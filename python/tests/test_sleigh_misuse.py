"""What is said where a sleigh is used in a way that it cannot be."""

import pickle
import sys
import threading

import pytest

from leftovers import wait_until
from nws.sleigh import (
    Sleigh,
    SleighIllegalValueException,
    SleighNwsException,
    SleighPicklingException,
    SleighStoppedException,
)


@pytest.fixture(scope="module")
def sleigh():
    with Sleigh(workerCount=2) as made:
        yield made


IMPORTED = """
from nws.sleigh import Sleigh

def square(x):
    return x * x

sleigh = Sleigh(workerCount=1)
results = sleigh.eachElem(square, [1, 2])
"""


def test_a_module_that_makes_a_sleigh_when_it_is_imported_does_not_breed_workers(tmp_path, run_script):
    (tmp_path / "breeding.py").write_text(IMPORTED)
    printed = run_script("import breeding\nprint(*breeding.results, sep='\\n')")
    assert "module 'breeding' makes a Sleigh when it is imported" in printed


def test_a_task_may_make_a_sleigh_of_its_own(sleigh):
    def nested(n):
        from nws.sleigh import Sleigh

        with Sleigh(workerCount=1) as inner:
            return inner.eachElem(abs, range(-n, 0))

    assert sleigh.eachElem(nested, [2]) == [[2, 1]]


@pytest.mark.parametrize("name", ["loadFactor", "chunkSize", "retries"])
def test_a_count_that_is_too_large_is_refused(sleigh, name):
    with pytest.raises(SleighIllegalValueException, match=f"{name}: expected at most 2147483647, got 10{{30}}"):
        sleigh.eachElem(abs, [1], **{name: 10**30})


def test_too_many_workers_are_refused():
    with pytest.raises(SleighIllegalValueException, match="workerCount: expected at most 4096, got 4097"):
        Sleigh(workerCount=4097)


@pytest.mark.parametrize("template", ["ride", "ride_%s", "ride_%d_%d", "ride_%d_%s"])
def test_a_template_without_one_integer_is_refused(template):
    with pytest.raises(SleighIllegalValueException, match="wsNameTemplate: expected a format string with one integer"):
        Sleigh(wsNameTemplate=template)


def test_a_list_of_strings_is_explained_where_they_cannot_be_columns(sleigh):
    with pytest.raises(SleighIllegalValueException, match="for one column of strings pass a tuple"):
        sleigh.eachElem(len, ["one.txt", "eleven.txt"])
    with pytest.raises(SleighIllegalValueException) as raised:
        sleigh.eachElem(pow, [[1, 2], [3]])
    assert "strings" not in str(raised.value)


def test_what_cannot_be_pickled_is_found_among_the_fixed_arguments(sleigh):
    with pytest.raises(SleighPicklingException, match="fixed_args.*: item 1 of the list: _thread.lock"):
        sleigh.eachElem(max, [1], [2, threading.Lock()])


def test_a_sleigh_cannot_be_sent_to_its_workers(sleigh):
    with pytest.raises(SleighPicklingException, match="its workers belong to this process"):
        sleigh.eachElem(lambda x: sleigh, [1])
    with pytest.raises(TypeError, match="cannot pickle a Sleigh"):
        pickle.dumps(sleigh)


def test_an_error_without_a_message_is_told_by_its_type_alone(sleigh):
    (failed,) = sleigh.eachElem(lambda x: sys.exit(), [1])
    assert str(failed).splitlines()[0] == "SystemExit"


def test_a_call_that_goes_on_while_the_sleigh_is_stopped_says_so(tmp_path):
    begun = tmp_path / "begun"
    raised = []

    def call():
        try:
            sleigh.eachElem(lambda path: (path.touch(), threading.Event().wait()), (begun,))
        except Exception as error:
            raised.append(error)

    sleigh = Sleigh(workerCount=1)
    caller = threading.Thread(target=call)
    caller.start()
    wait_until(begun.exists, "the task begins")
    sleigh.stop()
    caller.join(20)
    assert [type(error) for error in raised] == [SleighStoppedException]
    assert "stopped while this call went on" in str(raised[0])


@pytest.mark.parametrize("name", ["tasks", "results"])
def test_a_call_whose_variables_somebody_deletes_does_not_wait_for_ever(name):
    def wait(x):
        SleighUserNws.store("begun", x)  # noqa: F821
        return SleighUserNws.find("go")  # noqa: F821

    with Sleigh(workerCount=2) as s:
        pending = s.eachElem(wait, range(100), blocking=False)
        [s.userNws.fetch("begun", timeout=50) for _ in range(2)]
        s.nws.deleteVar(name)
        if name == "tasks":
            s.userNws.store("go", True)
        with pytest.raises(SleighNwsException, match=f'deleted the variable "{name}"'):
            pending.wait()
        with pytest.raises(SleighNwsException, match=f'deleted the variable "{name}"'):
            s.eachElem(abs, [-1, -2])


def test_a_call_for_each_worker_whose_tasks_somebody_deletes_says_so():
    def wait(x):
        SleighUserNws.store("begun", SleighRank)  # noqa: F821
        return SleighUserNws.find("go")  # noqa: F821

    with Sleigh(workerCount=2) as s:
        pending = s.eachWorker(wait, 1, blocking=False)
        [s.userNws.fetch("begun", timeout=50) for _ in range(2)]
        s.nws.deleteVar("tasks of 1")
        s.userNws.store("go", True)
        with pytest.raises(SleighNwsException, match='deleted the variable "tasks of 1"'):
            pending.wait()
