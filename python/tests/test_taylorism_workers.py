"""Workers: how they declare their instructions, how these find them, and what a worker is while it works."""

import uuid
from typing import Any, ClassVar, Literal, Optional

import numpy
import pytest

from bosses import reports
from hired import Gated, Printer, Squarer
from nws.taylorism import Boss, Worker
from nws.taylorism._worker import registry

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
        {"one": numpy.int64(3), "real": numpy.float32(1)},
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
    exec("class Again(Worker):\n    renamed: int", {"Worker": Worker, "__name__": "a notebook"})
    with pytest.raises(AttributeError, match="Again does not fit: renamed is missing"):
        registry.hire({"again": 1})


def test_classes_that_a_function_makes_stay_side_by_side_and_the_newest_goes_first():
    def make(kind, answer):
        class Made(Worker):
            made: Literal["x", "y"] if kind == "both" else Literal["x"]

            def _task(self):
                return answer

        return Made

    both, one = make("both", 1), make("x", 2)
    assert type(registry.hire({"made": "y"})) is both
    assert type(registry.hire({"made": "x"})) is one


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
