"""Connections of the user's own kind, and `Connection_subprocess` by itself."""

import os
import pickle
import queue
import signal
import threading

import pytest

from leftovers import wait_for_none, wait_until
from nws.spread_jobs import (
    CannotCreateConnection,
    Connection,
    Connection_subprocess,
    NoResponse,
    PastPerformance,
    RemoteException,
    TooBusy,
    main,
    notComputed,
    workers_c,
)
from spread_workers import SQUARES, script, serving

# What is told of commands, as that one is given up, is beside the point where no test looks for it.
pytestmark = [pytest.mark.usefixtures("mark"), pytest.mark.filterwarnings("ignore:spread_jobs:RuntimeWarning")]


class Own(Connection_subprocess):
    """One of the user's, as `main` treats no other kind than the very class itself in its own way."""


class Local(Connection):
    """No process at all. The first argument says how it behaves."""

    def __init__(self, arglist):
        super().__init__(arglist)
        if arglist[0] == "never":
            raise CannotCreateConnection("it is never there")
        self.sent, self.answers, self.count = [], [], 0

    def send(self, todo):
        self.sent.append(todo)

    def get(self):
        self.count += 1
        task = self.sent[-1]
        match self.arglist[0]:
            case "busy" if self.count % 10:
                return TooBusy(0.01), None, None
            case "dies" if self.count == 5:
                raise NoResponse("it is gone")
            case "always dies":
                raise OSError("the line is cut")
            case "fails" if task == 3:
                return RemoteException("no", 3), ["out\n"], ["err\n"]
            case "junk":
                return [1]
        return task * task, ["did it"] if self.arglist[0] == "tells" else None, None

    def close(self):
        self.answers.append("closed")

    def wait(self):
        return [f"{len(self.sent)} things\n"]

    def performance_key(self):
        return ("machine", self.arglist[0])


def test_a_subprocess_is_sent_to_got_from_closed_and_waited_for():
    connection = Connection_subprocess(script("""
        try:
            while True:
                pickle.dump((pickle.load(sys.stdin.buffer) + 1, ["a"], None), sys.stdout.buffer)
                sys.stdout.flush()
        except EOFError:
            print("last")
            print("line")
    """))  # fmt: skip
    for task in (1, 2):
        connection.send(task)
        assert connection.get() == (task + 1, ["a"], None)
    connection.close()
    assert connection.wait() == ["last\n", "line\n"]


def test_a_subprocess_that_cannot_be_started_or_ends_is_told():
    with pytest.raises(CannotCreateConnection, match="no such program"):
        Connection_subprocess(["no-such-program-anywhere"])
    connection = Connection_subprocess(serving("os._exit(5)"))
    connection.send(1)
    with pytest.raises(NoResponse, match="exit code 5"):
        connection.get()
    with pytest.raises(NoResponse, match="exit code 5"):
        connection.send(1)
    connection.close()
    assert connection.wait() == []
    for junk, told in (("print('hello'); sys.stdout.flush(); time.sleep(999)", "cannot be unpickled"), ("pickle.dump(3, sys.stdout.buffer); sys.stdout.flush(); time.sleep(999)", "tuple of 3 items, got 3")):  # fmt: skip # noqa: E501
        connection = Connection_subprocess(script(junk))
        with pytest.raises(NoResponse, match=told):
            connection.get()
        connection.close()
        connection.wait()
    connection = Connection_subprocess(["sleep", "1000"])
    connection.kill()
    connection.close()
    assert connection.wait() == []


def test_a_subprocess_outlives_no_forgotten_program(run_script, mark):
    program = """
        from nws.spread_jobs import Connection_subprocess
        connection = Connection_subprocess(["sleep", "1000"])
        print("made")
    """
    import textwrap

    assert run_script("import warnings; warnings.simplefilter('ignore')\n" + textwrap.dedent(program)) == "made\n"
    wait_for_none(mark)


@pytest.mark.parametrize("factory", [Connection_subprocess, Own])
def test_subprocesses_do_the_same_either_way(factory):
    results, tails = main(range(30), [SQUARES] * 3, factory, past_performance=None)
    assert (results, tails) == ([x * x for x in range(30)], [[]] * 3)
    assert main([], [["echo", "a"], ["true"]], factory) == ([], [["a\n"], []])
    with pytest.raises(RemoteException) as raised:
        main([0], [serving("return 1 / x")], factory)
    assert (raised.value.index, raised.value.args[0]) == (0, "ZeroDivisionError")
    with pytest.raises(NoResponse, match="exit code 7"):
        main([1, 2], [script("sys.exit(7)")] * 2, factory)
    with pytest.warns(RuntimeWarning, match="no such program"):
        assert main([2], [["no-such-program-anywhere"], SQUARES], factory)[0] == [4]
    with pytest.warns(RuntimeWarning), pytest.raises(CannotCreateConnection, match="no such program"):
        main([2], [["no-such-program-anywhere"]], factory)


@pytest.mark.parametrize("factory", [Connection_subprocess, Own])
def test_workers_that_die_are_started_again_either_way(factory):
    dying = serving("""
        state["n"] = state.get("n", 0) + 1
        if state["n"] == 10:
            os.kill(os.getpid(), 9)
        return x
    """)
    assert main(range(60), [dying, dying], factory)[0] == list(range(60))


def test_connections_may_be_of_any_kind(capfd):
    told = []
    results, tails = main(
        range(50),
        [["well"], ["busy"], ["dies"], ["tells"]],
        Local,
        stdin=["first"],
        timing_callback=lambda start, end: told.append(end - start),
        past_performance=None,
    )
    assert results == [x * x for x in range(50)]
    assert len(told) >= 50 and min(told) >= 0
    assert all(len(lines) == 1 and lines[0].endswith("things\n") for lines in tails)
    assert set(capfd.readouterr().out.splitlines()) <= {"did it"}


def test_failures_of_connections_are_the_same_errors():
    with pytest.raises(RemoteException) as raised:
        main(range(9), [["fails"]], Local)
    assert (raised.value.index, raised.value.stdout, raised.value.stderr) == (3, ["out\n"], ["err\n"])
    assert raised.value.results[:4] == [0, 1, 4, notComputed]
    with pytest.raises(NoResponse, match="OSError: the line is cut") as raised:
        main(range(9), [["always dies"], ["junk"]], Local)
    assert dict((args[0], text) for args, text in raised.value.ends)["junk"].startswith("expected a tuple of 3")
    with pytest.warns(RuntimeWarning, match="it is never there"):
        assert main([3], [["never"], ["well"]], Local)[0] == [9]
    with pytest.warns(RuntimeWarning), pytest.raises(CannotCreateConnection, match="it is never there"):
        main([], [["never"]], Local)
    with pytest.raises(ValueError, match="your connections have their own"):
        main([], [["well"]], Local, timeout=3)


def test_a_machine_may_be_what_is_remembered():
    memory = PastPerformance()
    main(range(9), [["well", "a"], ["well", "b"]], Local, past_performance=memory)
    assert list(memory) == [("machine", "well")]
    assert memory[("machine", "well")][0] == 9


def test_a_group_of_workers_takes_from_one_queue_and_puts_on_another():
    iqueue, oqueue = queue.Queue(), queue.Queue()
    told = []
    workers = workers_c(Local, [["well"], ["busy"]], iqueue, oqueue, tail_callback=lambda *tail: told.append(tail))
    assert len(workers) == 2
    for pair in enumerate(range(20)):
        iqueue.put(pair)
    assert {(done.task, done.value) for done in (oqueue.get(timeout=20) for _ in range(20))} == {(x, x * x) for x in range(20)}  # fmt: skip # noqa: E501
    workers.close()
    assert [len(lines) for lines in workers.join()] == [1, 1]
    assert len(told) == 2


def test_what_a_group_cannot_do_is_told_on_the_queue():
    iqueue, oqueue = queue.Queue(), queue.Queue()
    iqueue.put((0, 1))
    workers = workers_c(Local, [["always dies"], ["never"]], iqueue, oqueue)
    gone = {came.worker: came for came in (oqueue.get(timeout=20), oqueue.get(timeout=20))}
    assert gone[0].started and "the line is cut" in gone[0].message
    assert not gone[1].started and "never there" in gone[1].message
    assert iqueue.get(timeout=20) == (0, 1), "the task is put back"
    workers.join()


def test_control_c_ends_connections_of_the_users_own(mark):
    main_thread = threading.main_thread().ident

    def interrupt(start, end):
        signal.pthread_kill(main_thread, signal.SIGINT)

    body = "time.sleep(999 * bool(x)); return x"
    with pytest.raises(KeyboardInterrupt):
        main([1, 1, 0], [serving(body)] * 3, Own, timing_callback=interrupt)
    wait_for_none(mark)


def test_a_forked_copy_can_have_connections_of_its_own():
    connection = Connection_subprocess(SQUARES)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            own = Connection_subprocess(SQUARES)
            own.send(3)
            code = 0 if own.get()[0] == 9 else 2
            own.close()
            own.wait()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    connection.send(4)
    assert connection.get()[0] == 16
    connection.close()
    assert connection.wait() == []
    assert pickle.loads(pickle.dumps(TooBusy(2))).delay == 2


class Cut(Connection):
    """One that fails at one point; each of its methods is one."""

    def __init__(self, arglist):
        super().__init__(arglist)
        self.fail("init")

    def fail(self, point):
        if point in self.arglist:
            raise ValueError(f"{point} is cut")

    def send(self, todo):
        self.fail("send")
        self.todo = todo

    def get(self):
        self.fail("get")
        return self.todo, None, None

    def close(self):
        self.fail("close")

    def wait(self):
        self.fail("wait")
        return []

    def kill(self):
        self.fail("kill")

    def performance_key(self):
        self.fail("key")
        return "one"


@pytest.mark.parametrize("points", [["key"], ["send"], ["get"], ["get", "kill"], ["send", "kill"]])
def test_a_connection_that_fails_anywhere_before_its_answer_is_told(points):
    with pytest.raises(NoResponse, match=f"{points[0]} is cut"):
        main([1], [points], Cut, stdin=["first"], past_performance=None)


def test_a_connection_that_cannot_be_made_for_whatever_reason_is_left_out():
    with pytest.warns(RuntimeWarning, match="init is cut"):
        assert main([1], [["init"], ["well"]], Cut, past_performance=None)[0] == [1]
    with pytest.warns(RuntimeWarning), pytest.raises(CannotCreateConnection, match="init is cut"):
        main([1], [["init"]], Cut, past_performance=None)


@pytest.mark.parametrize("points", [["close"], ["wait"], ["wait", "kill"]])
def test_a_connection_that_fails_at_its_end_costs_its_tail_only(points):
    with pytest.warns(RuntimeWarning, match=f"no last lines.*{points[0]} is cut"):
        assert main([1], [points], Cut, past_performance=None) == ([1], [[]])


def test_a_task_that_is_put_back_after_the_close_is_done_all_the_same():
    closed = threading.Event()
    moods = iter(["busy", "dies", "junk", "well"])

    class Moody(Local):
        def get(self):
            assert closed.wait(20)
            mood = next(moods)
            if mood == "dies":
                raise NoResponse("it is gone")
            return {"busy": (TooBusy(0.01), None, None), "junk": [1]}.get(mood, (self.sent[-1], None, None))

    for count in (1, 3):
        closed.clear()
        moods = iter(["busy", "dies", "junk", "well"])
        iqueue, oqueue = queue.Queue(), queue.Queue()
        iqueue.put((0, "task"))
        workers = workers_c(Moody, [["a"]] * count, iqueue, oqueue)
        workers.close()
        closed.set()
        workers.join()
        assert (oqueue.get_nowait(), oqueue.qsize()) == ((0, "task"), 0)


def test_a_forgotten_subprocess_is_ended_and_its_descriptors_are_closed(mark):
    keep = Connection_subprocess(SQUARES)

    def pipes():
        # That of the listing itself is gone again.
        links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        return sum(os.readlink(link).startswith("pipe:") for link in links if os.path.lexists(link))

    before = pipes()
    for _ in range(3):
        forgotten = Connection_subprocess(["sleep", "1000"])
        del forgotten
    wait_until(lambda: pipes() <= before, "their descriptors are closed")
    keep.send(3)
    assert keep.get()[0] == 9
    keep.close()
    assert keep.wait() == []
    wait_for_none(mark)
    with pytest.raises(NoResponse):
        keep.get()
