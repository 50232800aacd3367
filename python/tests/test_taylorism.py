"""`nws.taylorism`: a Boss, its workers, and their reports."""

import os
import signal
import threading

import pytest

from bosses import Gate, pid_of, reports
from hired import Ended, Gated, Large, Odd, Printer, Raiser, Sleeper, Squarer
from leftovers import wait_until
from nws.taylorism import (
    Boss,
    BossDied,
    NoScheduler,
    UnevenInstructions,
    Worker,
    WorkerDied,
    WorkerFailed,
    batch_main,
    run_as_server,
)
from nws.taylorism.schedulers import MaxThreadsScheduler

assert [Ended, Gated, Large, Printer, Raiser, Sleeper, Squarer]  # that they are defined is what matters


@pytest.fixture
def boss():
    with Boss(scheduler=MaxThreadsScheduler(4)) as boss:
        yield boss


def test_instructions_become_reports(boss):
    boss.set_instructions({"offset": 1}, {"number": [1, 2, 3]})
    boss.make_them_work()
    assert reports(boss) == [2, 5, 10]


def test_a_report_has_the_name_of_its_worker_and_what_its_task_returned(boss):
    boss.set_instructions({}, {"number": [3, 4], "name": ["three", "four"]})
    boss.make_them_work()
    boss.wait_till_finished()
    report = boss.get_report()
    assert report.keys() == {"status", "workers_report"}
    assert sorted(report["workers_report"], key=lambda one: one["report"]) == [
        {"name": "three", "report": 9},
        {"name": "four", "report": 16},
    ]


def test_instructions_may_follow_while_others_are_worked_on(boss, tmp_path):
    gate = Gate(tmp_path)
    boss.make_them_work()
    boss.set_instructions({}, gate.instructions)
    gate.wait()
    boss.set_instructions({}, {"number": [5]})
    wait_until(lambda: boss.get_report()["workers_report"], "the second has reported")
    assert [one["report"] for one in boss.get_report()["workers_report"]] == [25]
    gate.open(text="opened")
    boss.wait_till_finished()
    assert [one["report"] for one in boss.get_report()["workers_report"]] == [25, "opened"]


def test_individual_instructions_go_before_common_ones_and_are_needed_for_anything_to_be_done(boss):
    boss.set_instructions({"number": 1, "offset": 7}, {"number": [2]})
    boss.set_instructions({"number": 3})
    boss.make_them_work()
    assert reports(boss) == [11]


def test_instructions_are_what_they_were_when_they_were_given(boss):
    numbers, common = [1, 2], {"offset": 0}
    boss.set_instructions(common, {"number": numbers})
    numbers[0] = common["offset"] = 100
    boss.make_them_work()
    assert reports(boss) == [1, 4]
    assert numbers == [100, 2]


def test_uneven_lists_are_refused_with_the_length_of_each(boss):
    with pytest.raises(UnevenInstructions) as refused:
        boss.set_instructions({}, {"number": [1, 2], "offset": [1, 2, 3]})
    assert isinstance(refused.value, ValueError)
    assert "expected lists of one length, but number has 2, offset has 3" in str(refused.value)
    boss.set_instructions({}, {"number": [1]})
    boss.make_them_work()
    assert reports(boss) == [1]


@pytest.mark.parametrize(
    ("common", "individual", "told"),
    [
        ([1], {}, "common_instructions: expected a dict"),
        ({1: 2}, {}, "common_instructions: expected a dict with names"),
        ({}, {"number": 3}, r"individual_instructions\['number'\]: expected a list .* got a int"),
        ({}, {"number": "123"}, "got a str"),
        ({}, {"number": iter([1])}, "got a list_iterator"),
        ({}, {"number": [threading.Lock()]}, "the instructions cannot be sent to the Boss's process: .*lock"),
    ],
)
def test_what_are_no_instructions_is_refused(boss, common, individual, told):
    with pytest.raises(TypeError, match=told):
        boss.set_instructions(common, individual)


def test_a_scheduler_is_one():
    with pytest.raises(NoScheduler, match="expected an instance of a BaseScheduler, got 3") as refused:
        Boss(scheduler=3)
    assert isinstance(refused.value, TypeError)


def test_instructions_that_fit_no_worker_are_an_error_that_says_so(boss):
    boss.set_instructions({"nothing": 1, "offset": "a"}, {"number": ["one"]})
    boss.make_them_work()
    with pytest.raises(AttributeError) as error:
        boss.wait_till_finished()
    text = str(error.value)
    assert "no class of workers fits these instructions" in text
    assert "number = 'one'" in text
    assert "Squarer does not fit: number is to be int, not str, offset is to be int, not str" in text
    assert "Sleeper does not fit: seconds is missing" in text


def test_an_error_of_a_worker_is_raised_with_its_type_its_traceback_and_its_instructions(boss):
    boss.set_instructions({"extra": [1]}, {"how": ["raise"], "name": ["guilty"]})
    boss.make_them_work()
    with pytest.raises(KeyError) as error:
        boss.wait_till_finished()
    assert error.value.args == ("the key", 7)
    cause = error.value.__cause__
    assert isinstance(cause, WorkerFailed)
    assert (cause.type, cause.name) == ("KeyError", "guilty")
    assert cause.instructions == {"extra": [1], "how": "raise", "name": "guilty"}
    assert cause.traceback.startswith("Traceback (most recent call last):\n  File ")
    assert "hired.py" in cause.traceback.splitlines()[1]
    assert "instructions of the worker guilty:\n  extra = [1]\n  how = 'raise'" in str(cause)
    with pytest.raises(KeyError):
        boss.get_report()
    with pytest.raises(KeyError):
        boss.get_report(interim=False)
    boss.wait_till_finished()  # it was raised


def test_an_error_of_a_worker_stops_the_others(boss, tmp_path):
    gate = Gate(tmp_path)
    boss.set_instructions({}, gate.instructions)
    boss.make_them_work()
    gate.wait()
    boss.set_instructions({}, {"how": ["raise"]})
    with pytest.raises(KeyError):
        boss.wait_till_finished()
    assert gate.was_unwound()


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [("odd", "hired.Odd", "one and two"), ("lock", "ValueError", "has a lock")],
)
def test_an_exception_that_cannot_travel_arrives_as_text(boss, error, name, message):
    boss.set_instructions({}, {"error": [error]})
    boss.make_them_work()
    with pytest.raises(WorkerFailed) as failed:
        boss.wait_till_finished()
    assert not isinstance(failed.value, Odd)
    assert name in failed.value.type
    assert message in failed.value.message
    assert "hired.py" in failed.value.traceback


def test_want_of_memory_is_an_error_with_its_own_type(boss):
    boss.set_instructions({}, {"error": ["memory"]})
    boss.make_them_work()
    with pytest.raises(MemoryError, match="no more"):
        boss.wait_till_finished()


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "SIGTERM", "SIGINT", "SIGABRT", "SIGHUP"])
def test_a_worker_that_a_signal_ends_is_an_error(boss, how, capfd):
    boss.set_instructions({}, {"how": [how], "name": ["killed"]})
    boss.make_them_work()
    with pytest.raises(WorkerDied, match=f"ended by {how}") as died:
        boss.wait_till_finished()
    assert (died.value.signal, died.value.exitCode) == (signal.Signals[how], None)
    assert (died.value.name, died.value.instructions) == ("killed", {"how": how, "name": "killed"})


@pytest.mark.parametrize(("how", "code"), [("exit", 3), ("leave", 4)])
def test_a_worker_that_leaves_python_is_an_error(boss, how, code):
    boss.set_instructions({}, {"how": [how]})
    boss.make_them_work()
    with pytest.raises(WorkerDied, match=f"left Python with exit code {code}") as died:
        boss.wait_till_finished()
    assert (died.value.signal, died.value.exitCode) == (None, code)


def test_a_boss_that_is_killed_is_an_error_that_says_how(boss, tmp_path):
    gate = Gate(tmp_path)
    boss.set_instructions({}, gate.instructions)
    boss.make_them_work()
    gate.wait()
    os.kill(pid_of(boss), signal.SIGKILL)
    with pytest.raises(BossDied, match="SIGKILL"):
        boss.wait_till_finished()
    with pytest.raises(BossDied):
        boss.get_report()


def test_reports_and_instructions_may_be_large(boss):
    given, size = 30_000_000, 100_000_000
    boss.set_instructions({"given": bytes(given)}, {"size": [size]})
    boss.make_them_work()
    boss.wait_till_finished()
    [one] = boss.get_report()["workers_report"]
    assert (one["report"][0], len(one["report"][1])) == (given, size)


def test_what_workers_write_goes_where_the_masters_output_goes(capfd):
    with run_as_server({}, {"text": ["hello"]}) as boss:
        boss.wait_till_finished()
    said = capfd.readouterr()
    assert said.out == "hello\nhello\n"
    assert said.err == "hello\n"


def test_run_as_server_returns_the_boss_at_work():
    with run_as_server({}, {"number": [2]}) as boss:
        assert isinstance(boss, Boss)
        boss.set_instructions({}, {"number": [3]})
        assert reports(boss) == [4, 9]


def test_batch_main_waits_and_prints_the_reports(capfd):
    assert batch_main({}, {"number": [2]}, scheduler=MaxThreadsScheduler(1)) is None
    assert capfd.readouterr().out == "Report from workers:\n4\n"


def test_a_verbose_boss_tells_of_workers_and_their_reports(capfd):
    with Boss(name="the boss", verbose=True) as boss:
        boss.set_instructions({}, {"number": [2], "name": ["two"]})
        boss.make_them_work()
        assert reports(boss) == [4]
    assert capfd.readouterr().err == "the boss: worker two started\nthe boss: worker two reports 4\n"


def test_classes_of_the_caller_travel_by_value(boss):
    class Doubler(Worker):
        doubled: int

        def _task(self):
            return self.doubled * 2

    boss.set_instructions({}, {"doubled": [1, 2]})
    boss.make_them_work()
    assert reports(boss) == [2, 4]


def test_of_classes_that_fit_equally_well_the_instructions_say_which(boss):
    class Cuber(Worker):
        number: int

        def _task(self):
            return self.number**3

    boss.set_instructions({}, {"number": [2, 2], "worker": [Cuber, Squarer]})
    boss.make_them_work()
    wait_until(lambda: len(boss.get_report()["workers_report"]) == 2, "both have reported")
    boss.set_instructions({}, {"number": [2]})
    with pytest.raises(AttributeError, match=r"several Workers fit .* equally well: .*Cuber and Squarer; say which"):
        boss.wait_till_finished()
    assert sorted(one["report"] for one in boss._reports()) == [4, 8]
