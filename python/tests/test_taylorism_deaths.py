"""What dies while a Boss works, and what follows: the exact error, soon, and nothing left."""

import contextlib
import errno
import gc
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from bosses import Gate, pid_of
from crashes import harm
from hired import Alive, Sleeper
from leftovers import MARK, marked, wait_for_none, wait_until
from nws.taylorism import Boss, BossDied, Worker, WorkerDied, _office, _wire, run_as_server
from nws.taylorism.schedulers import LaxistScheduler

# Within which all must be over, whatever has died; slow machines get four times as long.
SOON_S = 20.0


@pytest.fixture
def mark(monkeypatch):
    """Mark all processes that a test starts, and let none survive it."""
    text = uuid.uuid4().hex
    monkeypatch.setenv(MARK, text)
    yield text
    wait_for_none(text, SOON_S)


def living(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def started(folder, count=2):
    """A Boss whose workers wait for ever, and the ids of each worker and its child."""
    told = [str(folder / f"told {number}") for number in range(count)]
    boss = run_as_server({}, {"told": told}, scheduler=LaxistScheduler())
    wait_until(lambda: all(map(os.path.exists, told)), "all workers have begun")
    return boss, [[int(pid) for pid in Path(one).read_text().split()] for one in told]


assert Alive and Sleeper


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_killed_worker_is_an_error_and_ends_the_others(mark, tmp_path, how):
    boss, pids = started(tmp_path)
    os.kill(pids[1][0], how)
    with pytest.raises(WorkerDied, match=how.name) as died:
        boss.wait_till_finished()
    assert died.value.instructions == {"told": str(tmp_path / "told 1")}
    assert not any(living(pid) for one in pids for pid in one)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_killed_boss_is_an_error_and_ends_its_workers(mark, tmp_path, how):
    boss, pids = started(tmp_path)
    os.kill(pid_of(boss), how)
    with pytest.raises(BossDied, match=how.name):
        boss.get_report()
    wait_until(lambda: boss._office.ended, "its end is known")
    assert not any(living(pid) for one in pids for pid in one)


@pytest.mark.parametrize("which", ["warden", "host"])
def test_a_killed_warden_or_host_is_an_error_and_ends_all(mark, tmp_path, which):
    boss, pids = started(tmp_path)
    os.kill(boss._office._host.pid if which == "warden" else parent_of(pid_of(boss)), signal.SIGKILL)
    with pytest.raises(BossDied, match="the process that watches it has ended"):
        boss.wait_till_finished()
    wait_until(lambda: not any(living(pid) for one in pids for pid in one), "the other of the two has ended all")


GREEDY = """
from nws.taylorism import Worker, WorkerDied, run_as_server

class Greedy(Worker):
    greed: int
    def _task(self):
        held = []
        while True:
            held.append(b"x" * self.greed)

with run_as_server({}, {"greed": [1 << 26], "name": ["greedy"]}) as boss:
    try:
        boss.wait_till_finished()
    except WorkerDied as died:
        print(died.signal, died.outOfMemory, str(died).partition(chr(10))[0])
"""


def test_a_worker_that_the_kernel_ends_for_want_of_memory_is_an_error_that_says_so(mark):
    why_not = harm.why_not("memory")
    if why_not:
        pytest.skip(why_not)
    command = harm.within_a_memory_group([sys.executable, "-c", GREEDY])
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=50)
        assert done.stdout == "9 True the worker was ended by SIGKILL, as memory had run out\n", done.stderr
        wait_for_none(mark, SOON_S)
    finally:
        harm.remove_groups()


def test_a_worker_that_is_killed_within_its_report_is_an_error(mark):
    class Half(Worker):
        half: int

        def _task(self):
            from nws.taylorism import _at_work

            def write(pipe, data):
                os.write(pipe, data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)

            _at_work.write = write
            return b"x" * self.half

    for size in (1, 30_000):
        with run_as_server({}, {"half": [size]}) as boss, pytest.raises(WorkerDied, match="SIGKILL"):
            boss.wait_till_finished()


def test_a_stopped_worker_is_an_error_and_ends_the_others(mark, tmp_path):
    boss, pids = started(tmp_path)
    os.kill(pids[0][0], signal.SIGSTOP)
    with pytest.raises(WorkerDied, match="stopped by SIGSTOP") as died:
        boss.wait_till_finished()
    assert died.value.instructions == {"told": str(tmp_path / "told 0")}
    assert died.value.signal == signal.SIGSTOP
    assert not any(living(pid) for one in pids for pid in one)


def test_a_stopped_boss_is_an_error_and_ends_its_workers(mark, tmp_path):
    boss, pids = started(tmp_path)
    os.kill(pid_of(boss), signal.SIGSTOP)
    with pytest.raises(BossDied, match="stopped by SIGSTOP"):
        boss.get_report()
    assert not any(living(pid) for one in pids for pid in one)


class Starved(LaxistScheduler):
    """When the first `at_work` workers have begun, the system refuses this call to the Boss, which starts the next."""

    def __init__(self, call, at_work):
        self.call, self.at_work = call, at_work

    def launchable(self, pending_instructions, workers, report):
        if len(workers) < self.at_work:
            return pending_instructions[:1], pending_instructions[1:]
        if not all(os.path.exists(worker.told) for worker in workers.values()):
            return [], pending_instructions

        def refuse(*_):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        setattr(os, self.call, refuse)
        return pending_instructions, []


@pytest.mark.parametrize("at_work", [0, 1])
@pytest.mark.parametrize("call", ["pipe2", "fork", "pidfd_open"])
def test_a_worker_that_cannot_be_started_is_an_error_and_ends_the_others(mark, tmp_path, call, at_work):
    told = [str(tmp_path / f"told {number}") for number in range(at_work + 2)]
    with run_as_server({}, {"told": told}, scheduler=Starved(call, at_work)) as boss:
        with pytest.raises(OSError, match="Too many open files") as refused:
            boss.wait_till_finished()
        assert refused.value.__cause__.instructions == {"told": told[at_work]}
    assert not marked(mark)


def test_a_shared_array_whose_memory_does_not_arrive_is_an_error(mark, tmp_path):
    boss, pids = started(tmp_path)
    # As the kernel has it where the Boss may open no more files.
    boss._office.send(_wire.ARRAY, pickle.dumps(("key", (1,), "f8")))
    with pytest.raises(OSError, match="Too many open files"):
        boss.wait_till_finished()
    assert not any(living(pid) for one in pids for pid in one)


def test_a_descriptor_that_is_received_is_for_no_program_that_is_started():
    ours, theirs = map(_wire.Wire, socket.socketpair())
    with open(os.devnull) as file:
        ours.send(_wire.ARRAY, b"facts", descriptor=file.fileno())
        ours.flush()
    (frame,) = theirs.receive()
    try:
        assert bytes(frame.payload) == b"facts" and not os.get_inheritable(frame.descriptor)
    finally:
        os.close(frame.descriptor)
        ours.close()
        theirs.close()


def fail(*_):
    raise ValueError("nobody expected this")


@pytest.mark.parametrize("where", ["Office._exchange", "Office._events", "Wire.receive", "Wire.flush"])
def test_an_error_of_the_masters_own_thread_is_an_error_and_ends_all(mark, tmp_path, monkeypatch, where):
    boss, pids = started(tmp_path)
    owner, _, method = where.partition(".")
    monkeypatch.setattr({"Office": _office.Office, "Wire": _wire.Wire}[owner], method, fail)
    with pytest.raises(BossDied, match="nobody expected this"):
        boss.wait_till_finished()
    wait_until(lambda: boss._office.ended, "its end is known")
    assert not any(living(pid) for one in pids for pid in one)


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_stop_them_working_ends_workers_and_their_children(mark, tmp_path):
    boss, pids = started(tmp_path)
    boss.stop_them_working()
    boss.wait_till_finished()
    report = boss.get_report()
    assert (report["status"], report["workers_report"]) == ("pending", [])
    assert sorted(one["told"] for one in report["pending"]) == [str(tmp_path / f"told {number}") for number in range(2)]
    assert not any(living(pid) for one in pids for pid in one)


@pytest.mark.parametrize("how", ["close", "del", "with"])
def test_a_boss_that_is_closed_or_forgotten_leaves_nothing(mark, tmp_path, how):
    boss, pids = started(tmp_path)
    if how == "close":
        boss.close()
        boss.close()
        with pytest.raises(BossDied, match="closed"):
            boss.wait_till_finished()
    elif how == "with":
        with boss:
            pass
    del boss
    assert not any(living(pid) for one in pids for pid in one)


def test_a_fork_of_the_master_has_nothing_of_its_boss(mark, tmp_path):
    boss, pids = started(tmp_path)
    child = os.fork()
    if child == 0:
        try:
            boss.get_report()
        except RuntimeError:
            boss.close()
            del boss
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert all(living(pid) for one in pids for pid in one)
    assert boss.get_report()["status"] == "interim"
    boss.close()


# A master whose workers wait for ever; it tells its Boss's id when they have begun.
MASTER = """
import os, signal, sys, threading
sys.path.insert(0, {tests!r})
from pathlib import Path
from crashes import harm
from hired import Alive, Sleeper
from leftovers import wait_until
from nws.taylorism import Boss, batch_main, run_as_server
from nws.taylorism.schedulers import LaxistScheduler

told = [{folder!r} + f"/told {{number}}" for number in range(2)]
def tell():
    wait_until(lambda: all(map(os.path.exists, told)), "all workers have begun")
    print("begun", flush=True)
{body}
"""

BODIES = {
    "waiting": """
boss = run_as_server({}, {"told": told}, scheduler=LaxistScheduler())
tell()
boss.wait_till_finished()
""",
    "elsewhere": """
boss = run_as_server({}, {"told": told}, scheduler=LaxistScheduler())
tell()
signal.pause()
""",
    "batch": """
threading.Thread(target=tell, daemon=True).start()
batch_main({}, {"told": told}, scheduler=LaxistScheduler())
""",
}


def master(body, folder):
    """Start such a master, and return it when its workers have begun."""
    folder.mkdir(exist_ok=True)
    text = MASTER.format(tests=str(Path(__file__).parent), folder=str(folder), body=BODIES[body])
    process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n", process.communicate()
    return process


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_end_of_the_master_ends_all(mark, tmp_path, how, body):
    process = master(body, tmp_path)
    process.send_signal(how)
    _, errors = process.communicate(timeout=SOON_S)
    wait_for_none(mark, SOON_S)
    if how == signal.SIGINT:
        assert "KeyboardInterrupt" in errors
    elif how == signal.SIGTERM and body == "batch":
        assert "SignalInterruptError: interrupted by SIGTERM" in errors
    else:
        assert process.returncode == -how


UNWOUND = """
import sys
sys.path.insert(0, {tests!r})
from hired import Gated
from nws.taylorism import Boss, batch_main
wait = Boss.wait_till_finished
def tell_and_wait(boss):
    print("waits", flush=True)
    wait(boss)
Boss.wait_till_finished = tell_and_wait
batch_main({{}}, {{"begun": [{begun!r}], "gate": [{gate!r}]}})
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_batch_main_lets_the_workers_unwind(mark, tmp_path, how):
    gate = Gate(tmp_path)
    text = UNWOUND.format(tests=str(Path(__file__).parent), begun=gate.begun[0], gate=gate.gates[0])
    process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    gate.wait()
    assert process.stdout.readline() == "waits\n"
    process.send_signal(how)
    _, errors = process.communicate(timeout=SOON_S)
    assert ("KeyboardInterrupt" if how == signal.SIGINT else "SignalInterruptError") in errors
    assert gate.was_unwound(), errors


INTERRUPTED = """
import sys
sys.path.insert(0, {tests!r})
from hired import Sleeper
from nws.taylorism import run_as_server
print("begins", flush=True)
while True:
    boss = run_as_server({{}}, {{"seconds": [0.001] * 20}})
    boss.get_report()
    boss.wait_till_finished()
    assert len(boss.get_report()["workers_report"]) == 20
"""


def interrupted(process):
    """Interrupt a program until it ends: Python swallows what comes within a finalizer. Returns its standard error."""
    while True:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=SOON_S / 10)[1]


@pytest.mark.timeout(300)  # a dozen programs, one after the other
def test_ctrl_c_at_any_moment_leaves_nothing(mark):
    text = INTERRUPTED.format(tests=str(Path(__file__).parent))
    for number in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        process.stdout.readline()
        # At any moment: where the program then is depends on the machine.
        select.select([process.stdout], [], [], number / 12 * 0.8)
        errors = interrupted(process)
        assert "KeyboardInterrupt" in errors
        wait_for_none(mark, SOON_S)


def test_a_master_that_goes_on_after_ctrl_c_can_stop_its_boss(mark, tmp_path):
    boss, pids = started(tmp_path)

    def interrupt():
        wait_until(lambda: boss._is_ending, "the master waits")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        boss.wait_till_finished()
    assert all(living(pid) for one in pids for pid in one)
    boss.stop_them_working()
    boss.wait_till_finished()
    assert boss.get_report()["status"] == "pending"
    assert not marked(mark)


def test_close_waits_for_the_thread_of_a_boss_that_has_ended(mark, monkeypatch):
    joined, end, join = threading.Event(), _office.Office._end, threading.Thread.join

    def linger(office, cause):
        end(office, cause)
        joined.wait(SOON_S)

    def join_and_tell(thread, timeout=None):
        if thread.name == "nws-boss":
            joined.set()
        join(thread, timeout)

    monkeypatch.setattr(_office.Office, "_end", linger)
    monkeypatch.setattr(threading.Thread, "join", join_and_tell)
    with run_as_server({}, {"seconds": [0.0]}) as boss:
        boss.wait_till_finished()
    assert not boss._office._thread.is_alive()


def test_many_bosses_leave_no_descriptor_and_no_thread(mark):
    def held():
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    def one():
        with Boss() as boss:
            boss.set_instructions({}, {"seconds": [0.0]})
            boss.make_them_work()
            boss.wait_till_finished()
            boss.get_report()

    one()
    before = held()
    for _ in range(5):
        one()
    assert held() == before
