"""What a Boss is told, and what follows: the control signals, and reports before and after them."""

import os
import signal

import pytest

from bosses import Gate, pid_of, reports, workers_of
from hired import Deaf, Gated, Squarer
from leftovers import wait_until
from nws.taylorism import Boss
from nws.taylorism.schedulers import BaseScheduler, LaxistScheduler, MaxThreadsScheduler

assert [Deaf, Gated, Squarer]


@pytest.fixture
def boss():
    with Boss(scheduler=LaxistScheduler()) as boss:
        yield boss


def send(boss, name):
    boss.control_messenger_out.send(boss.control_signals[name])


def heard(boss):
    """Return when the Boss has heard all that it was told: it hears one message after the other."""
    boss.get_report()


def done(boss):
    """The reports of workers so far."""
    return [one["report"] for one in boss.get_report()["workers_report"]]


class Refusing(BaseScheduler):
    """Fails when it is asked."""

    def launchable(self, pending_instructions, workers, report):
        raise PermissionError("nobody works here")


def test_a_boss_begins_halted():
    with Boss(scheduler=Refusing()) as boss:
        boss.set_instructions({}, {"number": [1]})
        heard(boss)
        for _ in range(2):
            assert boss.get_report() == {"workers_report": [], "status": "interim"}
        boss.make_them_work()
        with pytest.raises(PermissionError, match="nobody works here"):
            boss.wait_till_finished()


def test_halt_lets_workers_finish_and_begins_none_until_resume(boss, tmp_path):
    gate = Gate(tmp_path, 2)
    boss.make_them_work()
    boss.set_instructions({}, {"begun": gate.begun[:1], "gate": gate.gates[:1]})
    gate.wait(0)
    send(boss, "HALT")
    boss.set_instructions({}, {"begun": gate.begun[1:], "gate": gate.gates[1:]})
    gate.open(0, "first")
    wait_until(lambda: done(boss) == ["first"], "the first has reported")
    assert not gate.has_begun(1)
    send(boss, "RESUME")
    gate.wait(1)
    gate.open(1, "second")
    boss.wait_till_finished()
    assert done(boss) == ["first", "second"]


def test_halt_makes_waiting_an_error_and_not_a_hang(boss):
    boss.set_instructions({}, {"number": [1]})
    with pytest.raises(RuntimeError, match=r"halted, and instructions are pending: call make_them_work\(\)"):
        boss.wait_till_finished()
    boss.make_them_work()
    assert reports(boss) == [1]


def test_send_report_is_answered_by_an_interim_report_and_work_goes_on(boss, tmp_path):
    gate = Gate(tmp_path)
    boss.set_instructions({}, gate.instructions)
    boss.make_them_work()
    gate.wait()
    assert boss.get_report(interim=False) is None
    send(boss, "SEND_REPORT")
    found = []
    wait_until(lambda: found.append(boss.get_report(interim=False)) or found[-1], "the report is there")
    assert found[-1] == {"workers_report": [], "status": "interim"}
    assert boss.get_report(interim=False) is None
    gate.open(0, "went on")
    boss.wait_till_finished()
    assert boss.get_report(interim=False)["status"] == "finished"
    assert done(boss) == ["went on"]


def test_end_does_what_is_pending_and_takes_no_more(boss, tmp_path, caplog):
    gate = Gate(tmp_path)
    boss.set_instructions({}, gate.instructions)
    boss.make_them_work()
    boss.set_instructions({}, {"number": [2]})
    send(boss, "END")
    boss.set_instructions({}, {"number": [3]})
    assert "takes no more instructions" in caplog.text
    gate.open(0, "gated")
    boss.wait_till_finished()
    assert set(done(boss)) == {4, "gated"}


def test_end_is_ended_by_a_stop(tmp_path):
    gate = Gate(tmp_path, 2)
    with Boss(scheduler=MaxThreadsScheduler(1)) as boss:
        boss.set_instructions({}, gate.instructions)
        boss.make_them_work()
        boss.end()
        gate.wait(0)
        send(boss, "STOP")
        heard(boss)
        gate.open(0)
        boss.wait_till_finished()
        assert boss.get_report()["status"] == "pending"
        assert not gate.has_begun(1)


def test_stop_lets_workers_finish_and_leaves_the_rest(tmp_path):
    gate = Gate(tmp_path, 3)
    with Boss(scheduler=MaxThreadsScheduler(2)) as boss:
        boss.set_instructions({"shared": [1]}, gate.instructions)
        boss.make_them_work()
        gate.wait(0)
        gate.wait(1)
        send(boss, "STOP")
        heard(boss)
        gate.open(1, "one")
        gate.open(0, "zero")
        boss.wait_till_finished()
        report = boss.get_report()
    assert report["status"] == "pending"
    assert sorted(one["report"] for one in report["workers_report"]) == ["one", "zero"]
    assert report["pending"] == [{"shared": [1], "begun": gate.begun[2], "gate": gate.gates[2]}]
    assert not gate.has_begun(2)


def test_stop_with_nothing_left_has_finished(boss):
    boss.make_them_work()
    send(boss, "STOP")
    assert reports(boss) == []


def test_stop_listening_gives_the_report_at_once_while_workers_go_on(boss, tmp_path):
    gate = Gate(tmp_path)
    boss.set_instructions({}, gate.instructions)
    boss.make_them_work()
    gate.wait()
    send(boss, "STOP_LISTENING")
    wait_until(lambda: boss.get_report()["status"] != "interim", "the last report is there")
    assert boss.get_report() == {"workers_report": [], "status": "finished"}
    gate.open()
    boss.wait_till_finished()
    assert gate.was_unwound()
    assert done(boss) == []


def test_make_them_work_and_stop_listening_begins_what_can_begin_at_once(tmp_path):
    gate = Gate(tmp_path, 2)
    with Boss(scheduler=MaxThreadsScheduler(1)) as boss:
        boss.set_instructions({}, gate.instructions)
        boss.make_them_work(stop_listening=True)
        gate.wait(0)
        gate.open(0)
        boss.wait_till_finished()
        report = boss.get_report()
        assert (report["status"], report["workers_report"]) == ("pending", [])
        assert [one["begun"] for one in report["pending"]] == gate.begun[1:]
        assert not gate.has_begun(1)


def test_an_error_that_nobody_listens_to_is_none(boss, tmp_path):
    gate = Gate(tmp_path)
    boss.set_instructions({}, gate.instructions)
    boss.make_them_work()
    gate.wait()
    send(boss, "STOP_LISTENING")
    heard(boss)
    for pid in workers_of(boss):
        os.kill(pid, signal.SIGKILL)
    boss.wait_till_finished()
    assert boss.get_report()["status"] == "finished"


def test_stop_rightnow_unwinds_the_workers_and_leaves_what_they_did(boss, tmp_path):
    gate = Gate(tmp_path, 2)
    boss.set_instructions({}, gate.instructions)
    boss.make_them_work()
    gate.wait(0)
    gate.wait(1)
    send(boss, "STOP_RIGHTNOW")
    boss.wait_till_finished()
    report = boss.get_report()
    assert (report["status"], report["workers_report"]) == ("pending", [])
    assert sorted(one["begun"] for one in report["pending"]) == gate.begun
    assert gate.was_unwound(0) and gate.was_unwound(1)


def test_make_them_work_and_terminate_is_the_end(boss, caplog):
    boss.set_instructions({}, {"number": [3]})
    boss.make_them_work(terminate=True)
    boss.set_instructions({}, {"number": [4]})
    assert "takes no more instructions" in caplog.text
    assert reports(boss) == [9]


def test_instructions_may_be_sent_as_messages_too(boss):
    boss.control_messenger_out.send([{"number": 2}, {"number": 3}])
    boss.control_messenger_out.send({"number": 4})
    boss.control_messenger_out.send("RESUME")
    assert reports(boss) == [4, 9, 16]
    with pytest.raises(ValueError, match="expected one of the control signals HALT, RESUME, .*got 'GO'"):
        boss.control_messenger_out.send("GO")


@pytest.mark.parametrize("message", [None, 3, b"HALT", ["HALT"], {1: 2}, {"HALT"}])
def test_a_message_that_is_neither_a_signal_nor_instructions_is_an_error_that_lists_the_signals(boss, message):
    with pytest.raises(TypeError, match="control signals HALT, RESUME, .*STOP_RIGHTNOW, or instructions: .*got "):
        boss.control_messenger_out.send(message)


def test_there_are_these_signals_and_each_has_a_text_of_its_own():
    assert set(Boss.control_signals) == {
        "HALT",
        "RESUME",
        "SEND_REPORT",
        "END",
        "STOP",
        "STOP_LISTENING",
        "STOP_RIGHTNOW",
    }
    assert len(set(Boss.control_signals.values())) == 7


def test_end_lets_the_boss_go_without_anybody_waiting(boss):
    boss.set_instructions({}, {"number": [2]})
    boss.make_them_work()
    boss.end()
    wait_until(lambda: boss._office.ended, "the Boss has ended")
    assert not os.path.exists(f"/proc/{pid_of(boss)}")
    assert done(boss) == [4]


def test_stop_them_working_after_the_end_changes_nothing(boss):
    boss.set_instructions({}, {"number": [2]})
    boss.make_them_work()
    assert reports(boss) == [4]
    boss.stop_them_working()
    boss.end()
    assert reports(boss) == [4]


def test_reports_of_a_boss_that_has_failed_are_its_error(boss):
    boss.set_instructions({}, {"begun": ["/nowhere/x"], "gate": ["/nowhere/y"]})
    boss.make_them_work()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        boss.wait_till_finished()
    for call in (boss.get_report, lambda: boss.get_report(interim=False)):
        with pytest.raises(FileNotFoundError):
            call()


def test_what_has_failed_is_raised_by_the_next_method_that_wants_work_done(boss):
    boss.set_instructions({}, {"begun": ["/nowhere/x"], "gate": ["/nowhere/y"]})
    boss.make_them_work()
    wait_until(lambda: boss._office.failure is not None, "the error is known")
    with pytest.raises(FileNotFoundError):
        boss.set_instructions({}, {"number": [1]})
    boss.make_them_work()  # it was raised
    boss.wait_till_finished()


def test_a_worker_that_does_not_listen_to_sigterm_is_ended_all_the_same(boss, tmp_path):
    begun = str(tmp_path / "begun")
    boss.set_instructions({}, {"deaf": [begun]})
    boss.make_them_work()
    wait_until(lambda: os.path.exists(begun), "it has begun")
    boss.stop_them_working()
    boss.wait_till_finished()
    assert boss.get_report()["pending"] == [{"deaf": begun}]
