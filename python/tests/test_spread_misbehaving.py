"""Commands that answer more than they are asked, or write without end: no task gets another's result unnoticed."""

import os
import pickle
import queue
import threading

import pytest

from leftovers import wait_until
from nws.spread_jobs import Connection_subprocess, NoResponse, RemoteException, main, workers_c
from spread_workers import SQUARES, script, serving

# What is told of commands, as that one is given up, is beside the point where no test looks for it.
pytestmark = [pytest.mark.usefixtures("mark"), pytest.mark.filterwarnings("ignore:spread_jobs:RuntimeWarning")]


class Own(Connection_subprocess):
    """Reached by a thread, not by the engine."""


BOTH = pytest.mark.parametrize("factory", [Connection_subprocess, Own])

# A worker whose first life does as it is told below; later ones answer each task once. `task()` reads one, `answer`
# writes, `wait` returns when the next task is in the pipe, and nothing of it is read.
ONCE = """
    import select
    tasks = os.fdopen(0, "rb", buffering=0)
    def task():
        try:
            return pickle.load(tasks)
        except EOFError:
            sys.exit()
    def answer(x):
        os.write(1, pickle.dumps((x, None, None)))
    def wait():
        select.select([0], [], [])
    if not os.path.exists({path!r}):
        open({path!r}, "w").close()
        {first}
    while True:
        answer(task())
"""


def once(path, first):
    return script(ONCE.format(path=str(path), first="; ".join(first)))


@BOTH
def test_an_answer_that_comes_before_its_task_is_read_is_none(factory, tmp_path):
    worker = once(tmp_path / "lived", ["answer(task())", "wait()", "answer('again')", "time.sleep(1000)"])
    with pytest.warns(RuntimeWarning, match="an answer before it had read the task"):
        assert main(range(5), [worker], factory)[0] == list(range(5))


@BOTH
def test_results_that_may_be_those_of_other_tasks_are_made_again(factory, tmp_path):
    # The answer of task 1 is written twice, and the second comes when task 2 was read, so that it is taken for that.
    late = ["answer(task())", "one = task()", "answer(one)", "two = task()", "answer(one)", "wait()"]
    # Whether the program has taken them by then or not.
    for seen in (True, False):
        path = tmp_path / f"seen {seen}"
        os.mkfifo(path)
        pause = f"open({str(path)!r}).read()" if seen else "pass"
        worker = once(tmp_path / f"lived {seen}", [*late, pause, "answer(two)", "time.sleep(1000)"])
        answers = []

        def told(start, end, path=path, seen=seen, answers=answers):
            answers.append(end - start)
            if seen and len(answers) == 3:
                threading.Thread(target=lambda: open(path, "w").close()).start()

        with pytest.warns(RuntimeWarning, match="results are made again; each task has one answer"):
            assert main(range(9), [worker], factory, timing_callback=told)[0] == list(range(9))


def test_an_answer_that_nobody_had_asked_for_is_found_when_the_next_task_comes(tmp_path):
    twice = tmp_path / "twice"
    # It reads the next task, too, so that only what waits before tells that there is one too many.
    first = ["answer(task())", "answer(0)", f"os.mkdir({str(twice)!r})", "task()", "time.sleep(1000)"]

    def todo():
        yield 0
        wait_until(twice.exists, "it has answered twice")
        yield 1

    with pytest.warns(RuntimeWarning, match="what nobody had asked for"):
        assert main(todo(), [once(tmp_path / "lived", first)])[0] == [0, 1]
    twice.rmdir()
    iqueue, oqueue = queue.Queue(), queue.Queue()
    iqueue.put((0, 0))
    workers = workers_c(Connection_subprocess, [once(tmp_path / "lived too", first)], iqueue, oqueue)
    assert oqueue.get(timeout=20) == (0, 0)
    wait_until(twice.exists, "it has answered twice")
    iqueue.put((1, 1))
    assert oqueue.get(timeout=20).message.startswith("it wrote what nobody had asked for")
    assert oqueue.get(timeout=20) == (1, 1)
    workers.close()
    assert workers.join() == [[]]


@BOTH
def test_one_answer_too_many_at_the_end_is_an_error_where_results_may_be_wrong(factory, tmp_path):
    one_more = script("""
        last = None
        while True:
            try:
                last = pickle.load(sys.stdin.buffer)
            except EOFError:
                break
            pickle.dump((last, None, None), sys.stdout.buffer)
            sys.stdout.flush()
        pickle.dump((last, None, None), sys.stdout.buffer)
    """)
    with pytest.raises(NoResponse, match="answered once more than it was asked.*may be those of other tasks") as raised:
        main(range(3), [one_more], factory)
    assert raised.value.results == [0, 1, 2]
    # Of a single answer nothing came before that could have been taken for it.
    with pytest.warns(RuntimeWarning, match="answered once more than it was asked"):
        assert main([7], [one_more], factory)[0] == [7]


def test_one_answer_too_many_in_json_is_seen_too():
    worker = ["sh", "-c", "while read x; do echo '{\"result\": '$x'}'; done; echo '{\"result\": 0}'"]
    with pytest.raises(NoResponse, match="answered once more than it was asked"):
        main([1, 2], [worker], encoding="json")
    # What begins with something else is a tail, whatever follows.
    assert main([1, 2], [["sh", "-c", worker[2].replace("done;", "done; echo bye;")]], encoding="json")[0] == [1, 2]


def test_a_tail_of_pickles_is_no_answer():
    summary = script("""
        try:
            while True:
                pickle.dump((pickle.load(sys.stdin.buffer), None, None), sys.stdout.buffer)
                sys.stdout.flush()
        except EOFError:
            pickle.dump({"done": True}, sys.stdout.buffer)
    """)
    results, tails = main([1, 2], [summary])
    assert results == [1, 2]
    assert pickle.loads("".join(tails[0]).encode("utf-8", "surrogateescape")) == {"done": True}


def test_who_never_answers_and_writes_without_end_costs_the_others_nothing(tmp_path):
    # It takes no task for itself, and begins to write when its standard input ends: all tasks are done then.
    floods = ["sh", "-c", "read x && exit 1; exec yes"]
    well = ["sh", "-c", "while read x; do echo '{\"result\": '$x'}'; done"]
    with pytest.warns(RuntimeWarning, match="it has answered nothing, and wrote more than 100000 bytes"):
        results, tails = main([1], [floods, well], encoding="json", limit_bytes=100_000)
    assert (results, tails) == ([1], [[], []])


def test_who_writes_without_end_while_nothing_is_asked_is_ended_soon(tmp_path):
    os.mkfifo(tmp_path / "pid")
    floods = ["sh", "-c", f"echo $$ > '{tmp_path}/pid'; exec yes"]
    # It answers when the other one has ended, which by itself would never do so.
    well = serving(f"""
        import select
        number = int(open("{tmp_path}/pid").read())
        try:
            select.select([os.pidfd_open(number)], [], [])
        except ProcessLookupError:
            pass
        return x
    """)
    with pytest.warns(RuntimeWarning, match="wrote (more than 65536 bytes that|what) nobody had asked for|no answer"):
        # Whoever gets the task: the other one would wait for a reader that does not come.
        assert main([1], [well, floods], timeout=20)[0] == [1]


def test_a_line_without_end_is_known_by_its_beginning():
    with pytest.raises(NoResponse, match="expected a line of JSON, an object, got"):
        main([1], [["sh", "-c", "read x; yes | tr -d '\\n'"]], encoding="json")


def test_a_task_that_has_failed_goes_to_another_command(tmp_path):
    # The bad one notes each task that it gets; the good one answers when the bad one is there again.
    note = tmp_path / "got"
    os.mkfifo(tmp_path / "back")
    bad = script(f"""
        if os.path.exists({str(note)!r}):
            open("{tmp_path}/back", "w").close()
        x = pickle.load(sys.stdin.buffer)
        open({str(note)!r}, "a").write(f"{{x}} ")
        os.kill(os.getpid(), 9)
    """)
    good = serving(f"""
        if not state:
            state["waited"] = open("{tmp_path}/back").read()
        return x
    """)
    assert main([0, 1], [bad, good], past_performance=None)[0] == [0, 1]
    assert len(note.read_text().split()) == 1


OWN_KIND = "from nws.spread_jobs import TooBusy\nclass Later(TooBusy):\n    pass\n"


def test_a_refusal_of_a_class_of_ones_own_is_honoured_at_once(tmp_path, monkeypatch):
    (tmp_path / "kinds_of_busy.py").write_text(OWN_KIND)
    monkeypatch.syspath_prepend(str(tmp_path))
    os.mkfifo(tmp_path / "refused")
    got = tmp_path / "got"
    refuses = script(f"""
        sys.path.insert(0, {str(tmp_path)!r})
        from kinds_of_busy import Later
        while True:
            try:
                x = pickle.load(sys.stdin.buffer)
            except EOFError:
                break
            if not os.path.exists({str(got)!r}):
                open("{tmp_path}/refused", "w").close()
            open({str(got)!r}, "a").write(f"{{x}} ")
            pickle.dump((Later(1000), None, None), sys.stdout.buffer)
            sys.stdout.flush()
    """)
    # It begins when the other has refused, so that all tasks but one are waiting then.
    well = serving(f"""
        if not state:
            state["waited"] = open("{tmp_path}/refused").read()
        return x
    """)
    assert main(range(100), [refuses, well], past_performance=None)[0] == list(range(100))
    assert len(got.read_text().split()) == 1


@pytest.mark.parametrize("encoding", ["pickle", "json"])
def test_a_served_worker_may_raise_or_return_kinds_of_refusals_that_the_program_does_not_know(encoding):
    worker = script(f"""
        from nws.spread_jobs import RemoteException, TooBusy, serve
        class Later(TooBusy):
            delay = 0
            def __init__(self):
                pass
        class No(RemoteException):
            pass
        def refuse():
            raise Later
        moods = [refuse, Later]
        def compute(x):
            if moods:
                return moods.pop()()
            if x == 3:
                raise No("no three")
            return x
        serve(compute, encoding={encoding!r})
    """)
    assert main([1, 2], [worker], encoding=encoding)[0] == [1, 2]
    with pytest.raises(RemoteException, match="no three"):
        main([3], [worker], encoding=encoding)


@BOTH
def test_what_cannot_be_pickled_is_named(factory):
    with pytest.raises((pickle.PicklingError, AttributeError)) as raised:
        main([1, lambda: 2, 3], [SQUARES], factory)
    assert raised.value.__notes__ == ["This is task 1 of todo, which cannot be sent."]
    with pytest.raises((pickle.PicklingError, AttributeError)) as raised:
        main([1], [SQUARES], factory, stdin=[1, lambda: 2])
    assert raised.value.__notes__ == ["This is item 1 of stdin, which cannot be sent."]
