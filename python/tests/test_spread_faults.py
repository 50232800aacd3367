"""`nws.spread_jobs` where commands are busy, die, hang or write junk: each has its outcome, and nothing is left."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from leftovers import MARK, wait_for_none, wait_until
from nws.spread_jobs import NoResponse, RemoteException, main, notComputed
from spread_workers import SQUARES, script, serving

# What is told of commands, as that one is given up, is beside the point where no test looks for it.
pytestmark = [pytest.mark.usefixtures("mark"), pytest.mark.filterwarnings("ignore:spread_jobs:RuntimeWarning")]


@pytest.mark.parametrize("attempt", range(3))
def test_a_thousand_tasks_with_a_busy_and_a_dying_worker_are_all_right(attempt):
    busy = serving("""
        state["n"] = state.get("n", 0) + 1
        if state["n"] % 10:
            raise TooBusy(0.01)
        return x * x
    """)
    dying = serving("""
        state["n"] = state.get("n", 0) + 1
        if state["n"] == 50:
            os.kill(os.getpid(), 9)
        return x * x
    """)
    healthy = serving("time.sleep(0.001); return x * x")
    results, tails = main(range(1000), [busy, dying, *[healthy] * 6], past_performance=None)
    assert results == [x * x for x in range(1000)]
    assert tails == [[]] * 8


def test_a_killed_worker_is_started_again_and_its_task_done():
    body = """
        if x == 5 and not os.path.exists(PATH):
            open(PATH, "w").close()
            os.kill(os.getpid(), 9)
        return x
    """
    folder = os.environ[MARK]
    path = f"/tmp/{folder}"
    try:
        assert main(range(10), [serving(body.replace("PATH", repr(path)))])[0] == list(range(10))
        assert os.path.exists(path)
    finally:
        os.unlink(path)


def test_when_no_worker_is_left_the_error_says_how_each_ended():
    dies = serving("print('last words', file=sys.__stderr__, flush=True); os.kill(os.getpid(), 9)")
    leaves = script("sys.exit(7)")
    with pytest.raises(NoResponse) as raised:
        main([1, 2, 3], [dies, leaves])
    error = raised.value
    ends = {tuple(args): text for args, text in error.ends}
    assert "killed by signal 9 (SIGKILL)" in ends[tuple(dies)] and "last words" in ends[tuple(dies)]
    assert "exit code 7" in ends[tuple(leaves)]
    assert "SIGKILL" in str(error) and "exit code 7" in str(error)
    assert error.results == [notComputed] * 3


def test_a_task_that_kills_whoever_does_it_costs_no_other_task():
    body = """
        if x == 3:
            os.kill(os.getpid(), 11)
        return x
    """
    with pytest.raises(NoResponse, match="SIGSEGV") as raised:
        main(range(100), [serving(body)] * 2)
    assert raised.value.results == [notComputed if x == 3 else x for x in range(100)]


def test_workers_that_end_after_each_answer_do_all_tasks():
    body = """
        x = pickle.load(sys.stdin.buffer)
        pickle.dump((x, None, None), sys.stdout.buffer)
    """
    assert main(range(20), [script(body)] * 2)[0] == list(range(20))


JUNK = {
    "words": ("sys.stdout.write('hello there\\n')", 'expected a pickled tuple, got "hello there\\\\n"'),
    "no pickle": ("sys.stdout.buffer.write(b'\\x80\\x05\\xff')", "0xff, which is no opcode of a pickle"),
    "no tuple": ("pickle.dump([1, None, None], sys.stdout.buffer)", "expected a pickled tuple|expected a tuple of 3"),
    "a short tuple": ("pickle.dump((1, None), sys.stdout.buffer)", "expected a tuple of 3 items, got \\(1, None\\)"),
    "no lines": ("pickle.dump((1, 2, None), sys.stdout.buffer)", "expected a list of lines or None as its second item"),
    "no such class": ("sys.stdout.buffer.write(b'cno.such\\nThing\\n.')", "cannot be unpickled \\(ModuleNotFoundError"),
    "no delay": (
        "from nws.spread_jobs import TooBusy; pickle.dump((TooBusy('x'), None, None), sys.stdout.buffer)",
        "expected a number of seconds in its TooBusy, got 'x'",
    ),
    "too long a delay": (
        "from nws.spread_jobs import TooBusy; pickle.dump((TooBusy(10**400), None, None), sys.stdout.buffer)",
        "expected a number of seconds in its TooBusy",
    ),
    "an end in the middle": ("sys.stdout.buffer.write(pickle.dumps((x, None, None))[:-2]); sys.exit()", "exit code 0"),
    "two answers": (
        "sys.stdout.buffer.write(2 * pickle.dumps((x, None, None)))",
        None,
    ),
}


@pytest.mark.parametrize("kind", JUNK)
def test_junk_gives_the_task_back_and_the_worker_is_started_again_until_it_is_given_up(kind):
    write, told = JUNK[kind]
    body = f"""
        while True:
            try:
                x = pickle.load(sys.stdin.buffer)
            except EOFError:
                break
            {write}
            sys.stdout.flush()
    """
    if told is None:
        # The first of the two is an answer, so it goes on, a life a task.
        with pytest.warns(RuntimeWarning, match="it wrote what nobody had asked for"):
            assert main(range(5), [script(body)])[0] == list(range(5))
        return
    with pytest.raises(NoResponse, match=told) as raised:
        main([1, 2], [script(body)])
    assert raised.value.results == [notComputed] * 2
    # Beside one that is well it does no harm.
    slow = serving("time.sleep(0.01); return x * x")
    assert main(range(30), [script(body), slow])[0] == [x * x for x in range(30)]


@pytest.mark.parametrize("line", ["'[' * 200_000", "'{\"too_busy\": ' + '9' * 400 + '}'", '\'{"too_busy": "x"}\''])
def test_junk_in_json_is_junk(line):
    with pytest.raises(NoResponse, match="expected a line of JSON|expected a number of seconds"):
        main([1], [script(f"for task in sys.stdin: print({line}, flush=True)")], encoding="json")


def test_who_writes_before_it_is_asked_is_no_worker():
    with pytest.raises(NoResponse, match="nobody had asked for|expected a pickled tuple"):
        main([1], [script("print('ready', flush=True); sys.stdin.read()")])


def test_who_writes_without_end_is_ended():
    with pytest.raises(NoResponse, match="is no answer|nobody had asked for"):
        main([1], [["yes"]])
    with pytest.raises(NoResponse, match="'yes'.*more than 100000 bytes after its last answer"):
        main([], [["yes"]], limit_bytes=100_000)


def test_an_answer_beyond_the_limit_is_none():
    with pytest.raises(NoResponse, match="its answer has more than 5000 bytes"):
        main([1], [serving("return b'x' * 10000")], limit_bytes=5000)
    with pytest.raises(NoResponse, match="its answer has more than 5000 bytes"):
        main([1], [script("sys.stdout.write('{' * 10000); sys.stdout.flush(); sys.stdin.read()")], encoding="json", limit_bytes=5000)  # fmt: skip # noqa: E501


def test_who_closes_its_output_and_lives_on_is_ended():
    with pytest.raises(NoResponse, match="closed its standard output and did not end"):
        main([1], [script("os.close(1); time.sleep(1000)")])


def test_who_does_not_read_is_ended_after_the_timeout():
    with pytest.raises(NoResponse, match="task 0 was not answered within 0.2 s for the third time"):
        main([b"x" * 1_000_000], [["sleep", "1000"]], timeout=0.2)


def test_whatever_a_worker_has_started_ends_with_it():
    body = """
        import subprocess
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        return x
    """
    assert main(range(3), [serving(body)])[0] == [0, 1, 2]


def test_who_is_too_busy_is_left_alone_and_the_others_do_the_work():
    busy = serving("raise TooBusy(1000)")
    results, _ = main(range(100), [busy, SQUARES])
    assert results == [x * x for x in range(100)]


def test_all_may_be_too_busy_for_a_while_and_of_a_kind_of_their_own():
    body = """
        state["n"] = state.get("n", 0) + 1
        if state["n"] < 20:
            raise TooBusy(0)
        return x
    """
    assert main(range(5), [serving(body)] * 2)[0] == list(range(5))


@pytest.mark.parametrize("encoding", ["pickle", "json"])
def test_a_child_of_compute_that_reads_standard_input_takes_nothing(encoding):
    worker = script(f"""
        import subprocess
        from nws.spread_jobs import serve
        def compute(x):
            return [x, subprocess.run(["cat"], stdout=subprocess.PIPE).stdout.decode(), sys.stdin.read()]
        serve(compute, encoding={encoding!r})
    """)
    assert main(range(3), [worker], encoding=encoding)[0] == [[x, "", ""] for x in range(3)]


@pytest.mark.parametrize("encoding", ["pickle", "json"])
def test_a_worker_may_read_its_first_lines_itself(encoding):
    program = f"import sys; from nws.spread_jobs import serve; print(sys.stdin.buffer.readline()); serve(id, encoding={encoding!r})"  # fmt: skip # noqa: E501
    task = {"pickle": pickle.dumps(7), "json": b"7\n"}[encoding]
    done = subprocess.run([sys.executable, "-c", program], input=b"first\n" + 2 * task, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"b'first\\n'\n") and len(done.stdout) > 20


@pytest.mark.parametrize(
    ("encoding", "task"), [("pickle", pickle.dumps("cut")[:-2]), ("json", b"12")], ids=["pickle", "json"]
)
def test_a_cut_task_and_an_end_of_file_in_prepare_are_errors_of_a_worker(encoding, task):
    program = f"from nws.spread_jobs import serve; serve(print, encoding={encoding!r})"
    done = subprocess.run([sys.executable, "-c", program], input=task, capture_output=True, timeout=60)
    assert done.returncode == 1 and b"Traceback" in done.stderr and done.stdout == b""
    program = "from nws.spread_jobs import serve\ndef prepare(_): raise EOFError('of its own')\nserve(print, prepare)"
    done = subprocess.run([sys.executable, "-c", program], input=b"", capture_output=True, timeout=60)
    assert done.returncode == 1 and b"of its own" in done.stderr


def test_what_comes_is_heard_while_a_slow_feed_goes_on(tmp_path):
    failed = tmp_path / "failed"
    fed = 0

    def feed():
        nonlocal fed
        while True:
            fed += 1
            yield fed
            wait_until(failed.exists, "the first task has failed")
            threading.Event().wait(0.02)

    with pytest.raises(RemoteException, match="no"):
        main(feed(), [serving(f"open({str(failed)!r}, 'w').close(); raise RemoteException('no')")])
    assert fed < 256, "as many as there is room for"


def test_a_job_that_fails_ends_those_that_go_on():
    body = """
        if x:
            time.sleep(1000)
        raise RemoteException("over")
    """
    with pytest.raises(RemoteException, match="over"):
        main([1, 1, 0], [serving(body)] * 3)


@pytest.mark.parametrize(
    ("number", "told"), [(signal.SIGKILL, "killed by signal 9"), (signal.SIGSTOP, "it was silent")]
)
def test_a_killed_or_stopped_host_is_told_and_takes_all_along(number, told):
    body = f"""
        if x == 5:
            os.kill(os.getppid(), {int(number)})
            time.sleep(1000)
        return x
    """
    with pytest.raises(NoResponse, match=f"the process that starts and watches the commands has ended.*{told}"):
        main(range(10), [serving(body)] * 2)


def master(body: str, tmp_path, mark: str) -> subprocess.Popen[str]:
    """A program with a job, in a process group of its own; its workers append to a file when they begin a task."""
    program = f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from nws.spread_jobs import main
        from spread_workers import *
        begun = "open({str(tmp_path / "begun")!r}, 'a').write('.'); "
    """
    text = textwrap.dedent(program) + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {MARK: mark},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def begun(tmp_path) -> int:
    path = tmp_path / "begun"
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_master_takes_all_along(number, tmp_path, mark):
    body = 'main(range(9), [serving(begun + \'import subprocess; subprocess.run(["sleep", "999"])\')] * 3)'
    with master(body, tmp_path, mark) as program:
        wait_until(lambda: begun(tmp_path) == 3, "all have begun")
        program.send_signal(number)
        program.communicate(timeout=20)
    assert program.returncode == -number
    wait_for_none(mark)


MOMENTS = {
    "working": ("main(range(9), [serving(begun + 'time.sleep(999)')] * 3)", 3),
    "answering": ("main(range(10**9), [serving(begun + 'return x')] * 3)", 100),
    "resting": ("main(range(9), [serving(begun + 'raise TooBusy(1000)')] * 3)", 3),
    "ending": ("main([], [script(begun + 'time.sleep(999)')] * 3)", 3),
    "dying": ("main(range(10**6), [serving(begun + 'return x if x % 3 else os._exit(1)')] * 3)", 20),
    "in a callback": ("main(range(9), [serving(begun)], timing_callback=lambda *_: __import__('time').sleep(999))", 1),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_control_c_at_any_moment_is_a_keyboard_interrupt_and_leaves_nothing(moment, tmp_path, mark):
    body, count = MOMENTS[moment]
    with master(body, tmp_path, mark) as program:
        wait_until(lambda: begun(tmp_path) >= count, f"{count} have begun")
        os.killpg(program.pid, signal.SIGINT)
        _, errors = program.communicate(timeout=20)
    assert errors.rstrip().endswith("KeyboardInterrupt"), errors
    assert program.returncode == -signal.SIGINT
    wait_for_none(mark)


def test_control_c_while_the_commands_are_started_leaves_nothing(tmp_path, mark):
    body = "print('here', flush=True); main(range(10**6), [serving('return x')] * 20)"
    for delay_lines in range(8):
        with master(body, tmp_path, mark) as program:
            assert program.stdout.readline() == "here\n"
            # Each time a little later; which moment it is does not matter, only that nothing is left.
            for _ in range(delay_lines * 2000):
                os.getpid()
            os.killpg(program.pid, signal.SIGINT)
            _, errors = program.communicate(timeout=20)
        assert errors.rstrip().endswith("KeyboardInterrupt"), errors
        wait_for_none(mark)


def test_a_fork_while_a_job_goes_on_disturbs_nothing():
    def fork(start, end):
        pid = os.fork()
        if pid == 0:
            # What the copy has of the job is forgotten in it, as at the end of a program.
            import gc

            gc.collect()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    assert main(range(5), [SQUARES] * 2, timing_callback=fork)[0] == [x * x for x in range(5)]


def test_many_jobs_leave_no_descriptor_and_no_thread():
    import threading

    def counts():
        return len(os.listdir("/proc/self/fd")), threading.active_count(), len(os.listdir("/proc/self/task"))

    main(range(5), [SQUARES])
    before = counts()
    for _ in range(10):
        main(range(5), [SQUARES] * 2)
        with pytest.raises(RemoteException):
            main([None], [SQUARES])
    wait_until(lambda: counts()[2] <= before[2], "the threads of the engine have ended")
    assert counts()[:2] == before[:2]


def test_an_answer_that_claims_to_go_on_beyond_the_limit_is_not_waited_for():
    claim = "out = sys.stdout.buffer\nout.write(b'\\x80\\x04%s' + (1 << 60).to_bytes(8, 'little'))\n"
    claim += "out.flush()\nsys.stdin.read()"
    for opcode in (r"\x8e", r"\x95"):
        with pytest.raises(NoResponse, match="its answer has more than 1073741824 bytes"):
            main([1], [script(claim % opcode)])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("pickle.dumps((TooBusy('soon'), None, None))", "expected a number of seconds in its TooBusy, got 'soon'"),
        ("pickle.dumps((TooBusy(10**400), None, None))", "expected a number of seconds in its TooBusy, got 1000"),
        ("pickle.dumps((TooBusy(10**5000), None, None))", "in its TooBusy, got a value of the type int"),
        ("b'(' + b']' * 100_000 + b'a' * 99_999 + b't.'", "expected a tuple of 3 items"),
    ],
)
def test_answers_that_are_nonsense_inside_are_junk(answer, told):
    body = f"from nws.spread_jobs import TooBusy\nsys.stdin.buffer.read(3)\nsys.stdout.buffer.write({answer})\nsys.stdout.flush()\nsys.stdin.read()"  # fmt: skip # noqa: E501
    with pytest.raises(NoResponse, match=told):
        main([1], [script(body)])


@pytest.mark.parametrize("line", ['{"result": ' + "[" * 100_000, '{"too_busy": 1' + "0" * 400 + "}"])
def test_lines_of_json_that_are_nonsense_inside_are_junk(line):
    body = f"sys.stdin.readline(); print({line!r}, flush=True); sys.stdin.read()"
    with pytest.raises(NoResponse, match="expected a (line of JSON|number of seconds)"):
        main([1], [script(body)], encoding="json")
