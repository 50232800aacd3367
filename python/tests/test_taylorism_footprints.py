"""Workers that declare their instructions as a footprint, by the library `footprints`."""

import pytest
from footprints import FootprintBase, priorities
from footprints import proxy as fpx

from bosses import reports
from nws.taylorism import Boss, Worker, run_as_server
from nws.taylorism._worker import registry


class Sleeping(Worker):
    """As in a program that was written for the older package."""

    _footprint = dict(  # noqa: RUF012
        info="Waits a while.",
        attr=dict(
            sleeping_time=dict(info="Seconds.", type=float, values=[0.001, 0.01], alias=("nap",)),
            sentence=dict(info="What is said.", optional=True, default="Hello", access="rwx"),
        ),
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.made_in_the_boss = True

    def _task(self):
        self.sentence += "!"
        return self.sentence, self.sleeping_time, self.made_in_the_boss


def test_a_worker_is_of_the_library_in_its_collector_and_abstract():
    assert issubclass(Worker, FootprintBase)
    assert Worker.footprint_abstract()
    assert Worker._collector == ("worker",)
    assert Sleeping.footprint_retrieve().attr["name"]["optional"]
    worker = fpx.worker(sleeping_time=0.01)
    assert type(worker) is Sleeping
    assert worker.footprint_as_dict().keys() == {"name", "sleeping_time", "sentence"}
    with pytest.raises(TypeError, match="only there to be inherited from"):
        Worker(name="x")


def test_the_name_is_an_optional_attribute_that_may_be_written():
    worker = Sleeping(sleeping_time=0.01)
    assert len(worker.name) == 36
    worker.name = "bob"
    assert worker.name == "bob"
    assert Sleeping(sleeping_time=0.01, name="anna").name == "anna"
    with pytest.raises(AttributeError, match="Read-only"):
        worker.sleeping_time = 3


def test_instructions_are_converted_and_given_their_defaults_by_the_library():
    with run_as_server({"sentence": "Hi"}, {"nap": ["0.001", 0.01]}) as boss:
        assert reports(boss) == [("Hi!", 0.001, True), ("Hi!", 0.01, True)]
    with run_as_server({}, {"sleeping_time": [0.01]}) as boss:
        assert reports(boss) == [("Hello!", 0.01, True)]


def test_a_worker_that_was_made_by_hand_works_as_well(capfd):
    class Loud(Sleeping):
        def _task(self):
            print(self.sentence)

    worker = Loud(sleeping_time=0.01, sentence="Good morning")
    worker.work()
    worker.bye()
    assert capfd.readouterr().out == "Good morning\n"


def test_what_the_library_refuses_is_told():
    with pytest.raises(AttributeError, match=r"Sleeping does not fit: sleeping_time: Not in values \(0.5\)"):
        registry.hire({"sleeping_time": 0.5})
    with pytest.raises(AttributeError, match="Sleeping does not fit: sleeping_time: Missing value"):
        registry.hire({"nothing": 0.5})


def test_priorities_and_the_number_of_instructions_decide_as_in_the_library():
    class Plain(Worker):
        _footprint = dict(attr=dict(kind=dict(values=["a"])))  # noqa: RUF012

    class Urgent(Worker):
        _footprint = dict(attr=dict(kind=dict(values=["a", "b"])), priority=dict(level=priorities.top.DEBUG))  # noqa: RUF012

    class More(Worker):
        _footprint = dict(attr=dict(kind=dict(values=["c"]), extra=dict(type=int)))  # noqa: RUF012

    class Less(Worker):
        _footprint = dict(attr=dict(kind=dict(values=["c"])))  # noqa: RUF012

    assert type(registry.hire({"kind": "a"})) is Urgent
    assert type(registry.hire({"kind": "c"})) is Less
    assert type(registry.hire({"kind": "c", "extra": 1})) is More
    assert Plain.footprint_level() != Urgent.footprint_level()


def test_classes_of_the_caller_travel_by_value_with_bases_and_super():
    class Base(Worker):
        _abstract = True
        _footprint = dict(attr=dict(amount=dict(type=int)))  # noqa: RUF012

        def _task(self):
            return self.amount * 2

    class Derived(Base):
        _footprint = dict(attr=dict(plus=dict(type=int, optional=True, default=1)))  # noqa: RUF012

        def _task(self):
            return super()._task() + self.plus

    with run_as_server({}, {"amount": ["1", 2]}) as boss:
        assert reports(boss) == [3, 5]


def test_one_class_declares_its_instructions_in_one_way():
    class ByFields(Worker):
        field: int

    with pytest.raises(TypeError, match="choose one of the two"):

        class Both(ByFields):
            _footprint = dict(attr=dict(kind=dict(values=["a"])))  # noqa: RUF012

    class Annotated(Sleeping):
        counted: int = 0

        def _task(self):
            return self.counted

    assert type(registry.hire({"sleeping_time": 0.01, "counted": 3})) is Annotated
    assert registry.hire({"sleeping_time": 0.01, "counted": 3}).counted == 0


def test_a_class_that_is_defined_anew_takes_the_place_of_the_old_one():
    def define(answer):
        text = f"class Again(Worker):\n    _footprint = dict(attr=dict(once=dict(type=int)))\n    answer = {answer}"
        exec(text, {"Worker": Worker, "__name__": "a notebook"})

    define(1)
    define(2)
    assert registry.hire({"once": 1}).answer == 2
    assert fpx.worker(once=1).answer == 2


def test_a_class_that_cannot_be_had_in_the_boss_is_told_where_it_is_missed(tmp_path, monkeypatch):
    (tmp_path / "short_lived.py").write_text(
        "from nws.taylorism import Worker\n"
        "class Gone(Worker):\n    _footprint = dict(attr=dict(gone=dict(type=int)))\n    def _task(self): return 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import short_lived

    assert short_lived.Gone
    with Boss() as boss:
        (tmp_path / "short_lived.py").write_text("raise ImportError('it is gone')")
        boss.set_instructions({}, {"gone": [1]})
        boss.make_them_work()
        with pytest.raises(AttributeError, match="Gone was left out: it cannot be had in the Boss: .*it is gone"):
            boss.wait_till_finished()
