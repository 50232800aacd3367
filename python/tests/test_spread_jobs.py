"""`nws.spread_jobs.main` with commands that behave."""

import inspect
import json
import os
import pickle
import subprocess
import sys
import textwrap
import time

import pytest

from nws import spread_jobs
from nws.spread_jobs import (
    CannotCreateConnection,
    Connection_subprocess,
    PastPerformance,
    RemoteException,
    TooBusy,
    append,
    main,
    notComputed,
    unpickled_pseudofile,
)
from spread_workers import SQUARES, script, serving


def test_the_signature_is_the_documented_one():
    parameters = inspect.signature(main).parameters.values()
    documented = [(p.name, p.default) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert documented == [
        ("todo", inspect.Parameter.empty),
        ("list_of_args", inspect.Parameter.empty),
        ("connection_factory", Connection_subprocess),
        ("stdin", None),
        ("verbose", False),
        ("timing_callback", None),
        ("tail_callback", None),
        ("past_performance", spread_jobs._memory),
    ]
    assert isinstance(spread_jobs._memory, dict)
    assert {name for name in spread_jobs.__all__} >= {
        "main", "replace", "Replace", "append", "delay_sanitize", "test_worker", "test_", "one_shot_test",
        "notComputed", "NoResponse", "RemoteException", "TooBusy", "PastPerformance", "CannotCreateConnection",
        "Connection", "Connection_subprocess", "workers_c", "unpickled_pseudofile",
    }  # fmt: skip


def test_results_come_in_the_order_of_todo_whoever_is_faster():
    slow = serving("time.sleep(0.002); return x * x")
    results, tails = main(range(200), [SQUARES, slow, SQUARES])
    assert results == [x * x for x in range(200)]
    assert tails == [[], [], []]


def test_tasks_and_results_are_any_objects_also_large_ones():
    todo = [{"a": [1, None, 2.5]}, b"x" * 3_000_000, "ä\n.", (), -(10**30), notComputed]
    results, _ = main(iter(todo), [serving("return x")] * 2)
    assert results == todo
    assert results[-1] is notComputed


def test_a_command_can_be_written_without_anything_of_ours():
    body = """
        while True:
            try:
                control = pickle.load(sys.stdin.buffer)
            except EOFError:
                break
            pickle.dump((control + 1, None, None), sys.stdout.buffer, PROTOCOL)
            sys.stdout.flush()
        sys.stdout.close()
    """
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert main(range(20), [script(body.replace("PROTOCOL", str(protocol)))]) == (list(range(1, 21)), [[]])


def test_each_thing_of_stdin_is_sent_first_and_no_end_is_added():
    body = """
        things = []
        while (thing := pickle.load(sys.stdin.buffer)) is not None:
            things.append(thing)
        try:
            while True:
                x = pickle.load(sys.stdin.buffer)
                pickle.dump((x + sum(things), None, None), sys.stdout.buffer)
                sys.stdout.flush()
        except EOFError:
            pass
    """
    assert main([1, 2], [script(body)] * 2, stdin=[100, 20, None])[0] == [121, 122]


def test_a_long_stdin_that_nobody_reads_holds_nothing_up():
    assert main([], [["true"], ["echo", "a"]], stdin=[b"x" * 1_000_000]) == ([], [[], ["a\n"]])


def test_a_command_gets_exactly_the_arguments_that_were_given():
    args = ["printf", "%s|", "a b", "", "*", "$HOME", "ä", "caf\udce9"]
    assert main([], [args, ["printf", b"caf\xe9"]])[1] == [["a b||*|$HOME|ä|caf\udce9|"], ["caf\udce9"]]


def test_without_tasks_every_command_runs_and_its_output_comes_back_as_lines():
    tails = main([], [["echo", "a"], ["printf", "b\\nc"], ["true"]])
    assert tails == ([], [["a\n"], ["b\n", "c"], []])


def test_normal_commands_may_read_what_was_sent_first():
    assert main([], [["wc", "-c"]], stdin=["abc"])[1] == [[f"{len(pickle.dumps('abc', 5))}\n"]]


def test_what_is_written_after_the_last_answer_comes_back_for_each_process():
    body = """
        done = 0
        try:
            while True:
                pickle.dump((pickle.load(sys.stdin.buffer), None, None), sys.stdout.buffer)
                sys.stdout.flush()
                done += 1
        except EOFError:
            print("done")
            print(sys.argv[1])
    """
    told = []
    commands = append([script(body)], "one") + append([script(body)], "two")
    results, tails = main(range(10), commands, tail_callback=lambda args, lines: told.append((args[-1], lines)))
    assert results == list(range(10))
    assert tails == [["done\n", "one\n"], ["done\n", "two\n"]]
    assert sorted(told) == [("one", ["done\n", "one\n"]), ("two", ["done\n", "two\n"])]


def test_lines_that_come_with_an_answer_are_printed_and_standard_error_is_free(capfd):
    body = """
        print("out", x)
        print("err", x, file=sys.stderr)
        os.write(1, b"from the depths\\n")
        return x
    """
    assert main([7], [serving(body)])[0] == [7]
    out, err = capfd.readouterr()
    assert out == "out 7\n"
    assert sorted(err.splitlines()) == ["err 7", "from the depths"]


def test_timing_is_told_for_each_answer():
    told = []
    before = time.time()
    main(range(30), [SQUARES, SQUARES], timing_callback=lambda start, end: told.append((start, end)))
    assert len(told) == 30
    assert all(before <= start <= end <= time.time() for start, end in told)


def test_a_remote_exception_ends_the_job_with_index_output_and_what_there_is():
    body = """
        if x == 3:
            print("I was at", x)
            raise RemoteException("no three", 33)
        return x
    """
    with pytest.raises(RemoteException) as raised:
        main(range(1000), [serving(body)])
    error = raised.value
    assert (error.args, error.index, error.stdout, error.stderr) == (("no three", 33), 3, ["I was at 3\n"], [])
    assert error.arglist == serving(body)
    assert error.results[:4] == [0, 1, 2, notComputed]
    assert "task 3" in str(error) and "I was at 3" in str(error)
    assert pickle.loads(pickle.dumps(error)).args == error.args


def test_an_exception_of_compute_is_a_remote_one_with_its_traceback():
    with pytest.raises(RemoteException) as raised:
        main([0], [serving("return 1 / x")])
    kind, message, trace = raised.value.args
    assert (kind, message) == ("ZeroDivisionError", "division by zero")
    assert "return 1 / x" in trace or "in compute" in trace


def test_a_result_that_cannot_be_sent_is_a_remote_exception():
    with pytest.raises(RemoteException, match="cannot be sent"):
        main([0], [serving("return lambda: x")])


def test_a_task_that_cannot_be_sent_is_named():
    with pytest.raises((pickle.PicklingError, AttributeError)) as raised:
        main([1, lambda: 2], [SQUARES])
    assert "task 1 of todo" in raised.value.__notes__[0]


def test_an_error_of_a_callback_or_of_todo_ends_the_job():
    def todo():
        yield 1
        raise LookupError("no more")

    def complain(start, end):
        raise LookupError("of the callback")

    with pytest.raises(LookupError, match="no more"):
        main(todo(), [SQUARES])
    with pytest.raises(LookupError, match="of the callback"):
        main([1], [SQUARES], timing_callback=complain)


def test_a_command_that_cannot_be_started_is_told_and_left_out():
    with pytest.warns(RuntimeWarning, match="without \\['no-such-program-anywhere'\\].*no such program"):
        assert main([1, 2], [["no-such-program-anywhere"], SQUARES]) == ([1, 4], [[], []])
    with pytest.warns(RuntimeWarning), pytest.raises(CannotCreateConnection, match="no such program"):
        main([1], [["no-such-program-anywhere"]] * 2)
    with pytest.warns(RuntimeWarning), pytest.raises(CannotCreateConnection):
        main([], [["no-such-program-anywhere"]])


def test_a_verbose_job_tells_what_happens(capfd):
    body = """
        if not state:
            state["was"] = 1
            raise TooBusy(0)
        return x
    """
    main([5], [serving(body)], verbose=True)
    err = capfd.readouterr().err
    assert "too busy for task 0" in err and "has done task 0" in err
    main([5], [SQUARES])
    assert capfd.readouterr().err == ""


def test_lines_of_json_both_ways(tmp_path):
    worker = script("""
        import json
        busy = 3
        for line in sys.stdin:
            task = json.loads(line)
            if busy:
                busy -= 1
                print(json.dumps({"too_busy": 0.01}), flush=True)
            elif task == "bad":
                print(json.dumps({"error": ["no", task], "stderr": ["why"]}), flush=True)
            else:
                print(json.dumps({"result": [task, "ä"], "stdout": ["said"]}), flush=True)
        print("end")
    """)
    results, tails = main([1, {"a": None}], [worker], encoding="json")
    assert results == [[1, "ä"], [{"a": None}, "ä"]]
    assert tails == [["end\n"]]
    with pytest.raises(RemoteException) as raised:
        main(["bad"], [worker], encoding="json")
    assert (raised.value.args, raised.value.stderr) == (("no", "bad"), ["why"])
    served = [sys.executable, "-c", "from nws.spread_jobs import serve; serve(lambda x: x + 1, encoding='json')"]
    assert main([1, 2], [served], encoding="json")[0] == [2, 3]


def test_a_worker_needs_no_python():
    worker = ["sh", "-c", 'while read x; do echo "{\\"result\\": $((x * 2))}"; done']
    assert main(range(50), [worker] * 3, encoding="json")[0] == [2 * x for x in range(50)]


def test_what_served_workers_are_given_first():
    program = "from nws.spread_jobs import serve; had = []; serve(lambda x: had + [x], had.extend, 2)"
    assert main([3], [[sys.executable, "-c", program]], stdin=[1, 2])[0] == [[1, 2, 3]]


def test_who_was_more_successful_starts_first(tmp_path):
    # A worker appends its name to a file as soon as it runs; with one task it is the first that gets it.
    def named(name):
        return script(f"""
            name = {name!r}
            while True:
                try:
                    x = pickle.load(sys.stdin.buffer)
                except EOFError:
                    break
                pickle.dump(({name!r}, None, None), sys.stdout.buffer)
                sys.stdout.flush()
        """)

    commands = [named("a"), named("b"), named("c"), named("d")]
    memory = PastPerformance()
    keys = [tuple(command) for command in commands]
    memory[keys[1]], memory[keys[2]], memory[keys[3]] = (10.0, 10.0), (30.0, 10.0), (0.0, 1.0)
    from nws._spread.past import order

    assert order(memory, keys) == [2, 1, 0, 3]
    assert order(None, keys) == [0, 1, 2, 3]
    before = dict(memory)
    results, _ = main(range(40), commands, past_performance=memory)
    for key, name in zip(keys, "abcd", strict=True):
        answers = memory.get(key, (0.0, 0.0))[0]
        assert answers == before.get(key, (0.0, 0.0))[0] / 2 + results.count(name) or results.count(name) == 0
    main(range(4), commands, past_performance=None)


def test_the_memory_is_a_file_by_choice(tmp_path):
    path = tmp_path / "deep" / "memory.json"
    memory = PastPerformance(path)
    main(range(10), [SQUARES], past_performance=memory)
    again = PastPerformance(path)
    assert again == memory
    assert again.score(tuple(SQUARES)) > 0
    assert again.score("nobody") is None
    assert [entry.name for entry in path.parent.iterdir()] == ["memory.json"]
    path.write_text(json.dumps({"is": "something else"}))
    with pytest.raises(ValueError, match="remove the file"):
        PastPerformance(path)


def test_by_default_the_program_remembers():
    spread_jobs._memory.clear()
    main(range(3), [SQUARES])
    assert spread_jobs._memory[tuple(SQUARES)][0] == 3
    with pytest.raises(RemoteException):
        main([None], [SQUARES])
    assert tuple(SQUARES) in spread_jobs._memory


def test_the_list_aids():
    lists = [["ssh", "HOST", 3], ["HOST-HOST"]]
    assert spread_jobs.append(lists, 1, "b") == [["ssh", "HOST", 3, 1, "b"], ["HOST-HOST", 1, "b"]]
    assert spread_jobs.replace(lists, "HO(.)T", r"\1", "ssh", "rsh") == [["rsh", "S", 3], ["S-S"]]
    assert spread_jobs.Replace([["a", "-n", 1, "b"], ["-n"]], "-n", 2, ["x", "y", "z"]) == [["a", "x", "y", "z", "b"], ["x", "y", "z"]]  # fmt: skip # noqa: E501
    assert spread_jobs.Replace([["a", "a"]], "a", 1, []) == [[]]
    assert spread_jobs.Replace([["a"]], "a", 0, ["nice"]) == [["nice", "a"]]
    assert lists == [["ssh", "HOST", 3], ["HOST-HOST"]], "they are not changed themselves"
    with pytest.raises(ValueError, match="pairs"):
        spread_jobs.replace(lists, "a")
    with pytest.raises(ValueError, match="0 or more"):
        spread_jobs.Replace(lists, "a", -1, [])


def test_delays_are_within_bounds():
    given = [-5, 0, 0.01, 3, 1000, 1e9, float("inf"), float("-inf"), float("nan")]
    assert [spread_jobs.delay_sanitize(x) for x in given] == [0.01, 0.01, 0.01, 3, 1000, 1000, 1000, 0.01, 0.01]


def test_the_markers_and_exceptions():
    assert notComputed() is notComputed and not notComputed and repr(notComputed) == "notComputed"
    assert pickle.loads(pickle.dumps(notComputed)) is notComputed
    assert pickle.loads(pickle.dumps(TooBusy(3))).delay == 3
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert b"TooBusy" in pickle.dumps((TooBusy(3), None, None), protocol)[:512]


def test_the_aids_for_tests(tmp_path):
    assert spread_jobs.test_() == [x * x for x in range(100)]
    own = tmp_path / "own.py"
    own.write_text("import sys\nfrom nws.spread_jobs import test_worker\ntest_worker(sys.argv[1])\n")
    assert spread_jobs.test_(str(own)) == [x * x for x in range(100)]
    assert spread_jobs.one_shot_test([1, "b"]) == ["1\n", "'b'\n"]
    file = unpickled_pseudofile()
    for item in (1, (2, None)):
        pickle.dump(item, file)
    assert file.objects() == [1, (2, None)]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([1], []), ValueError, "at least one command"),
        (([1], [[]]), ValueError, "begin with a program"),
        (([1], ["ls"]), TypeError, "write \\['ls'\\]"),
    ],
)
def test_commands_that_cannot_be_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        main(*arguments)


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"timeout": -1}, {"timeout": float("nan")}, {"limit_bytes": 0}, {"encoding": "xml"}]
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        main([1], [SQUARES], **options)


def test_no_script_needs_a_guard_and_none_is_run_again(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(f"""
            print("once")
            from nws.spread_jobs import main
            print(main(range(4), [{SQUARES!r}] * 2)[0])
        """)
    )
    for command in ([sys.executable, str(program)], [sys.executable, "-c", program.read_text()], [sys.executable]):
        text = program.read_text() if len(command) == 1 else ""
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=50, cwd=tmp_path)
        assert done.stdout == "once\n[0, 1, 4, 9]\n", done.stderr


def test_jobs_run_side_by_side_and_one_within_another():
    from concurrent.futures import ThreadPoolExecutor

    nested = serving(f"return main([x], [{SQUARES!r}])[0][0] + 1")
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(main, range(start, start + 5), [nested]) for start in (0, 10, 20)]
    assert [job.result()[0] for job in jobs] == [[x * x + 1 for x in range(s, s + 5)] for s in (0, 10, 20)]


def test_other_threads_run_while_a_job_waits():
    import threading

    seen = threading.Event()
    # The worker answers only when another thread of the master has written into its pipe.
    read, write = os.pipe()
    os.set_inheritable(read, True)
    path = f"/proc/{os.getpid()}/fd/{read}"

    def release():
        os.write(write, b"go")
        seen.set()

    thread = threading.Thread(target=release)
    thread.start()
    assert main([1], [serving(f"return open({path!r}, 'rb').read(2)")])[0] == [b"go"]
    thread.join()
    assert seen.is_set()
    os.close(read)
    os.close(write)
