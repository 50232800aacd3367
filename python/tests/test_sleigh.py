import functools
import math
import operator
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from leftovers import wait_until
from nws.sleigh import (
    Sleigh,
    SleighException,
    SleighIllegalValueException,
    SleighNwsException,
    SleighOccupiedException,
    SleighPicklingException,
    SleighStoppedException,
    SleighTaskException,
)


@pytest.fixture(scope="module")
def sleigh():
    with Sleigh(workerCount=2) as made:
        yield made


def cube(x):
    return x**3


class Account:
    def __init__(self, balance):
        self.balance = balance

    def plus(self, amount):
        return self.balance + amount

    @classmethod
    def name(cls, x):
        return f"{cls.__name__} {x}"

    @staticmethod
    def twice(x):
        return 2 * x


def test_results_come_in_order(sleigh):
    assert sleigh.eachElem(cube, range(1000)) == [x**3 for x in range(1000)]


def test_no_elements_give_no_results(sleigh):
    assert sleigh.eachElem(cube, []) == []
    assert sleigh.eachElem(cube) == []


@pytest.mark.parametrize(
    ("fun", "argument", "expected"),
    [
        (cube, 3, 27),
        (abs, -3, 3),
        (math.exp, 0, 1.0),
        (lambda x: x + 1, 1, 2),
        (Account(5).plus, 2, 7),
        (Account.name, 1, "Account 1"),
        (Account.twice, 4, 8),
        (functools.partial(operator.add, 10), 1, 11),
        ("a{}".format, "b", "ab"),
        (int, "12", 12),
        (operator.itemgetter(1), "xy", "y"),
    ],
)
def test_all_kinds_of_functions_travel(sleigh, fun, argument, expected):
    assert sleigh.eachElem(fun, (argument,)) == [expected]


def test_a_closure_takes_what_it_closed_over(sleigh):
    base = [1, 2, 3]

    def add(x):
        return sum(base) + x

    assert sleigh.eachElem(add, range(3)) == [6, 7, 8]


def test_a_recursive_closure_travels(sleigh):
    def factorial(n):
        return 1 if n < 2 else n * factorial(n - 1)

    assert sleigh.eachElem(factorial, range(1, 6)) == [1, 2, 6, 24, 120]


def test_columns_fixed_arguments_and_permutation_work_as_documented(sleigh):
    def show(*arguments):
        return arguments

    assert sleigh.eachElem(show, [[1, 2, 3], [11, 12, 13]], [99]) == [(1, 11, 99), (2, 12, 99), (3, 13, 99)]
    assert sleigh.eachElem(operator.sub, range(3), 20, argPermute=[1, 0]) == [20, 19, 18]
    assert sleigh.eachElem(show, [[1], [2]], [3], argPermute=[2, 0, 1]) == [(3, 1, 2)]
    assert sleigh.eachElem(show, [[1, 2]], argPermute=[]) == [(), ()]
    assert sleigh.eachElem(show, ["ab", "cd"]) == [("a", "c"), ("b", "d")]
    assert sleigh.eachElem(show, ([1, 2], [3, 4])) == [([1, 2],), ([3, 4],)]
    assert sleigh.eachElem(show, range(1), (5, 6)) == [(0, (5, 6))]


@pytest.mark.parametrize("options", [{"loadFactor": 1}, {"loadFactor": 3}, {"chunkSize": 1}, {"chunkSize": 50}])
def test_load_factor_and_chunk_size_do_not_change_results(sleigh, options):
    assert sleigh.eachElem(cube, range(500), **options) == [x**3 for x in range(500)]


def test_load_factor_bounds_what_is_taken_from_the_input(sleigh, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    taken = []

    def source():
        for number in range(40):
            taken.append(number)
            yield number

    def wait(x):
        return open(gate).read() if x < 4 else x

    answer = []
    thread = threading.Thread(target=lambda: answer.append(sleigh.eachElem(wait, source(), loadFactor=2)))
    thread.start()
    try:
        wait_until(lambda: len(taken) >= 4, "two tasks for each of two workers were taken")
        assert len(taken) == 4
    finally:
        # Both workers open the gate for reading, one after the other or at once.
        while thread.is_alive():
            try:
                os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                thread.join(0.01)
    assert answer == [["", "", "", "", *range(4, 40)]]
    assert taken == list(range(40))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        2**70,
        -(2**63),
        0.1,
        float("inf"),
        "text \u20ac \ud800",
        b"\x00\xff",
        (1, ("a", None)),
        [1, {"a": {2}}],
        {"k": (1, 2)},
        1 + 2j,
        Path("/tmp"),
    ],
    ids=repr,
)
def test_arguments_and_results_come_back_as_they_were(sleigh, value):
    [back] = sleigh.eachElem(lambda x: x, (value,))
    assert back == value
    assert type(back) is type(value)


def test_arrays_travel(sleigh):
    numpy = pytest.importorskip("numpy")
    big = numpy.arange(500_000, dtype=float)
    results = sleigh.eachElem(lambda a: a * 2, (big, big + 1))
    assert (results[0] == big * 2).all()
    assert (results[1] == big * 2 + 2).all()


def test_a_task_that_raises_leaves_an_exception_in_its_place(sleigh):
    def inverse(x):
        return 1 / x

    good, bad, also_good = sleigh.eachElem(inverse, (1, 0, 2))
    assert (good, also_good) == (1.0, 0.5)
    assert isinstance(bad, SleighTaskException)
    assert bad.type == "ZeroDivisionError"
    assert bad.message == "division by zero"
    assert "in inverse" in bad.traceback
    assert "nws/_worker" not in bad.traceback
    assert bad.index == 1
    assert bad.rank in (0, 1)
    assert "ZeroDivisionError: division by zero" in str(bad)


def test_an_exception_with_a_broken_message_is_still_told(sleigh):
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("no")

    def fail(x):
        raise Broken

    [bad] = sleigh.eachElem(fail, (1,))
    assert isinstance(bad, SleighTaskException)
    assert "Broken" in bad.type


@pytest.mark.parametrize(
    ("fun", "kind"),
    [
        (lambda x: sys.exit(3), "SystemExit"),
        (lambda x: threading.Lock(), "TypeError"),
        (lambda x: (yield x), "TypeError"),
        (lambda: 1, "TypeError"),
    ],
)
def test_exits_and_results_that_cannot_be_pickled_are_failures_of_the_task_alone(sleigh, fun, kind):
    before = sleigh.eachWorker(os.getpid)
    [bad] = sleigh.eachElem(fun, (1,))
    assert isinstance(bad, SleighTaskException)
    assert bad.type.endswith(kind)
    assert sleigh.eachWorker(os.getpid) == before


def test_a_result_that_cannot_be_pickled_is_named_as_such_and_long_messages_are_cut(sleigh):
    def fail(x):
        raise ValueError("a" * 1_000_000 + "z")

    [result, long] = sleigh.eachElem(lambda x: x(), (threading.Lock, lambda: fail(1)))
    assert result.message.startswith("the task's result cannot be pickled: ")
    assert len(long.message) < 200_000
    assert long.message.startswith("aaa")
    assert long.message.endswith("z")


def test_a_keyboard_interrupt_of_a_task_is_its_own(sleigh):
    def interrupt(x):
        raise KeyboardInterrupt

    [bad] = sleigh.eachElem(interrupt, (1,))
    assert bad.type == "KeyboardInterrupt"


def test_a_failure_can_be_pickled():
    import pickle

    bad = SleighTaskException("m", type="T", traceback="t", index=3, rank=1, deaths=2, cause={"signal": 9})
    back = pickle.loads(pickle.dumps(bad))
    assert (back.type, back.message, back.index, back.signal, str(back)) == ("T", "m", 3, 9, str(bad))


def test_an_argument_that_cannot_be_pickled_raises_in_the_call_and_is_named(sleigh):
    with pytest.raises(SleighPicklingException, match=r"task 2.*lock") as caught:
        sleigh.eachElem(id, (1, 2, {"guard": threading.Lock()}))
    assert "guard" in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert sleigh.eachElem(cube, range(3)) == [0, 1, 8], "the sleigh goes on"


def test_a_function_that_cannot_be_pickled_raises_in_the_call_and_is_named(sleigh):
    lock = threading.Lock()

    def guarded(x):
        with lock:
            return x

    with pytest.raises(SleighPicklingException, match=r"guarded.*lock"):
        sleigh.eachElem(guarded, range(3))


def test_an_input_that_raises_gives_the_run_up(sleigh):
    def source():
        yield from range(100)
        raise LookupError("the end of the file")

    with pytest.raises(LookupError, match="the end of the file"):
        sleigh.eachElem(cube, source())
    assert sleigh.eachElem(cube, range(50)) == [x**3 for x in range(50)]


def test_each_worker_runs_once_on_every_worker(sleigh):
    pids = sleigh.eachWorker(os.getpid)
    assert len(set(pids)) == 2
    assert os.getpid() not in pids
    assert sleigh.eachWorker(operator.add, 1, 2) == [3, 3]


def test_the_defaults_are_as_documented():
    with Sleigh() as s:
        assert s.workerCount == 3
        hosts = s.eachWorker(socket.gethostname)
    assert hosts == [socket.gethostname()] * 3


def test_a_stopped_sleigh_says_so():
    s = Sleigh(workerCount=1)
    assert "sleigh_ride_" in str(s)
    s.stop()
    s.stop()
    assert "stopped" in str(s)
    with pytest.raises(SleighStoppedException):
        s.eachElem(cube, range(3))


def test_a_busy_sleigh_refuses_a_second_call(sleigh, tmp_path):
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    thread = threading.Thread(target=sleigh.eachElem, args=(lambda path: Path(path).read_text(), (str(fifo),)))
    thread.start()
    try:
        with open(fifo, "w"), pytest.raises(SleighOccupiedException):
            sleigh.eachElem(cube, range(3))
    finally:
        thread.join(30)
    assert not thread.is_alive()


def test_a_sleigh_of_the_parent_is_refused_in_a_forked_child(sleigh):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            sleigh.eachElem(cube, range(3))
        except SleighNwsException as error:
            code = 0 if "fork" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert sleigh.eachElem(cube, range(3)) == [0, 1, 8]


def test_an_error_is_told_for_no_server_at_the_named_address(free_port):
    with pytest.raises(SleighNwsException, match=str(free_port)) as caught:
        Sleigh(workerCount=1, nwsHost="localhost", nwsPort=free_port)
    assert "nws serve" in str(caught.value)


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False), (None, False)])
def test_a_progress_bar_counts_the_tasks_where_it_is_asked_for(capfd, progress, shown):
    with Sleigh(workerCount=1, progress=progress) as s:
        assert s.eachElem(abs, range(-7, 0)) == list(range(7, 0, -1))
    assert ("7/7" in capfd.readouterr().err) is shown


def test_unknown_options_and_wrong_values_are_refused_before_anything_starts():
    with pytest.raises(TypeError, match="workerCount"):
        Sleigh(workercount=2)
    with pytest.raises(SleighIllegalValueException, match="workerCount"):
        Sleigh(workerCount=0)
    assert issubclass(SleighIllegalValueException, SleighException)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"loadFactor": 0}, SleighIllegalValueException),
        ({"chunkSize": -1}, SleighIllegalValueException),
        ({"argPermute": [5]}, SleighIllegalValueException),
        ({"retries": -1}, SleighIllegalValueException),
        ({"no_such": 1}, TypeError),
    ],
)
def test_wrong_arguments_of_a_call_are_refused(sleigh, bad, kind):
    with pytest.raises(kind):
        sleigh.eachElem(cube, range(3), **bad)
    with pytest.raises(TypeError, match="a function or an expression"):
        sleigh.eachElem(7, range(3))
    assert sleigh.eachElem(cube, range(3)) == [0, 1, 8]


def test_a_worker_whose_python_lacks_the_package_is_told(tmp_path):
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(SleighNwsException, match="No module named 'nws'"), Sleigh(workerCount=1, python=str(bare)) as s:
        s.eachElem(cube, range(3))


def test_a_python_that_is_not_there_is_told():
    with (
        pytest.raises(SleighNwsException, match="/no/such/python"),
        Sleigh(workerCount=1, python="/no/such/python") as s,
    ):
        s.eachElem(cube, range(3))


def test_two_sleighs_live_side_by_side():
    with Sleigh(workerCount=1) as a, Sleigh(workerCount=1) as b:
        assert a.eachElem(cube, range(5)) == b.eachElem(cube, range(5))
        assert a.eachWorker(os.getpid) != b.eachWorker(os.getpid)


def test_as_many_tasks_as_workers_run_side_by_side(sleigh, tmp_path):
    def meet(x):
        (tmp_path / str(x)).touch()
        partner = tmp_path / str(x ^ 1)
        while not partner.exists():
            os.sched_yield()
        return os.getpid()

    for first in range(0, 20, 2):
        assert len(set(sleigh.eachElem(meet, (first, first + 1)))) == 2
        sleigh.eachElem(abs, range(-100, 0))


def test_tasks_behind_a_long_one_are_given_to_who_is_free(sleigh, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    folder = tmp_path / "done"
    folder.mkdir()

    def work(x):
        if x == 40:
            return open(gate).read()
        (folder / str(x)).touch()
        return x

    answer = []
    thread = threading.Thread(target=lambda: answer.append(sleigh.eachElem(work, range(200))))
    thread.start()
    try:
        wait_until(lambda: len(list(folder.iterdir())) == 199, "all tasks but the one at the gate are done")
        assert not answer
    finally:
        with open(gate, "w"):
            pass
        thread.join(30)
    assert [x for x in answer[0] if x != ""] == [x for x in range(200) if x != 40]


def _interrupt():
    raise KeyboardInterrupt


class InterruptsWhoReadsIt:
    def __reduce__(self):
        return _interrupt, ()


def test_ctrl_c_while_a_result_is_read_ends_the_call(sleigh):
    def work(x):
        return InterruptsWhoReadsIt() if x == 1 else x

    with pytest.raises(KeyboardInterrupt):
        sleigh.eachElem(work, [[0, 1, 2]])
    assert sleigh.eachElem(abs, [[-1]]) == [1]
