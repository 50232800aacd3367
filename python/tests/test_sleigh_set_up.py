"""What workers are prepared with: initializers, definitions, the threads of numerical libraries, how many there are."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from leftovers import wait_until
from nws.sleigh import Sleigh, SleighIllegalValueException, SleighNwsException, SleighPicklingException

made = []


def make(*arguments):
    made.append(arguments)


def die_at(x, at):
    if x == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def test_each_worker_runs_the_initializer_once_before_its_first_task():
    with Sleigh(workerCount=2, initializer=make, initargs=(1, "two")) as s:
        assert s.eachWorker(lambda: made) == [[(1, "two")]] * 2
        assert s.eachElem(lambda x: len(made), range(50)) == [1] * 50


def test_a_worker_that_replaces_another_runs_it_as_well():
    with Sleigh(workerCount=2, initializer=make, initargs=[[1, 2]]) as s:
        before = s.eachWorker(os.getpid)
        assert s.eachElem(die_at, range(10), [3], retries=0)[3].type == "WorkerDied"
        assert s.eachWorker(lambda: made) == [[([1, 2],)]] * 2
        assert s.eachWorker(os.getpid) != before


def test_an_initializer_may_be_statements_that_see_rank_and_workspaces():
    text = "import math; SleighNws.store('ready', SleighRank); mine = SleighRank * 10 + SleighArguments[0]"
    with Sleigh(workerCount=2, initializer=text, initargs=(5,)) as s:
        assert s.eachWorker("mine, math.floor(2.5)") == [(5, 2), (15, 2)]
        assert {s.nws.fetch("ready"), s.nws.fetch("ready")} == {0, 1}


def test_an_initializer_that_raises_gives_up_the_worker_at_once_and_says_why(capfd):
    def load():
        raise ValueError("no data here")

    with Sleigh(workerCount=2, initializer=load) as s, pytest.raises(SleighNwsException) as caught:
        s.eachElem(abs, [1])
    text = str(caught.value)
    for rank in range(2):
        assert f"worker {rank}: the initializer" in text
    assert "load failed with ValueError: no data here" in text
    assert capfd.readouterr().err.count("ValueError: no data here") == 2, "each of the two was started once"


def test_the_other_workers_go_on_where_one_cannot_be_set_up():
    with Sleigh(workerCount=2, initializer="if SleighRank == 1: open('/no/such/file')") as s:
        assert s.eachElem(abs, range(-20, 0)) == list(range(20, 0, -1))
        zero, one = s.eachWorker("SleighRank")
        assert zero == 0
        assert "/no/such/file" in str(one)
        assert "FileNotFoundError" in str(one)


@pytest.mark.parametrize("how", ["os._exit(3)", "os.abort()", "sys.exit('enough')"])
def test_an_initializer_that_ends_its_worker_is_not_repeated_for_ever(how):
    with Sleigh(workerCount=1, initializer=f"import os, sys; {how}") as s:
        with pytest.raises(SleighNwsException) as caught:
            s.eachElem(abs, [1])
        assert {
            "os._exit(3)": "while it was being set up; ended with exit code 3",
            "os.abort()": "while it was being set up; killed by signal 6",
            "sys.exit('enough')": "failed with SystemExit: enough",
        }[how] in str(caught.value)


def test_a_worker_that_is_killed_in_its_initializer_is_started_again(tmp_path):
    def once(path):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    with Sleigh(workerCount=1, initializer=once, initargs=(str(tmp_path / "once"),)) as s:
        assert s.eachElem(abs, [-1, -2]) == [1, 2]


def test_a_sleigh_stops_also_while_its_initializers_run(tmp_path):
    begun = tmp_path / "begun"
    s = Sleigh(workerCount=1, initializer="import signal; open(SleighArgs[0], 'w').close(); signal.pause()",
               initargs=(str(begun),))  # fmt: skip
    wait_until(begun.exists, "the initializer runs")
    s.stop()


def test_an_initializer_that_cannot_be_sent_raises_before_anything_is_started():
    lock = __import__("threading").Lock()
    with pytest.raises(SleighPicklingException, match="lock"):
        Sleigh(initializer=make, initargs=(lock,))
    with pytest.raises(SleighIllegalValueException, match="initializer: expected a function"):
        Sleigh(initializer=3)
    with pytest.raises(SleighIllegalValueException, match="initargs: expected a tuple"):
        Sleigh(initializer=make, initargs="text")
    with pytest.raises(SleighIllegalValueException, match="got none"):
        Sleigh(initargs=(1,))
    with pytest.raises(SyntaxError):
        Sleigh(initializer="1 +")


def test_large_arguments_of_an_initializer_do_not_pass_through_the_host():
    with Sleigh(workerCount=2, initializer=make, initargs=(b"x" * (20 << 20),)) as s:
        assert s.eachWorker(lambda: len(made[0][0])) == [20 << 20] * 2


def test_a_worker_that_replaces_another_knows_all_definitions():
    def helper(x):
        return x * 100

    with Sleigh(workerCount=2) as s:
        s.eachWorker(helper, type="define")
        s.eachWorker(lambda x: x + 1, type="define")
        helper = s.eachElem(die_at, range(6), [[2]], retries=0) and (lambda x: x * 100 + 1)
        assert s.eachWorker("helper(2), SleighFunction(4)") == [(200, 5)] * 2
        helper.__name__ = "helper"
        s.eachWorker(helper, type="define")
        s.eachElem(die_at, range(6), [[2]], retries=0)
        assert s.eachWorker("helper(2)") == [201] * 2, "the last definition of a name counts"


NAMES = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"]


def thread_settings(**options):
    with Sleigh(workerCount=2, **options) as s:
        one, two = s.eachWorker(lambda names: [__import__("os").environ.get(name) for name in names], NAMES)
    assert one == two
    return one


def test_workers_share_the_cores_among_their_numerical_threads(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    share = str(max(1, len(os.sched_getaffinity(0)) // 2))
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    assert thread_settings() == [share] * 5
    assert thread_settings(threadsPerWorker=7) == ["7"] * 5
    assert thread_settings(threadsPerWorker=None) == [None] * 5


def test_what_the_environment_says_about_threads_stays(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    assert thread_settings()[2] == "5"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert thread_settings()[:4] == ["3", None, "5", None], "those that are not set follow OpenMP's"
    assert thread_settings(threadsPerWorker=2) == ["2"] * 5


@pytest.mark.parametrize("bad", [0, -1, 1.5, "many", True])
def test_numbers_of_threads_that_are_none_are_refused(bad):
    with pytest.raises(SleighIllegalValueException, match="threadsPerWorker"):
        Sleigh(threadsPerWorker=bad)


COUNT = "from nws._sleigh.options import Options; print(Options.checked({'workerCount': 'auto'}).workerCount)"


def count_in(environment, prepare=None):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "NWS_WORKERS"))}
    done = subprocess.run([sys.executable, "-c", COUNT], env=clean | environment, preexec_fn=prepare,
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_auto_is_as_many_workers_as_this_process_may_use_cores():
    mine = os.sched_getaffinity(0)
    assert count_in({}) == str(len(mine))
    assert count_in({}, lambda: os.sched_setaffinity(0, {min(mine)})) == "1"
    assert count_in({"SLURM_CPUS_PER_TASK": "1", "SLURM_CPUS_ON_NODE": "64"}) == "1"
    assert count_in({"NWS_WORKERS": "11"}) == "11"
    assert "NWS_WORKERS: expected a count of workers from 1 up, got 'x'" in count_in({"NWS_WORKERS": "x"}).replace(
        '"', "'"
    )
    with Sleigh(workerCount="auto") as s:
        assert len(s.eachWorker("SleighRank")) == s.workerCount == len(mine)


def test_auto_respects_the_quota_of_a_control_group_above_ours():
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a quota of one core shows only where there are two")
    first, second = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    old = (first / "cpu.cfs_quota_us").exists()
    outer = (first if old else second) / f"nws-test-{os.getpid()}"
    inner = outer / "inner"
    try:
        try:
            outer.mkdir()
            quota, text = ("cpu.cfs_quota_us", "100000") if old else ("cpu.max", "100000 100000")
            (outer / quota).write_text(text)
            inner.mkdir()
        except OSError as error:
            pytest.skip(f"no control group with a quota can be made here: {error}")
        assert count_in({}, lambda: (inner / "cgroup.procs").write_text(str(os.getpid())) and None) == "1"
    finally:
        for folder in (inner, outer):
            if folder.exists():
                folder.rmdir()
