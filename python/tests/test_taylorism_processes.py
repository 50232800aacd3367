"""Workers while they work: their processes, what these have of their own, and where they come from."""

import os
import random
import subprocess
import sys

import pytest
from numpy import random as numpy_random

from bosses import Gate, pid_of, reports, workers_of
from hired import Gated, Printer, Squarer
from leftovers import wait_until
from nws.taylorism import Boss, Worker, run_as_server
from nws.taylorism.schedulers import BaseScheduler, LaxistScheduler, MaxThreadsScheduler

assert [Gated, Printer, Squarer]


@pytest.fixture
def boss():
    with Boss(scheduler=MaxThreadsScheduler(4)) as boss:
        boss.make_them_work()
        yield boss


def test_master_boss_and_workers_are_three_levels_of_processes(boss):
    class Pids(Worker):
        pids: int

        def _task(self):
            return os.getpid(), os.getppid(), os.getsid(0)

    boss.set_instructions({}, {"pids": [1, 2, 3]})
    boss.wait_till_finished()
    told = [one["report"] for one in boss.get_report()["workers_report"]]
    assert {parent for _, parent, _ in told} == {pid_of(boss)}
    assert len({pid for pid, _, _ in told} | {pid_of(boss), os.getpid()}) == 5
    assert all(pid == session for pid, _, session in told)


def test_workers_that_have_ended_leave_no_zombie(boss, tmp_path):
    gate = Gate(tmp_path)
    boss.set_instructions({}, gate.instructions)
    gate.wait()
    boss.set_instructions({}, {"number": [1, 2, 3]})
    wait_until(lambda: len(boss.get_report()["workers_report"]) == 3, "the others have reported")
    assert len(workers_of(boss)) == 1
    gate.open()


class Meddling(BaseScheduler):
    """Uses the methods that a Boss uses, on the workers that it sees."""

    def __init__(self, method):
        self.method = method

    def launchable(self, pending_instructions, workers, report):
        for worker in workers.values():
            if self.method == "bye":
                worker.bye()
            elif self.method == "stop" and os.path.exists(worker.begun):
                worker.stop_working()
        return ([], pending_instructions) if workers else (pending_instructions[:1], pending_instructions[1:])


def test_bye_waits_for_a_worker(tmp_path):
    with Boss(scheduler=Meddling("bye")) as boss:
        boss.set_instructions({}, {"number": [1, 2], "name": ["same", "same"]})
        boss.make_them_work()
        assert reports(boss) == [1, 4]


def test_stop_working_ends_one_worker_alone_whose_instructions_are_left(tmp_path):
    gate = Gate(tmp_path)
    with Boss(scheduler=Meddling("stop")) as boss:
        boss.set_instructions({}, gate.instructions)
        boss.set_instructions({}, {"number": [2]})
        boss.make_them_work()
        boss.wait_till_finished()
        report = boss.get_report()
    assert gate.was_unwound()
    assert [one["report"] for one in report["workers_report"]] == [4]
    assert (report["status"], report["pending"]) == ("pending", [{"begun": gate.begun[0], "gate": gate.gates[0]}])


def test_a_worker_that_waits_for_itself_is_an_error_and_not_a_hang(boss):
    class Narcissus(Worker):
        method: str

        def _task(self):
            getattr(self, self.method)()

    boss.set_instructions({}, {"method": ["bye"]})
    with pytest.raises(RuntimeError, match="would wait for its own end"):
        boss.wait_till_finished()


def test_a_worker_that_was_made_by_hand_works_and_is_waited_for(tmp_path):
    gate = Gate(tmp_path)
    worker = Gated(begun=gate.begun[0], gate=gate.gates[0])
    for method in (worker.bye, worker.stop_working):
        with pytest.raises(RuntimeError, match="was not sent to work"):
            method()
    worker.work()
    with pytest.raises(RuntimeError, match="already"):
        worker.work()
    gate.wait()
    assert not gate.was_unwound()
    gate.open()
    worker.bye()
    assert gate.was_unwound()
    worker.bye()


def test_a_worker_that_was_made_by_hand_can_be_stopped_and_fails_when_it_is_waited_for(tmp_path):
    gate = Gate(tmp_path)
    worker = Gated(begun=gate.begun[0], gate=gate.gates[0])
    worker.work()
    gate.wait()
    worker.stop_working()
    worker.bye()
    assert gate.was_unwound()
    failing = Gated(begun="/nowhere/x", gate="/nowhere/y")
    failing.work()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        failing.bye()


def test_workers_of_one_name_are_all_worked_with(tmp_path):
    gate = Gate(tmp_path, 2)
    with run_as_server({"name": "bob"}, gate.instructions, scheduler=LaxistScheduler()) as boss:
        gate.wait(0)
        gate.wait(1)
        for number in range(2):
            gate.open(number, f"{number}")
        boss.wait_till_finished()
        told = boss.get_report()["workers_report"]
    assert [one["name"] for one in told] == ["bob", "bob"]
    assert {one["report"] for one in told} == {"0", "1"}


def test_each_worker_is_bound_to_a_core_of_its_own():
    class Bound(Worker):
        bound: int

        def _task(self):
            return sorted(self.binding())

    cores = sorted(os.sched_getaffinity(0))
    with run_as_server({}, {"bound": list(range(len(cores)))}, scheduler=LaxistScheduler(binded=True)) as boss:
        boss.wait_till_finished()
        told = [one["report"] for one in boss.get_report()["workers_report"]]
    assert sorted(told) == [[core] for core in cores]
    with run_as_server({}, {"bound": [1]}) as boss:
        assert reports(boss) == [cores]


def test_siblings_have_random_numbers_of_their_own(boss):
    class Random(Worker):
        draws: int

        def _task(self):
            # The Boss imports this file, and so has the module before it forks.
            return random.random(), float(numpy_random.random())

    boss.set_instructions({}, {"draws": [1, 2, 3]})
    boss.wait_till_finished()
    told = [one["report"] for one in boss.get_report()["workers_report"]]
    assert len({one for one, _ in told}) == len({two for _, two in told}) == 3


def test_standard_input_is_empty_for_workers(boss):
    class Reader(Worker):
        reads: int

        def _task(self):
            return sys.stdin.read() + os.popen("cat").read()

    boss.set_instructions({}, {"reads": [1]})
    assert reports(boss) == [""]


def test_numerical_libraries_of_all_workers_share_the_cores():
    class Environment(Worker):
        variable: str

        def _task(self):
            return os.environ.get(self.variable)

    with run_as_server({}, {"variable": ["OMP_NUM_THREADS"]}) as boss:
        assert reports(boss) == ["1"]


SCRIPT = """
from dataclasses import dataclass
from nws.taylorism import Worker, run_as_server

@dataclass
class Point:
    x: int

scale = 3

class Mover(Worker):
    point: Point
    def _task(self):
        return Point(self.point.x * scale)

class Broken(Exception):
    pass

class Breaker(Worker):
    broken: str
    def _task(self):
        raise Broken(self.broken)

boss = run_as_server({}, {"point": [Point(1), Point(2)]})
boss.wait_till_finished()
points = sorted((one["report"] for one in boss.get_report()["workers_report"]), key=lambda point: point.x)
print(points, all(type(point) is Point for point in points))
boss = run_as_server({}, {"broken": ["by design"]})
try:
    boss.wait_till_finished()
except Broken as error:
    print("Broken", error)
"""


@pytest.mark.parametrize("by_stdin", [False, True])
def test_classes_of_a_script_need_no_main_guard(run_script, by_stdin):
    expected = "[Point(x=3), Point(x=6)] True\nBroken by design\n"
    assert run_script(SCRIPT, by_stdin=by_stdin) == expected


WITHOUT = """
import sys
sys.modules["footprints"] = None  # as if it were not installed
from nws.taylorism import Worker, batch_main
class Doubler(Worker):
    doubled: int
    name = "doubler"
    def _task(self):
        sys.modules["footprints"] = None
        return self.doubled * 2
try:
    class Foot(Worker):
        _footprint = dict(attr=dict(x=dict(type=int)))
except TypeError as error:
    print(error)
batch_main({}, {"doubled": [2]})
"""


def test_annotated_fields_do_without_footprints(run_script, tmp_path, monkeypatch):
    # The Boss is a process of its own: there the library is hidden by a module that cannot be imported.
    (tmp_path / "footprints.py").write_text('raise ModuleNotFoundError("hidden", name="footprints")')
    told = run_script(WITHOUT)
    assert told.splitlines()[0].startswith("the class Foot declares a footprint, which takes the library footprints")
    assert told.splitlines()[1:] == ["Report from workers:", "4"]


def test_an_import_leaves_the_users_logging_alone():
    text = "import logging, nws.taylorism; print(logging.root.handlers, logging.root.level)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout == "[] 30\n"


IMPORTED = """
from nws.taylorism import Worker, run_as_server
class Twice(Worker):
    twice: int
    def _task(self):
        return self.twice * 2
with run_as_server({}, {"twice": [4]}) as boss:
    boss.wait_till_finished()
"""


def test_a_module_that_makes_a_boss_when_it_is_imported_does_not_do_so_without_end(tmp_path, monkeypatch):
    (tmp_path / "endless.py").write_text(IMPORTED)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AttributeError, match=r"(?s)Twice was left out: .*module 'endless' makes a Boss when it is imp"):
        __import__("endless")
