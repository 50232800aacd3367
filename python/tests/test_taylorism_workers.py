"""Workers: how they declare their instructions, how these find them, and what a worker is while it works."""

import os
import random
import subprocess
import sys
import uuid
from typing import Any, ClassVar, Literal, Optional

import pytest

from bosses import Gate, reports
from hired import Gated, Printer, Squarer
from leftovers import wait_until
from nws.taylorism import Boss, Worker, run_as_server
from nws.taylorism._worker import registry
from nws.taylorism.schedulers import BaseScheduler, LaxistScheduler

assert [Gated, Printer, Squarer]


@pytest.fixture
def boss():
    with Boss() as boss:
        boss.make_them_work()
        yield boss


class Fields(Worker):
    one: int
    real: float = 0.5
    text: str | None = None
    items: list[int] = []  # noqa: RUF012
    choice: Literal["a", "b"] = "a"
    anything: Any = None
    maybe: Optional["NotThereYet"] = None
    total: ClassVar[int] = 7
    _private: int = 3

    def _task(self):
        return {name: getattr(self, name) for name in ("one", "real", "text", "items", "choice", "anything", "total")}


class NotThereYet:
    pass


@pytest.mark.parametrize(
    "instructions",
    [
        {"one": 1},
        {"one": True, "real": 3, "text": "x", "items": [1], "choice": "b", "anything": object(), "extra": 5},
        {"one": 1, "text": None, "maybe": NotThereYet()},
        {"one": __import__("numpy").int64(3), "real": __import__("numpy").float32(1)},
    ],
)
def test_fields_that_are_filled_with_values_of_their_types_fit(instructions):
    worker = registry.hire(instructions)
    assert type(worker) is Fields
    assert {name: getattr(worker, name) for name in instructions if name != "extra"} == {
        name: value for name, value in instructions.items() if name != "extra"
    }
    assert not hasattr(worker, "extra")


@pytest.mark.parametrize(
    ("instructions", "told"),
    [
        ({"real": 1.0}, "one is missing"),
        ({"one": "1"}, "one is to be int, not str"),
        ({"one": 1, "real": "1"}, "real is to be float, not str"),
        ({"one": 1, "text": 3}, "text is to be str [|] None, not int"),
        ({"one": 1, "items": (1, 2)}, r"items is to be list\[int\], not tuple"),
        ({"one": 1, "choice": "c"}, r"choice is to be (typing\.)?Literal\['a', 'b'\], not str"),
        ({"one": 1, "maybe": 3}, r"maybe is to be .*NotThereYet.*, not int"),
    ],
)
def test_what_does_not_fit_is_told(instructions, told):
    with pytest.raises(AttributeError, match=f"Fields does not fit: {told}"):
        registry.hire({**instructions, "number": "none"})


def test_a_subclass_adds_fields_goes_before_its_base_and_may_fix_a_field():
    class More(Fields):
        other: str

    class Fixed(More):
        other = "fixed"
        third: int

    assert type(registry.hire({"one": 1})) is Fields
    assert type(registry.hire({"one": 1, "other": "x"})) is More
    worker = registry.hire({"one": 1, "third": 3})
    assert (type(worker), worker.other) == (Fixed, "fixed")


def test_the_class_that_takes_the_most_instructions_is_hired():
    class Wide(Worker):
        one: int
        two: int

    assert type(registry.hire({"one": 1, "two": 2})) is Wide
    assert type(registry.hire({"one": 1, "two": 2, "real": 1.5, "text": "x"})) is Fields


def test_a_base_class_is_not_hired():
    class Base(Worker):
        _abstract = True
        wanted: int

    class Real(Base):
        def _task(self):
            return self.wanted

    worker = registry.hire({"wanted": 3})
    assert type(worker) is Real
    for cls in (Base, Worker):
        with pytest.raises(TypeError, match="only there to be inherited from"):
            cls(wanted=3)


def test_a_class_that_would_fit_all_instructions_is_left_out_and_told():
    class Any(Worker):
        hint: str = "x"

    with pytest.raises(AttributeError, match="Any does not fit: it would fit all instructions"):
        registry.hire({"nothing": 1})


def test_a_class_that_is_defined_anew_takes_the_place_of_the_old_one():
    def define(answer):
        exec(
            f"class Again(Worker):\n    again: int\n    def _task(self): return {answer}",
            {"Worker": Worker, "__name__": "a notebook"},
        )

    define(1)
    define(2)
    assert registry.hire({"again": 1})._task() == 2


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "Fields: one is missing"),
        ({"one": 1, "two": 2}, "Fields: two is no instruction of its"),
        ({"one": "x"}, "Fields: one is to be int, not str"),
    ],
)
def test_a_worker_that_is_made_by_hand_takes_its_own_instructions_alone(wrong, told):
    with pytest.raises(TypeError, match=told):
        Fields(**wrong)
    with pytest.raises(TypeError, match="by keyword"):
        Fields(1)


def test_a_worker_has_a_unique_name_unless_it_is_given_one(boss):
    assert Squarer(number=1, name="bob").name == "bob"
    names = {Squarer(number=1).name for _ in range(10)}
    assert len(names) == 10
    assert all(str(uuid.UUID(name)) == name for name in names)

    class Named(Worker):
        title: str
        name = "always"

        def _task(self):
            return self.name

    boss.set_instructions({"title": "x"}, {"unused": [1, 2]})
    assert reports(boss) == ["always", "always"]


def test_a_worker_without_a_task_is_an_error_that_says_so(boss):
    class Idle(Worker):
        idle: int

    boss.set_instructions({}, {"idle": [1]})
    with pytest.raises(RuntimeError, match="Idle has no _task"):
        boss.wait_till_finished()


def test_master_boss_and_workers_are_three_levels_of_processes(boss):
    class Pids(Worker):
        pids: int

        def _task(self):
            return os.getpid(), os.getppid(), os.getsid(0)

    boss.set_instructions({}, {"pids": [1, 2, 3]})
    boss.wait_till_finished()
    told = [one["report"] for one in boss.get_report()["workers_report"]]
    assert {parent for _, parent, _ in told} == {boss._office.pid}
    assert len({pid for pid, _, _ in told} | {boss._office.pid, os.getpid()}) == 5
    assert all(pid == session for pid, _, session in told)


def test_workers_that_have_ended_leave_no_zombie(boss, tmp_path):
    gate = Gate(tmp_path)
    boss.set_instructions({}, gate.instructions)
    gate.wait()
    boss.set_instructions({}, {"number": [1, 2, 3]})
    wait_until(lambda: len(boss.get_report()["workers_report"]) == 3, "the others have reported")
    with open(f"/proc/{boss._office.pid}/task/{boss._office.pid}/children") as file:
        assert len(file.read().split()) == 1
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
            import numpy

            return random.random(), float(numpy.random.random())

    import numpy

    assert numpy  # the class refers to it by name, so the Boss has it before it forks
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


def test_numerical_libraries_of_all_workers_share_the_cores(boss):
    class Environment(Worker):
        variable: str

        def _task(self):
            return os.environ.get(self.variable)

    boss.set_instructions({}, {"variable": ["OMP_NUM_THREADS"]})
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
