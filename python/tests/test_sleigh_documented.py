"""What the reference of `nws.sleigh` states and no other file tests. See `test_sleigh_reference.py`."""

import importlib
import inspect
import math
import operator
import os
import socket
import sys
import threading

import pytest

from leftovers import wait_until
from nws import _namespace
from nws import sleigh as module
from nws.sleigh import (
    Sleigh,
    SleighException,
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


@pytest.fixture
def gate(tmp_path):
    """A gate for tasks: a function that passes it, and one that opens it for all until a thread has ended."""
    path = tmp_path / "gate"
    os.mkfifo(path)

    def open_until(over):
        def pass_one():
            if not over():
                try:
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                except OSError:
                    return False
            return over()

        wait_until(pass_one, "everybody has passed the gate")

    return str(path), open_until


def show(*arguments):
    return arguments


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


SIGNATURES = {
    Sleigh: {
        "__init__": "*deprecated, **options",
        "eachElem": "fun, elementArgs=[[]], fixedArgs=[]",
        "eachWorker": "fun, *workerArgs",
        "imap": "fun, *iterables",
        "starmap": "fun, iterable",
        "status": "closeGroup=False, timeout=0.0",
        "stop": "",
    },
    SleighPending: {"check": "", "wait": ""},
    SleighResultIterator: {"next": "", "shutdown": "", "stop": "", "__iter__": ""},
}
KEYWORDS = {
    "eachElem": {"type": None, "blocking": True, "argPermute": None, "loadFactor": None, "accumulator": None},
    "eachWorker": {"type": None, "blocking": True, "accumulator": None},
    "imap": {"type": None, "loadFactor": None},
    "starmap": {"type": None, "loadFactor": None},
}


@pytest.mark.parametrize(
    ("kind", "method", "documented"),
    [(kind, method, documented) for kind, methods in SIGNATURES.items() for method, documented in methods.items()],
)
def test_the_signatures_are_the_documented_ones(kind, method, documented):
    parameters = list(inspect.signature(getattr(kind, method)).parameters.values())[1:]
    shown = {inspect.Parameter.VAR_POSITIONAL: "*{}", inspect.Parameter.VAR_KEYWORD: "**{}"}
    positional = [
        shown.get(each.kind, "{}").format(each.name) + ("" if each.default is each.empty else f"={each.default!r}")
        for each in parameters
        if each.kind is not each.KEYWORD_ONLY
    ]
    assert ", ".join(positional) == documented
    keywords = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert KEYWORDS.get(method, {}).items() <= keywords.items()


def test_the_first_example_needs_nothing_else(run_script):
    expected = f"The answer is {[math.exp(number) for number in range(10)]}\n"
    program = """
from nws.sleigh import Sleigh
s = Sleigh()
import math
result = s.eachElem(math.exp, range(10))
print("The answer is", result)
"""
    assert run_script(program) == expected


def test_workers_start_with_the_object_and_end_with_stop():
    s = Sleigh(workerCount=2)
    assert s.status(timeout=50) == (2, True)
    pids = s.eachWorker(os.getpid)
    assert all(alive(pid) for pid in pids)
    s.stop()
    wait_until(lambda: not any(alive(pid) for pid in pids), "both workers have ended")


def test_stop_deletes_the_workspaces(nws_server, connect):
    server = connect()
    before = server.listWss("dict").keys()
    s = Sleigh(workerCount=1, nwsPort=nws_server.port)
    assert server.listWss("dict").keys() - before == {s.nws.currentWs(), s.userNws.currentWs()}
    s.stop()
    assert server.listWss("dict").keys() == before


@pytest.mark.parametrize("launch", ["web", operator.add, "ssh"])
def test_launchers_that_are_not_there_yet_are_refused_by_name(launch):
    with pytest.raises(SleighIllegalValueException, match="launch: expected 'local'"):
        Sleigh(launch=launch)


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """Makes a module in a folder of its own, which is on the path of this process."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def make(name):
        text = "class Adder:\n    def add(self, x):\n        return x + 1\n\n\ndef add(x):\n    return x + 1\n"
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        made.append(name)
        return importlib.import_module(name)

    yield make
    for name in made:
        sys.modules.pop(name, None)


def test_workers_import_the_module_of_a_function(outside):
    imported = outside("imported_by_workers")
    with Sleigh(workerCount=1) as s:
        assert s.eachElem(imported.add, (1,)) == [2]
        assert s.eachElem(imported.Adder().add, (1,)) == [2]
        assert s.eachWorker("'imported_by_workers' in __import__('sys').modules") == [True]


def test_tasks_of_a_module_that_workers_lack_fail_alone(outside, tmp_path, monkeypatch):
    lacking = outside("not_for_workers")
    # Found here, and gone where the workers look: as a module that only this machine has.
    monkeypatch.setitem(_namespace._importable, "not_for_workers", True)
    (tmp_path / "not_for_workers.py").unlink()
    with Sleigh(workerCount=1) as s:
        (failure,) = s.eachElem(lacking.Adder().add, (1,))
        assert failure.type == "ModuleNotFoundError"
        assert s.eachElem(show, (2,)) == [(2,)]


def test_white_space_before_an_expression_does_not_matter(sleigh):
    assert sleigh.eachElem("  \n\t SleighArguments[0] + 1", (1,)) == [2]
    assert sleigh.eachWorker("   1 + 1") == [2, 2]


def test_an_expression_sees_fixed_arguments_as_well(sleigh):
    assert sleigh.eachElem("SleighArguments", [[1, 2]], [8, 9]) == [[1, 8, 9], [2, 8, 9]]
    assert sleigh.eachElem("SleighArguments", [[1, 2]], [8], argPermute=[1, 0]) == [[8, 1], [8, 2]]


def test_the_default_type_follows_from_the_function(sleigh):
    assert sleigh.eachElem(abs, (-1,)) == sleigh.eachElem(abs, (-1,), type="invoke") == [1]
    assert sleigh.eachElem("a{}".format, ("b",)) == sleigh.eachElem("a{}".format, ("b",), type="invoke") == ["ab"]
    assert sleigh.eachElem("1 + 1", (0,)) == sleigh.eachElem("1 + 1", (0,), type="eval") == [2]


def test_the_load_factor_is_ignored_where_nobody_waits(sleigh, gate):
    path, open_until = gate
    taken = []

    def source():
        for number in range(50):
            taken.append(number)
            yield number

    pending = sleigh.eachElem(lambda x: open(path).read() + str(x), source(), blocking=False, loadFactor=1)
    assert len(taken) == 50
    assert pending.check() == 50
    open_until(lambda: pending.check() == 0)
    assert pending.wait() == [str(number) for number in range(50)]


def test_by_default_all_tasks_are_submitted_at_once(sleigh, gate):
    path, open_until = gate
    taken, answer = [], []

    def source():
        for number in range(500):
            taken.append(number)
            yield number

    def hold(x):
        return open(path).read() + str(x) if x < 2 else str(x)

    thread = threading.Thread(target=lambda: answer.append(sleigh.eachElem(hold, source())))
    thread.start()
    wait_until(lambda: len(taken) == 500, "all tasks were taken while the first have not ended")
    assert not answer
    open_until(lambda: not thread.is_alive())
    assert answer == [[str(number) for number in range(500)]]


def test_a_permutation_may_pass_more_or_fewer_arguments(sleigh):
    assert sleigh.eachElem(show, [[1], [2]], [3], argPermute=[1]) == [(2,)]
    assert sleigh.eachElem(show, [[1], [2]], [3], argPermute=[0, 2, 1, 0, 0]) == [(1, 3, 2, 1, 1)]


def test_a_permutation_of_all_arguments_in_order_is_the_default(sleigh):
    columns, fixed = [[1, 2], [3, 4]], [5, 6]
    in_order = range(len(columns) + len(fixed))
    assert sleigh.eachElem(show, columns, fixed, argPermute=in_order) == sleigh.eachElem(show, columns, fixed)


def test_permutations_reverse_and_interleave(sleigh):
    permutation = list(range(3))
    permutation.reverse()
    assert sleigh.eachElem(show, [[1], [2]], [3], argPermute=permutation) == [(3, 2, 1)]
    assert sleigh.eachElem(show, [["fixed"], [2]], [3], argPermute=[1, 2, 0]) == [(2, 3, "fixed")]


def test_an_accumulator_is_called_before_the_last_task_has_ended(sleigh, gate):
    path, open_until = gate
    come = []

    def take(values, indexes):
        come.extend(zip(indexes, values, strict=True))

    def hold(x):
        return open(path).read() or "held" if x == 1 else x

    thread = threading.Thread(target=lambda: sleigh.eachElem(hold, range(2), accumulator=take, chunkSize=1))
    thread.start()
    wait_until(lambda: come == [(0, 0)], "the result of the first task has come")
    open_until(lambda: not thread.is_alive())
    assert come == [(0, 0), (1, "held")]


def test_a_bound_method_may_accumulate(sleigh):
    class Total:
        def __init__(self):
            self.sum = 0

        def add(self, values, indexes):
            self.sum += sum(values)

    total = Total()
    assert sleigh.eachElem(abs, range(-100, 0), accumulator=total.add) is None
    assert total.sum == 5050


def test_each_worker_takes_functions_methods_and_expressions(sleigh):
    assert sleigh.eachWorker(os.getpid) == sleigh.eachWorker("__import__('os').getpid()")
    assert sleigh.eachWorker(pow, 2, 5) == [32, 32]
    assert sleigh.eachWorker("{}-{}".format, 1, 2) == ["1-2"] * 2
    assert sleigh.eachWorker("SleighArguments", 1, "b") == [[1, "b"]] * 2


def test_the_master_talks_with_workers_that_run(sleigh):
    def answer():
        question = SleighUserNws.fetch(f"question {SleighRank}")  # noqa: F821 (workers know it)
        SleighUserNws.store("answers", question * 2)  # noqa: F821
        return socket.gethostname()

    pending = sleigh.eachWorker(answer, blocking=False)
    assert isinstance(pending, SleighPending)
    with pytest.raises(SleighOccupiedException):
        sleigh.eachWorker(os.getpid)
    for rank in range(2):
        sleigh.userNws.store(f"question {rank}", rank + 1)
    assert {sleigh.userNws.fetch("answers", timeout=50) for _ in range(2)} == {2, 4}
    assert pending.wait() == [socket.gethostname()] * 2


def test_the_exceptions_are_one_family_and_can_be_shown():
    for name in module.__all__:
        kind = getattr(module, name)
        if name.endswith("Exception"):
            assert issubclass(kind, SleighException)
            assert kind.__module__ == "nws.sleigh"
            assert str(kind("why")) == "why"
            assert repr(kind("why")) == f"{name}('why')"


def test_streams_are_iterators_that_count(sleigh):
    rows = [(number,) for number in range(-7, 0)]
    for start in (lambda: sleigh.imap(abs, range(-7, 0)), lambda: sleigh.starmap(abs, rows)):
        stream = start()
        assert isinstance(stream, SleighResultIterator)
        assert iter(stream) is stream
        assert (stream.returned, stream.submitted, stream.stopped) == (0, 7, False)
        assert [next(stream), stream.next()] == [7, 6]
        assert (stream.returned, stream.submitted, stream.stopped) == (2, 7, False)
        assert stream.buffered <= 5
        assert str(stream).startswith("SleighResultIterator: 2 returned")
        assert list(stream) == [5, 4, 3, 2, 1]
        assert (stream.returned, stream.submitted, stream.stopped, stream.buffered) == (7, 7, True, 0)
    failures = list(sleigh.imap("1 / SleighArguments[0]", [0, 1]))
    assert isinstance(failures[0], SleighTaskException)
    assert failures[1] == 1
