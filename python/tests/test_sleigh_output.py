"""What tasks write, log and warn of reaches the master, with the task that did it."""

import ctypes
import io
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest

from leftovers import wait_until
from nws.sleigh import Sleigh, SleighIllegalValueException, TaskOutput


@pytest.fixture(scope="module")
def sleigh():
    with Sleigh(workerCount=2, output="keep") as made:
        yield made


def by_print(i):
    print("out", i)
    print("err", i, file=sys.stderr)


def without_an_end(i):
    print("out", i, "\nerr"[:0], end="\n")
    sys.stderr.write(f"err {i}\n")


def by_descriptor(i):
    os.write(1, f"out {i}\n".encode())
    os.write(2, f"err {i}\n".encode())
    time.perf_counter() + sum(range(2000))


def by_a_child(i):
    subprocess.run(["sh", "-c", f"echo out {i}; echo err {i} > /dev/stderr"], check=True)


def by_a_forked_child(i):
    child = multiprocessing.get_context("fork").Process(target=by_print, args=(i,))
    child.start()
    child.join()


def by_c(i):
    library = ctypes.CDLL(None)
    library.printf(b"out %d\n", i)
    os.write(2, f"err {i}\n".encode())


def by_bytes(i):
    sys.stdout.buffer.write(f"out {i}\n".encode())
    print(f"err {i}", file=open(sys.stderr.fileno(), "w", closefd=False))


@pytest.mark.parametrize(
    "write", [by_print, without_an_end, by_descriptor, by_a_child, by_a_forked_child, by_c, by_bytes]
)
def test_output_is_kept_for_the_task_that_wrote_it_however_it_did(sleigh, write):
    count = 40 if write not in (by_a_child, by_a_forked_child) else 6
    sleigh.eachElem(write, range(count))
    for i in range(count):
        assert sleigh.output[i].stdout.replace(" \n", "\n") == f"out {i}\n"
        assert sleigh.output[i].stderr == f"err {i}\n"
    assert sorted(sleigh.output) == list(range(count))


def test_prints_of_thousands_of_short_tasks_are_told_apart(sleigh):
    sleigh.eachElem(lambda i: i % 3 or print(i), range(3000))
    assert {i: text.stdout for i, text in sleigh.output.items()} == {i: f"{i}\n" for i in range(0, 3000, 3)}


def test_what_has_no_end_of_line_is_kept_as_it_is_and_shown_with_one(sleigh, capfd):
    sleigh.eachElem(lambda i: print("no end", end=""), range(3))
    assert [sleigh.output[i].stdout for i in range(3)] == ["no end"] * 3
    with Sleigh(workerCount=1) as s:
        s.eachElem(lambda i: print("no end", end=""), range(2))
        assert capfd.readouterr().out == "no end\nno end\n"


def test_tasks_that_write_nothing_have_no_output_and_a_new_call_forgets_the_last(sleigh):
    sleigh.eachElem(by_print, range(3))
    assert len(sleigh.output) == 3
    sleigh.eachElem(abs, range(3))
    assert len(sleigh.output) == 0
    assert sleigh.output[1] == TaskOutput("", "")
    assert 1 not in sleigh.output
    assert dict(sleigh.output) == {}


def test_all_that_tasks_print_has_been_shown_when_the_call_returns(capfd):
    with Sleigh(workerCount=2) as s:
        for round_ in range(20):
            s.eachElem(lambda i, r: print("line", r, i), range(30), [round_])
            assert sorted(capfd.readouterr().out.splitlines()) == sorted(f"line {round_} {i}" for i in range(30))


def test_prints_are_shown_where_the_programs_own_prints_go(monkeypatch):
    shown = io.StringIO()
    with Sleigh(workerCount=1) as s:
        monkeypatch.setattr(sys, "stdout", shown)
        s.eachElem(by_print, range(2))
        monkeypatch.setattr(sys, "stdout", None)
        assert s.eachElem(by_print, range(2)) == [None, None]
    assert shown.getvalue() == "out 0\nout 1\n"


def test_lines_are_shown_with_worker_and_task_where_asked_for(capfd):
    with Sleigh(workerCount=1, output="prefix") as s:
        s.eachElem(lambda i: print(f"a{i}\nb{i}"), range(2))
    assert capfd.readouterr().out == "[0:0] a0\n[0:0] b0\n[0:1] a1\n[0:1] b1\n"


def test_kept_output_is_not_shown_and_inherited_output_is_not_kept(capfd):
    with Sleigh(workerCount=1, output="keep") as s:
        s.eachElem(by_print, [3])
        assert s.output[0].stdout == "out 3\n"
        assert capfd.readouterr() == ("", "")
    with Sleigh(workerCount=1, output="inherit") as s:
        s.eachElem(by_print, [3])
        assert len(s.output) == 0
    assert capfd.readouterr() == ("out 3\n", "err 3\n")


def test_a_task_that_goes_on_is_heard_meanwhile():
    with Sleigh(workerCount=1, output="keep") as s:
        pending = s.eachElem(lambda x: print("begun") or SleighUserNws.fetch("go"), [1], blocking=False)  # noqa: F821
        wait_until(lambda: pending.check() == 1 and s.output[0].stdout == "begun\n", "the task is heard")
        s.userNws.store("go", "gone")
        assert pending.wait() == ["gone"]


def test_only_so_much_of_a_tasks_output_is_kept_and_it_says_so():
    def flood(i):
        for _ in range(3000):
            print("x" * 99)
        return i

    with Sleigh(workerCount=1, output="keep", outputLimit=1000) as s:
        assert s.eachElem(flood, range(2)) == [0, 1]
        for i in range(2):
            text = s.output[i].stdout
            assert text.startswith("x" * 99)
            assert len(text) < 1200
            assert "299000 bytes more were left out, as the limit is 1000 a task" in text
        s.eachElem(lambda i: print("short"), [1])
        assert s.output[0].stdout == "short\n", "the limit is each task's own"


def test_memory_for_output_is_bounded(sleigh):
    sleigh.eachElem(lambda i: print("x" * 500_000), range(60), loadFactor=2)
    assert len(sleigh.output) < 60
    assert 59 in sleigh.output
    assert sum(len(text.stdout) for text in sleigh.output.values()) <= 16 << 20


def test_a_failed_task_tells_what_it_wrote(sleigh):
    def fail(i):
        print("on my way")
        raise KeyError(i)

    [bad] = sleigh.eachElem(fail, [1])
    assert bad.output == TaskOutput("on my way\n", "")
    assert "on my way" in str(bad)
    assert pickle.loads(pickle.dumps(bad)).output == bad.output


def test_what_a_task_wrote_before_it_died_is_not_lost(sleigh):
    def die(i, how):
        print("before", i)
        os.write(2, b"raw before\n")
        if i == 1:
            os.kill(os.getpid(), how)
        print("after", i)

    for how in (signal.SIGKILL, signal.SIGSEGV):
        bad = sleigh.eachElem(die, range(3), [how], retries=0)[1]
        assert bad.output.stdout == "before 1\n"
        assert bad.output.stderr.startswith("raw before\n")
        assert "raw before" in bad.stderr
        assert sleigh.output[2].stdout == "before 2\nafter 2\n"


def test_what_a_task_wrote_long_before_it_died_is_in_the_cause(sleigh):
    def die(i):
        print("early word", file=sys.stderr)
        SleighUserNws.fetch("die")  # noqa: F821
        os.abort()

    pending = sleigh.eachElem(die, [1], retries=0, blocking=False)
    wait_until(lambda: pending.check() == 1 and "early word" in sleigh.output[0].stderr, "the task is heard")
    sleigh.userNws.store("die", 1)
    [bad] = pending.wait()
    assert any("early word" in line for line in bad.stderr)
    assert bad.output.stderr.count("early word") == 1


def test_a_task_that_takes_too_long_tells_what_it_wrote(sleigh):
    [bad] = sleigh.eachElem(lambda x: print("waiting") or signal.pause(), [1], timeout=0.4)
    assert (bad.type, bad.output.stdout) == ("TimeoutError", "waiting\n")


def test_a_pipe_that_is_full_stops_nobody(sleigh):
    def many(i):
        def write():
            for _ in range(200):
                os.write(1, b"y" * 9999 + b"\n")

        threads = [threading.Thread(target=write) for _ in range(3)]
        [thread.start() for thread in threads]
        for _ in range(200):
            print("z" * 9999)
        [thread.join() for thread in threads]

    assert sleigh.eachElem(many, range(4)) == [None] * 4
    assert "left out" in sleigh.output[0].stdout


def fork_while_a_thread_writes(_):
    """Fork children that print and log, again and again while a thread writes faster than anybody reads."""
    begun = threading.Event()

    def write():
        begun.set()
        print("x" * 30_000_000)

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    ends = []
    while writer.is_alive() or not ends:
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            print("by a child")
            logging.getLogger("forked").error("logged by a child")
            warnings.warn("warned by a child", stacklevel=1)
            sys.stdout.flush()
            os._exit(0)
        ends.append(os.waitpid(child, 0)[1])
    print("last", end="")
    if os.fork() == 0:
        print(" and a child's")
        os._exit(0)
    os.wait()
    return ends


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_of_a_task_prints_and_logs_whatever_its_parent_was_about(caplog):
    with Sleigh(workerCount=1, output="keep") as s:
        [ends] = s.eachElem(fork_while_a_thread_writes, [0])
        assert set(ends) == {0}, "each child has come to its end by itself"
        assert "logged by a child" in s.output[0].stderr
        assert "warned by a child" in s.output[0].stderr


def test_each_worker_and_streams_keep_output_as_well(sleigh):
    sleigh.eachWorker("print(SleighRank)")
    assert [sleigh.output[rank].stdout for rank in range(2)] == ["0\n", "1\n"]
    assert list(sleigh.imap(by_print, range(5))) == [None] * 5
    assert sleigh.output[4].stdout == "out 4\n"


@pytest.mark.parametrize("options", [{"output": "loud"}, {"output": True}, {"outputLimit": -1}, {"outputLimit": "1"}])
def test_options_that_are_none_are_refused(options):
    with pytest.raises(SleighIllegalValueException, match=next(iter(options))):
        Sleigh(**options)


def logs(i):
    logger = logging.getLogger("work.inner")
    logger.debug("detail %d", i)
    logger.info("number %d", i, extra={"lock": threading.Lock(), "colour": "red"})
    try:
        raise KeyError("missing")
    except KeyError:
        logger.exception("went wrong")


def test_log_records_reach_the_masters_handlers_with_rank_and_task(sleigh, caplog):
    with caplog.at_level(logging.INFO):
        sleigh.eachElem(logs, range(3))
    numbers = [record for record in caplog.records if record.levelno == logging.INFO]
    assert sorted((record.sleighTask, record.getMessage()) for record in numbers) == [
        (i, f"number {i}") for i in range(3)
    ]
    assert {record.name for record in caplog.records} == {"work.inner"}
    assert all(record.sleighRank in (0, 1) and record.colour == "red" for record in numbers)
    assert numbers[0].funcName == "logs"
    wrong = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert all("KeyError: 'missing'" in record.exc_text for record in wrong)
    assert not any("detail" in record.getMessage() for record in caplog.records)


def test_levels_are_those_of_the_masters_loggers_at_each_call(sleigh, caplog):
    def enabled(i):
        return [logging.getLogger(name).isEnabledFor(logging.DEBUG) for name in ("work", "other")]

    with caplog.at_level(logging.DEBUG, "work"):
        assert sleigh.eachElem(enabled, [1]) == [[True, False]]
        sleigh.eachElem(lambda i: logging.getLogger("work").debug("detail"), [1])
        assert "detail" in caplog.text
    assert sleigh.eachElem(enabled, [1]) == [[False, False]]


def test_a_warning_is_shown_once_with_the_first_task_that_gave_it(sleigh):
    def careful(i):
        warnings.warn(f"careful {i % 2}", FutureWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        sleigh.eachElem(careful, range(20))
        sleigh.eachElem(careful, range(20))
    texts = [str(warning.message) for warning in seen]
    assert {text.partition(" (")[0] for text in texts} == {"careful 0", "careful 1"}
    assert len(texts) == 2
    assert all(" on worker " in text and "(in task " in text for text in texts)
    assert all(warning.category is FutureWarning and warning.filename == __file__ for warning in seen)


def test_a_filter_that_makes_errors_of_warnings_does_not_end_the_call(sleigh, recwarn):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sleigh.eachElem(lambda i: warnings.warn("strict", stacklevel=1), [1]) == [None]
