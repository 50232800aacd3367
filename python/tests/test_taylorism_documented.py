"""What the documentation of the older package states, and no other test file holds."""

import inspect
import os
import subprocess
import sys

import pytest

from bosses import Gate, pid_of, reports
from hired import Gated, Squarer
from leftovers import wait_until
from nws import taylorism
from nws.taylorism import Boss, Worker, batch_main, run_as_server
from nws.taylorism.schedulers import BaseScheduler, LaxistScheduler, MaxThreadsScheduler

assert [Gated, Squarer]


def defaults(function):
    """Names and defaults of a function's arguments."""
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in parameters if one.name != "self"}


def test_the_signatures_are_the_documented_ones():
    required = inspect.Parameter.empty
    assert defaults(Boss.set_instructions) == {"common_instructions": {}, "individual_instructions": {}}
    assert defaults(Boss.make_them_work) == {"terminate": False, "stop_listening": False}
    assert defaults(Boss.get_report) == {"interim": True}
    for name in ("stop_them_working", "end", "wait_till_finished"):
        assert defaults(getattr(Boss, name)) == {}
    for name in ("work", "bye", "stop_working"):
        assert defaults(getattr(Worker, name)) == {}
    assert list(defaults(BaseScheduler.launchable)) == ["pending_instructions", "workers", "report"]
    for function in (run_as_server, batch_main):
        told = defaults(function)
        assert list(told) == ["common_instructions", "individual_instructions", "scheduler", "verbose"]
        assert (told["common_instructions"], told["verbose"]) == (required, False)
        assert type(told["scheduler"]) is MaxThreadsScheduler
    made = defaults(Boss.__init__)
    assert list(made) == ["scheduler", "name", "verbose"]
    assert type(made["scheduler"]) is MaxThreadsScheduler
    assert (made["name"], made["verbose"]) == (None, False)


def test_the_names_of_the_package():
    assert (taylorism.BaseScheduler, taylorism.MaxThreadsScheduler) == (BaseScheduler, MaxThreadsScheduler)
    assert taylorism.interrupt.SignalInterruptHandler and taylorism.schedulers.BaseScheduler is BaseScheduler


def test_the_simple_example_runs():
    done = subprocess.run(
        [sys.executable, "-m", "nws.taylorism.examples"], capture_output=True, text=True, timeout=60, check=True
    )
    first, *reports = done.stdout.splitlines()
    assert (first, done.stderr) == ("Report from workers:", "")
    assert sorted(reports) == [f"Awake after {seconds} s" for seconds in (0.01, 0.02, 0.03)]


def test_a_boss_has_its_name_its_verbosity_and_its_scheduler():
    scheduler = LaxistScheduler()
    with Boss(scheduler=scheduler, name="Frederick") as boss:
        assert (boss.scheduler, boss.name, boss.verbose) == (scheduler, "Frederick", False)


def test_run_as_server_lives_on_until_it_is_told_or_forgotten():
    boss = run_as_server({}, {"number": [2]})
    wait_until(lambda: len(boss.get_report()["workers_report"]) == 1, "the worker has reported")
    assert boss.get_report()["status"] == "interim"
    pid = pid_of(boss)
    assert os.path.exists(f"/proc/{pid}")
    boss = None
    assert not os.path.exists(f"/proc/{pid}")


def test_batch_main_stops_the_others_where_one_fails_and_raises(tmp_path, capfd):
    class After(Worker):
        """Fails when another worker has begun."""

        begun: str
        how: str

        def _task(self):
            wait_until(lambda: os.path.exists(self.begun), "the other has begun")
            raise LookupError(self.how)

    gate = Gate(tmp_path)
    both = {"gate": gate.gates * 2, "how": ["", "failed"], "worker": [Gated, After]}
    with pytest.raises(LookupError, match="failed"):
        batch_main({"begun": gate.begun[0]}, both, scheduler=LaxistScheduler())
    assert gate.was_unwound()
    assert "Report" not in capfd.readouterr().out


def test_batch_main_may_be_verbose(capfd):
    batch_main({}, {"number": [2], "name": ["two"]}, verbose=True)
    said = capfd.readouterr()
    assert said.out == "Report from workers:\n4\n"
    assert "worker two started" in said.err


def test_without_individual_instructions_nothing_is_done():
    with run_as_server({"number": 3}, {}) as boss:
        assert reports(boss) == []


def test_other_classes_of_workers_serve_other_instructions(tmp_path):
    gate = Gate(tmp_path)
    with Boss(scheduler=LaxistScheduler()) as boss:
        boss.make_them_work()
        boss.set_instructions({}, {"number": [3]})
        boss.set_instructions({}, gate.instructions)
        gate.wait()
        gate.open(0, "opened")
        boss.wait_till_finished()
        assert {one["report"] for one in boss.get_report()["workers_report"]} == {9, "opened"}


def test_an_interim_report_has_what_was_done_by_then(tmp_path):
    gate = Gate(tmp_path)
    with Boss(scheduler=LaxistScheduler()) as boss:
        boss.make_them_work()
        boss.set_instructions({}, {"number": [3], "name": ["three"]})
        boss.set_instructions({}, gate.instructions)
        gate.wait()
        wait_until(lambda: len(boss.get_report()["workers_report"]) == 1, "the first has reported")
        assert boss.get_report() == {"workers_report": [{"name": "three", "report": 9}], "status": "interim"}
        gate.open(0)
        boss.wait_till_finished()
        assert boss.get_report()["status"] == "finished"
        assert len(boss.get_report(interim=False)["workers_report"]) == 2


def test_what_cannot_be_reported_is_an_error_that_says_so():
    class Locked(Worker):
        locked: int

        def _task(self):
            import threading

            return threading.Lock()

    with run_as_server({}, {"locked": [1]}) as boss, pytest.raises(Exception, match="the report cannot be pickled: "):
        boss.wait_till_finished()


def test_a_worker_that_cannot_be_made_is_an_error_with_its_instructions():
    class Fussy(Worker):
        fussy: int

        def __init__(self, **instructions):
            super().__init__(**instructions)
            raise LookupError("not like this")

    with run_as_server({}, {"fussy": [1]}) as boss:
        with pytest.raises(LookupError, match="not like this") as error:
            boss.wait_till_finished()
    assert error.value.__cause__.instructions == {"fussy": 1}
