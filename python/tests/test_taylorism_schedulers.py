"""The schedulers of `nws.taylorism`: what they choose, by themselves and in a Boss."""

import json
import os
import threading

import pytest

from bosses import reports
from hired import Sleeper, Squarer
from leftovers import wait_until
from nws.taylorism import Boss
from nws.taylorism.schedulers import (
    BaseScheduler,
    LaxistScheduler,
    LongerFirstScheduler,
    MaxMemoryScheduler,
    MaxThreadsScheduler,
    SingleOpenFileScheduler,
)

assert [Sleeper, Squarer]


class Running:
    """As a scheduler sees a worker."""

    def __init__(self, **instructions):
        self._instructions = instructions


def chosen(scheduler, pending, *running):
    """What a scheduler chooses, as indexes; the rest must be what stays."""
    workers = {str(number): worker for number, worker in enumerate(running)}
    launchable, later = scheduler.launchable(pending, workers=workers, report=[])
    assert sorted(map(id, launchable + later)) == sorted(map(id, pending))
    return [pending.index(one) for one in launchable]


def some(**lists):
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def test_at_most_so_many_work_at_a_time():
    scheduler = MaxThreadsScheduler(3)
    pending = some(number=[1, 2, 3, 4])
    assert chosen(scheduler, pending) == [0, 1, 2]
    assert chosen(scheduler, pending, Running()) == [0, 1]
    assert chosen(scheduler, pending, *[Running()] * 3) == []


def test_by_default_one_works_on_each_core(monkeypatch):
    cores = len(os.sched_getaffinity(0))
    assert 1 <= MaxThreadsScheduler().max_threads <= cores
    assert MaxThreadsScheduler().max_threads == MaxThreadsScheduler(None).max_threads
    monkeypatch.setenv("NWS_WORKERS", "7")
    assert MaxThreadsScheduler().max_threads == 7
    assert MaxThreadsScheduler(2).max_threads == 2


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError), ("2", TypeError)])
def test_a_wrong_number_of_threads_is_refused(value, error):
    with pytest.raises(error, match="max_threads: expected a number of workers"):
        MaxThreadsScheduler(value)


def test_without_a_limit_all_work_at_once():
    assert chosen(LaxistScheduler(), some(number=range(1000)), *[Running()] * 100) == list(range(1000))


def test_what_fits_into_memory_works():
    scheduler = MaxMemoryScheduler(0.5, total_system_memory=2000)
    pending = some(memory=[400, 700, 500, 100])
    assert chosen(scheduler, pending) == [0, 2, 3]
    assert chosen(scheduler, pending, Running(memory=600)) == [0]
    assert chosen(scheduler, pending, Running(memory=1000)) == []


def test_the_machines_memory_is_the_limit_by_default():
    with open("/proc/meminfo") as file:
        machine_mib = int(file.readline().split()[1]) / 1024
    assert 0 < MaxMemoryScheduler().max_memory <= 0.75 * machine_mib
    assert MaxMemoryScheduler(1.0).max_memory == pytest.approx(MaxMemoryScheduler(0.5).max_memory * 2)


def test_a_need_that_can_never_be_met_or_is_not_told_is_an_error():
    scheduler = MaxMemoryScheduler(0.5, total_system_memory=2000)
    with pytest.raises(ValueError, match=r"(?s)need 1001 MiB, and the limit is 1000 MiB:.*name = 'big'"):
        chosen(scheduler, [{"memory": 1001, "name": "big"}])
    with pytest.raises(ValueError, match="expected 'memory' among the instructions"):
        chosen(scheduler, [{"name": "silent"}])
    assert chosen(MaxMemoryScheduler(1, 1000, memory_per_task=400), some(number=[1, 2, 3])) == [0, 1]


@pytest.mark.parametrize(("share", "total"), [(0, None), (1.1, None), (0.5, 0), (0.5, -1)])
def test_a_wrong_share_of_memory_is_refused(share, total):
    with pytest.raises(ValueError, match="expected"):
        MaxMemoryScheduler(share, total)


def test_what_takes_longest_goes_first():
    scheduler = LongerFirstScheduler(2)
    pending = some(expected_time=[1, 5, 3, 4])
    launchable, later = scheduler.launchable(pending, workers={}, report=[])
    assert [one["expected_time"] for one in launchable] == [5, 4]
    later.append({"expected_time": 2})
    launchable, later = scheduler.launchable(later, workers={"one": Running()}, report=[])
    assert [one["expected_time"] for one in launchable] == [3]
    assert [one["expected_time"] for one in later] == [2, 1]


def test_what_takes_longest_may_have_to_fit_into_memory_as_well():
    scheduler = LongerFirstScheduler(3, max_memory_percentage=1, total_system_memory=100)
    assert chosen(scheduler, some(expected_time=[1, 2, 3], memory=[10, 60, 70])) == [2, 0]


def test_how_long_instructions_took_is_remembered(tmp_path):
    file = tmp_path / "durations"
    first = LongerFirstScheduler(1, remembered=file)
    for number, seconds in ((1, 0.5), (2, 2.5), (3, 1.5)):
        first.finished({"number": number, "name": f"worker {number}"}, seconds)
    first.end()
    again = LongerFirstScheduler(1, remembered=file)
    assert [one["number"] for one in again._ordered(some(number=[1, 2, 3]))] == [2, 3, 1]
    # What was never seen may be the longest of all; what is declared counts more than what is remembered.
    pending = [{"number": 1}, {"number": 4}, {"number": 2, "expected_time": 0.1}]
    assert [one["number"] for one in again._ordered(pending)] == [4, 1, 2]


def test_two_bosses_may_remember_in_one_file(tmp_path):
    file = tmp_path / "durations"
    one, two = (LongerFirstScheduler(1, remembered=file) for _ in range(2))
    one.finished({"number": 1}, 1.0)
    two.finished({"number": 2}, 2.0)
    one.end()
    two.end()
    assert sorted(json.loads(file.read_text())["seconds"].values()) == [1.0, 2.0]


@pytest.mark.parametrize(
    "content", [b"my thesis", b"[1]", b'{"seconds": 3}', b'{"title": 3}', b"\xff\xfe", b"[" * 100_000]
)
def test_another_kind_of_file_is_refused_and_left_alone(tmp_path, content):
    file = tmp_path / "thesis.txt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected remembered durations in .*thesis.txt.*remove it to begin anew"):
        LongerFirstScheduler(1, remembered=file)
    # Nor where it takes the place of the right one later.
    file.unlink()
    scheduler = LongerFirstScheduler(1, remembered=file)
    scheduler.finished({"number": 1}, 1.0)
    file.write_bytes(content)
    with pytest.raises(ValueError, match="expected remembered durations"):
        scheduler.end()
    assert file.read_bytes() == content


def test_an_empty_file_may_become_one_of_durations(tmp_path):
    file = tmp_path / "durations"
    file.touch()
    scheduler = LongerFirstScheduler(1, remembered=file)
    assert chosen(scheduler, some(number=[1, 2])) == [0]
    scheduler.finished({"number": 1}, 1.0)
    scheduler.end()
    assert list(json.loads(file.read_text())["seconds"].values()) == [1.0]


def test_durations_are_remembered_from_run_to_run(tmp_path):
    file = tmp_path / "durations"
    lengths = [0.01, 0.05, 0.03]

    def order():
        with Boss(scheduler=LongerFirstScheduler(1, remembered=file)) as boss:
            boss.set_instructions({}, {"seconds": lengths})
            boss.make_them_work()
            boss.wait_till_finished()
            return [one["report"] for one in boss.get_report()["workers_report"]]

    assert order() == lengths
    took = LongerFirstScheduler(1, remembered=file)
    assert all(took._seconds({"seconds": length}) >= length for length in lengths)
    for length, seconds in zip(lengths, (2.0, 1.0, 3.0), strict=True):
        took.finished({"seconds": length}, seconds)
    took.end()
    assert order() == [0.03, 0.01, 0.05]


def test_no_two_have_the_same_file(tmp_path):
    (tmp_path / "a").touch()
    os.symlink(tmp_path / "a", tmp_path / "link to a")
    a, b, link = (str(tmp_path / name) for name in ("a", "b", "link to a"))
    scheduler = SingleOpenFileScheduler(10)
    assert chosen(scheduler, some(file=[a, a, b, link])) == [0, 2]
    assert chosen(scheduler, some(file=[a, b]), Running(fileA=a)) == [1]
    assert chosen(scheduler, [{"files": [a, b]}, {"file": tmp_path / "b"}, {"number": 1}]) == [0, 2]
    assert chosen(SingleOpenFileScheduler(10, files="path"), [{"path": a}, {"path": a}, {"file": a}]) == [0, 2]
    assert chosen(SingleOpenFileScheduler(1), some(file=[a, b])) == [0]


def test_a_path_is_looked_up_once_however_often_the_scheduler_is_asked(tmp_path):
    a, b, link = (str(tmp_path / name) for name in ("a", "b", "link"))
    os.symlink(a, link)
    scheduler = SingleOpenFileScheduler(10)
    assert chosen(scheduler, some(file=[b, link]), Running(file=a)) == [0]
    os.unlink(link)
    os.symlink(b, link)
    assert chosen(scheduler, some(file=[link]), Running(file=a)) == []


def test_a_base_scheduler_says_what_is_missing():
    with Boss(scheduler=BaseScheduler()) as boss:
        boss.set_instructions({}, {"number": [1]})
        boss.make_them_work()
        with pytest.raises(NotImplementedError, match="BaseScheduler has no launchable"):
            boss.wait_till_finished()


class Watching(BaseScheduler):
    """One at a time, the next one chosen by what was reported."""

    def launchable(self, pending_instructions, workers, report):
        assert all(isinstance(worker, Squarer) for worker in workers.values())
        if workers:
            return [], pending_instructions
        done = [one["report"] for one in report]
        assert len(done) == len(report) and report[:] == list(report)
        wanted = 3 - len(done)
        return (
            [one for one in pending_instructions if one["number"] == wanted],
            [one for one in pending_instructions if one["number"] != wanted],
        )


def test_a_scheduler_of_ones_own_is_asked_with_what_is_pending_worked_on_and_reported():
    with Boss(scheduler=Watching()) as boss:
        boss.set_instructions({}, {"number": [1, 2, 3]})
        boss.make_them_work()
        boss.wait_till_finished()
        assert [one["report"] for one in boss.get_report()["workers_report"]] == [9, 4, 1]


class Hesitating(BaseScheduler):
    """Says yes the fifth time that it is asked."""

    asked = 0

    def launchable(self, pending_instructions, workers, report):
        self.asked += 1
        return (pending_instructions, []) if self.asked >= 5 else ([], pending_instructions)


def test_a_scheduler_of_ones_own_is_asked_again_although_nothing_has_come():
    with Boss(scheduler=Hesitating()) as boss:
        boss.set_instructions({}, {"number": [2]})
        boss.make_them_work()
        boss.wait_till_finished()
        assert len(boss.get_report()["workers_report"]) == 1


class Choosy(BaseScheduler):
    """One at a time; after the first report it has had enough."""

    def launchable(self, pending_instructions, workers, report):
        if report:
            raise ValueError("I do not like this report")
        return ([], pending_instructions) if workers else (pending_instructions[:1], pending_instructions[1:])


def test_a_scheduler_that_raises_when_no_worker_is_left_is_an_error():
    with Boss(scheduler=Choosy()) as boss:
        boss.set_instructions({}, {"number": [1, 2]})
        boss.make_them_work()
        boss.end()
        with pytest.raises(ValueError, match="I do not like this report"):
            boss.wait_till_finished()


class Proud(LaxistScheduler):
    """Puts something of its own, which cannot be pickled, into the instructions that it leaves."""

    def launchable(self, pending_instructions, workers, report):
        return [], [{**one, "lock": threading.Lock()} for one in pending_instructions]


def test_instructions_that_cannot_be_told_as_left_are_an_error():
    with Boss(scheduler=Proud()) as boss:
        boss.set_instructions({}, {"number": [1, 2]})
        boss.make_them_work()
        boss.get_report()
        boss.stop_them_working()
        wait_until(lambda: boss._office.ended, "it has ended, although nothing more is said to it")
        with pytest.raises(TypeError, match="pickle"):
            boss.wait_till_finished()


def test_durations_that_cannot_be_remembered_are_a_warning_and_the_work_is_done(tmp_path, capfd):
    with Boss(scheduler=LongerFirstScheduler(1, remembered=tmp_path / "no folder" / "durations")) as boss:
        boss.set_instructions({}, {"number": [1, 2]})
        boss.make_them_work()
        assert reports(boss) == [1, 4]
    assert "no folder" in capfd.readouterr().err


class Answering(BaseScheduler):
    """Gives an answer that is made of what is pending."""

    def __init__(self, answer):
        self.answer = answer

    def launchable(self, pending_instructions, workers, report):
        return self.answer(pending_instructions)


NOT_TWO_LISTS = r"Answering.launchable: expected two lists, the instructions to hand out and those that stay pending"
EACH_ONCE = r"Answering.launchable: expected each instructions in one of its two lists, got "


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (lambda pending: pending, TypeError, rf"{NOT_TWO_LISTS}, got \[.*, a list"),
        (lambda pending: None, TypeError, rf"{NOT_TWO_LISTS}, got None, a NoneType"),
        (lambda pending: "ab", TypeError, rf"{NOT_TWO_LISTS}, got 'ab', a str"),
        (lambda pending: ("ab", pending), TypeError, rf"{NOT_TWO_LISTS}, got \('ab', \[.*, a tuple"),
        (lambda pending: (pending[0], pending[1:]), TypeError, NOT_TWO_LISTS),
        (lambda pending: (3, pending), TypeError, NOT_TWO_LISTS),
        (lambda pending: {"launchable": pending, "pending": []}, TypeError, NOT_TWO_LISTS),
        (
            lambda pending: (["first"], pending[1:]),
            TypeError,
            rf"{NOT_TWO_LISTS}, each a dict, got 'first', a str among",
        ),
        (lambda pending: ([], ["first"] * 5), TypeError, rf"{NOT_TWO_LISTS}, each a dict, got 'first'"),
        (lambda pending: ([], []), ValueError, rf"{EACH_ONCE}0 to hand out and 0 to stay of 5 .*number = 7"),
        (
            lambda pending: (pending[:1], pending[2:]),
            ValueError,
            rf"{EACH_ONCE}1 to .* 3 to .*neither list are\n  number = 8$",
        ),
        (
            lambda pending: (pending.clear(), ([], pending))[1],
            ValueError,
            rf"{EACH_ONCE}0 to hand out and 0 to stay of 5",
        ),
        (lambda pending: (pending[:1], pending), ValueError, rf"{EACH_ONCE}some in both"),
        (lambda pending: (pending[:1] * 2, pending[1:]), ValueError, rf"{EACH_ONCE}some in both, or twice in one"),
        (lambda pending: (pending[:1], [dict(one) for one in pending]), ValueError, rf"{EACH_ONCE}1 .* 5 to stay of 5"),
    ],
)
def test_a_scheduler_that_answers_with_something_else_is_an_error(answer, kind, told):
    with Boss(scheduler=Answering(answer)) as boss:
        boss.set_instructions({}, {"number": [7, 8, 9, 10, 11]})
        boss.make_them_work()
        with pytest.raises(kind, match=f"(?s){told}") as error:
            boss.wait_till_finished()
        assert error.value.__cause__.name is None


@pytest.mark.parametrize(
    "answer",
    [
        lambda pending: ([pending.pop()], pending),
        lambda pending: [iter(pending[:1]), tuple(pending[1:])],
        lambda pending: ([{**one, "number": one["number"]} for one in pending], []),
    ],
)
def test_a_scheduler_may_change_the_list_and_the_instructions_and_answer_with_any_kind_of_list(answer):
    with Boss(scheduler=Answering(answer)) as boss:
        boss.set_instructions({}, {"number": [1, 2, 3]})
        boss.make_them_work()
        assert reports(boss) == [1, 4, 9]
