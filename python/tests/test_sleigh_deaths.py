"""What dies, and what follows: every process of a sleigh, by every way, must leave a right answer and nothing else."""

import os
import random
import select
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from leftovers import MARK, marked, wait_for_none, wait_until
from nws.sleigh import Sleigh, SleighNwsException, SleighTaskException


@pytest.fixture
def mark(monkeypatch, tmp_path_factory):
    """Mark all processes that a test starts, give them a runtime folder of their own, and let none survive it."""
    text = uuid.uuid4().hex
    # A socket's path has at most 107 bytes, so the folder must not be deep.
    folder = Path("/tmp") / f"nws-test-{text[:12]}"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv(MARK, text)
    monkeypatch.setenv("NWS_RUNTIME_DIR", str(folder))
    yield text
    wait_for_none(text)
    left = [str(path) for path in folder.rglob("*") if not path.is_dir() or path.parent.name == "servers"]
    subprocess.run(["rm", "-r", str(folder)], check=True)
    assert not left, "files left in the runtime folder"


def die_once(path, how):
    """Die of a signal the first time, come back the second."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "alive"
    os.kill(os.getpid(), how)
    signal.pause()
    return "never"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT, signal.SIGHUP])
def test_a_task_whose_worker_dies_is_run_once_more(mark, tmp_path, how):
    with Sleigh(workerCount=2) as s:
        paths = [str(tmp_path / str(number)) for number in range(3)]
        assert s.eachElem(die_once, tuple(paths), how) == ["alive"] * 3


def test_a_task_that_closes_what_is_not_its_own_fails_alone(mark):
    def work(x):
        if x == 7:
            os.closerange(3, 1000)
        return x

    with Sleigh(workerCount=2) as s:
        results = s.eachElem(work, [list(range(12))])
        failed = results[7]
        assert isinstance(failed, SleighTaskException)
        assert failed.type == "WorkerDied"
        assert results[:7] + results[8:] == [*range(7), *range(8, 12)]
        assert s.eachElem(abs, [[-1]]) == [1]


def test_threads_of_a_task_go_on_while_a_careful_worker_waits_for_the_server(mark):
    def stop(server):
        """Stop the server, which a thread lets go on once the task is over and its worker waits."""

        def resume():
            main = f"/proc/self/task/{os.getpid()}/stat"
            while SleighUserNws is None or Path(main).read_text().rpartition(")")[2].split()[0] != "S":  # noqa: F821
                pass
            os.kill(server, signal.SIGCONT)

        os.kill(server, signal.SIGSTOP)
        threading.Thread(target=resume).start()
        return "gone on"

    with Sleigh(workerCount=1) as s:
        # The worker that replaces one which ended by itself between tasks is careful.
        [failed] = s.eachElem(os.closerange, [[3]], [1000], retries=0)
        assert failed.type == "WorkerDied"
        [server] = [pid for pid, command in marked(mark).items() if "nws serve" in command]
        assert s.eachElem(stop, [[server]]) == ["gone on"]


def test_a_task_that_costs_two_workers_fails_alone_with_the_cause(mark, capfd):
    def work(x):
        if x == 7:
            print("last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return x * 2

    with Sleigh(workerCount=2) as s:
        results = s.eachElem(work, range(20), chunkSize=20)
    bad = results[7]
    assert isinstance(bad, SleighTaskException)
    assert bad.type == "WorkerDied"
    assert (bad.signal, bad.exitCode, bad.deaths, bad.index) == (9, None, 2, 7)
    assert bad.peakMemory > 1 << 20
    assert "last words" in bad.stderr[-1]
    assert "SIGKILL" in str(bad)
    assert "last words" in str(bad)
    assert [x for x in results if x is not bad] == [x * 2 for x in range(20) if x != 7]
    assert "last words" in capfd.readouterr().err


@pytest.mark.parametrize(("retries", "deaths"), [(0, 1), (3, 4)])
def test_retries_says_how_often_a_task_is_run_again(mark, retries, deaths):
    with Sleigh(workerCount=1) as s:
        [bad] = s.eachElem(lambda x: os._exit(3), (1,), retries=retries)
    assert (bad.deaths, bad.exitCode, bad.signal) == (deaths, 3, None)


class EndsItsReader:
    def __reduce__(self):
        return os._exit, (3,)


def test_what_kills_while_it_is_loaded_is_charged_as_well(mark):
    with Sleigh(workerCount=2) as s:
        results = s.eachElem(lambda x, y: x, (1, 2, 3), EndsItsReader())
        assert s.eachElem(abs, (-1,)) == [1]
    assert [(bad.type, bad.exitCode, bad.deaths) for bad in results] == [("WorkerDied", 3, 2)] * 3


def test_a_crash_tells_where_python_was(mark):
    def crash(x):
        import ctypes

        ctypes.string_at(0)

    with Sleigh(workerCount=1, retries=0) as s:
        [bad] = s.eachElem(crash, (1,))
    assert bad.signal == signal.SIGSEGV
    assert any("string_at" in line or "crash" in line for line in bad.stderr), bad.stderr


def test_each_worker_survives_a_death_as_well(mark, tmp_path):
    def die_in_one(folder):
        return die_once(os.path.join(folder, "one"), signal.SIGKILL)

    with Sleigh(workerCount=2) as s:
        first = s.eachWorker(die_in_one, str(tmp_path))
    assert first == ["alive", "alive"]


def workers_of(mark):
    return [pid for pid, command in marked(mark).items() if "nws._worker" in command]


def test_workers_that_die_while_idle_are_replaced_and_nothing_is_charged(mark):
    with Sleigh(workerCount=2, retries=0) as s:
        before = s.eachWorker(os.getpid)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(workers_of(mark)) - set(before)) == 2, "both workers are replaced")
        after = s.eachWorker(os.getpid)
        assert not set(after) & set(before)
        assert s.eachElem(abs, range(-50, 0)) == list(range(50, 0, -1))


def test_output_of_tasks_breaks_nothing_and_is_not_lost(mark, capfd):
    def noisy(x):
        print("print", x)
        sys.stderr.write("error\n")
        os.write(1, b"raw one\n")
        os.write(2, b"raw two\n")
        os.write(1, b"x" * 200_000 + b"\n")
        subprocess.run(["echo", "child"], check=True)
        return x

    with Sleigh(workerCount=2) as s:
        assert s.eachElem(noisy, range(10)) == list(range(10))
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert sorted(line for line in lines if line.startswith("print")) == sorted(f"print {x}" for x in range(10))
    assert lines.count("raw one") == lines.count("child") == 10
    assert out.count("x") == 2_000_000
    assert err.splitlines().count("raw two") == err.splitlines().count("error") == 10


def test_closed_descriptors_in_a_task_break_nothing(mark):
    def close_output(x):
        os.close(1)
        os.close(2)
        return x

    with Sleigh(workerCount=1) as s:
        assert s.eachElem(close_output, (1,)) == [1]
        assert len(s.eachElem(abs, range(100))) == 100


def test_children_of_a_task_end_with_its_worker(mark):
    def leave_children(x):
        subprocess.Popen(["sleep", "600"])
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        subprocess.Popen(["sh", "-c", "(setsid sleep 600 &) ; exit"]).wait()
        if x:
            os.kill(os.getpid(), signal.SIGKILL)
        return "left"

    def sleepers():
        return [command for command in marked(mark).values() if command.startswith("sleep")]

    with Sleigh(workerCount=1, retries=0) as s:
        [bad] = s.eachElem(leave_children, (1,))
        assert bad.signal == signal.SIGKILL
        wait_until(lambda: not sleepers(), "the children of the dead worker have ended")
        assert s.eachElem(leave_children, (0,)) == ["left"]
        wait_until(lambda: len(sleepers()) == 3, "the children of the living worker run")
    # The fixture sees to it that they are gone.


def test_a_task_may_fork_and_the_child_does_no_harm(mark):
    def fork(x):
        pid = os.fork()
        if pid == 0:
            return "child"
        os.waitpid(pid, 0)
        return "parent"

    with Sleigh(workerCount=1) as s:
        assert s.eachElem(fork, range(3)) == ["parent"] * 3


def test_a_task_may_use_processes_of_its_own(mark):
    def pool(x):
        import multiprocessing

        with multiprocessing.get_context("fork").Pool(2) as made:
            return made.map(abs, [-1, -2])

    with Sleigh(workerCount=1) as s:
        assert s.eachElem(pool, (1,)) == [[1, 2]]


def test_interrupting_the_call_frees_the_sleigh_and_its_workers(mark, tmp_path):
    started = tmp_path / "started"

    def block(x):
        started.touch()
        signal.pause()

    with Sleigh(workerCount=2) as s:
        assert s.eachElem(abs, [-1]) == [1]
        main = threading.main_thread().ident

        def interrupt():
            wait_until(started.exists, "the task has begun")
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            s.eachElem(block, range(100))
        thread.join()
        assert s.eachElem(abs, range(-100, 0)) == list(range(100, 0, -1))


MASTER = """
import os, signal, subprocess, sys
from nws.sleigh import Sleigh, SleighNwsException

def block(x):
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    print("running", flush=True)
    signal.pause()

s = Sleigh(workerCount=2)
s.eachWorker(os.getpid)
print("ready", flush=True)
try:
    if sys.argv[1] == "busy":
        s.eachElem(block, range(10))
    else:
        sys.stdin.read()
        s.eachElem(abs, range(10))
except SleighNwsException as error:
    print("raised:", str(error).replace(chr(10), " "), flush=True)
"""


class Master:
    """A program with a sleigh, as a process of its own."""

    def __init__(self, mark, state):
        self.mark = mark
        self.process = subprocess.Popen(
            [sys.executable, "-c", MASTER, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"
        if state == "busy":
            assert [self.process.stdout.readline() for _ in range(2)] == ["running\n"] * 2

    def pid_of(self, part):
        """Return the pid of the part of the sleigh that is called so."""
        command, which = {"warden": ("nws host", min), "host": ("nws host", max), "server": ("nws serve", min)}[part]
        return which(pid for pid, line in marked(self.mark).items() if command in line and pid != self.process.pid)

    def end(self):
        said, _ = self.process.communicate(timeout=20)
        return self.process.returncode, said


@pytest.mark.parametrize("state", ["busy", "idle"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_master_ends(mark, state, how):
    master = Master(mark, state)
    os.kill(master.process.pid, how)
    wait_for_none(mark)
    master.end()


@pytest.mark.parametrize("state", ["busy", "idle"])
@pytest.mark.parametrize(("part", "word"), [("warden", "host"), ("host", "host"), ("server", "server")])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_when_host_or_server_end_the_master_is_told_and_nothing_is_left(mark, state, part, word, how):
    master = Master(mark, state)
    os.kill(master.pid_of(part), how)
    # Until then an idle master could still have its work done.
    wait_until(lambda: set(marked(mark)) <= {master.process.pid}, "all but the master has ended")
    code, said = master.end()
    assert code == 0
    assert "raised:" in said
    assert word in said
    wait_for_none(mark)


def test_a_master_killed_while_its_sleigh_starts_leaves_nothing(mark):
    chance = random.Random(5)
    for _ in range(15):
        process = subprocess.Popen(
            [sys.executable, "-c", MASTER, "busy"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            process.wait(chance.uniform(0.02, 0.35))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
    wait_for_none(mark)


def test_the_next_call_after_the_end_tells_the_cause_again(mark):
    with Sleigh(workerCount=1) as s:
        assert s.eachElem(abs, [-1]) == [1]
        server = [pid for pid, command in marked(mark).items() if "nws serve" in command]
        os.kill(server[0], signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(SleighNwsException, match=r"server.*SIGKILL"):
                s.eachElem(abs, range(100_000))


@pytest.mark.timeout(300)
def test_five_hundred_kills_at_random_moments_cost_no_result(mark, tmp_path):
    kills = 500
    counter = tmp_path / "kills"
    counter.write_bytes(b"\0" * 8)

    def work(x):
        # Goes on only as the kills do, so that they are spread over the whole run.
        with open(counter, "rb") as file:
            while int.from_bytes(os.pread(file.fileno(), 8, 0), "little") < x // 10:
                select.select([], [], [], 0.001)
        return x * x

    with Sleigh(workerCount=3) as s:
        pids = set(s.eachWorker(os.getpid))
        chance = random.Random(11)
        over = threading.Event()

        def kill():
            done = 0
            seen = list(pids)
            with open(counter, "r+b") as file:
                while done < kills and not over.is_set():
                    living = [pid for pid in seen if os.path.exists(f"/proc/{pid}")]
                    if not living:
                        seen = workers_of(mark)
                        continue
                    victim = chance.choice(living)
                    try:
                        os.kill(victim, signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                    seen = [pid for pid in living if pid != victim] or workers_of(mark)
                    done += 1
                    os.pwrite(file.fileno(), done.to_bytes(8, "little"), 0)
                    over.wait(chance.uniform(0, 0.05))

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            assert s.eachElem(work, range(5000), retries=10) == [x * x for x in range(5000)]
        finally:
            over.set()
            thread.join()
    assert int.from_bytes(counter.read_bytes(), "little") >= kills - 1
