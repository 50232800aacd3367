"""What a job of `nws.spread_jobs` holds is bounded, and how long it waits for what takes too long."""

import pytest

from nws.spread_jobs import NoResponse, main, notComputed
from spread_workers import serving

MIB = 1 << 20


def test_answers_that_nobody_takes_hold_the_tasks_back(tmp_path):
    note = tmp_path / "done"
    many = 120
    worker = serving(f"open({str(note)!r}, 'ab', 0).write(b'.'); return bytes({MIB})")
    held = []

    def do_something_else(start, end):
        if not held:
            # For as long as many such tasks take: all of them would be done meanwhile.
            main(range(many), [serving(f"return bytes({MIB})")])
            held.append(note.stat().st_size)

    results, _ = main(range(many), [worker], timing_callback=do_something_else)
    assert len(results) == many
    # Those that came at once with the first, and as many again: each time 16 MiB, the one beyond, the one being done.
    assert held[0] <= 2 * (16 + 2)


# A shell starts at once even on a machine with much to do.
def shell(body: str) -> list[str]:
    return ["sh", "-c", f"while read x; do {body}; echo '{{\"result\": '$x'}}'; done"]


# Long for a shell that is well, in the end: the machine may be slow.
PATIENCE_S = [0.1 * 2**attempt for attempt in range(8)]


def test_a_task_without_end_is_an_error_that_names_it_and_the_others_are_done():
    worker = shell("[ $x = 1 ] && sleep 1000")
    for timeout in PATIENCE_S:
        with pytest.raises(NoResponse) as raised:
            main(range(20), [worker] * 2, timeout=timeout, encoding="json")
        if raised.value.results == [notComputed if x == 1 else x for x in range(20)]:
            break
    else:
        pytest.fail(f"others were not done either: {raised.value}")
    assert f"task 1 was not answered within {timeout} s for the third time" in str(raised.value)


@pytest.mark.filterwarnings("ignore:spread_jobs:RuntimeWarning")
def test_a_worker_that_is_stopped_is_ended_after_the_timeout_and_its_task_done(tmp_path):
    worker = shell(f"[ $x = 2 ] && mkdir '{tmp_path}/once' 2>/dev/null && kill -STOP $$")
    for timeout in PATIENCE_S:
        try:
            assert main(range(10), [worker] * 2, timeout=timeout, encoding="json")[0] == list(range(10))
            break
        except NoResponse:
            assert timeout < PATIENCE_S[-1]
            (tmp_path / "once").rmdir()
    assert (tmp_path / "once").exists()


@pytest.mark.filterwarnings("ignore:spread_jobs:RuntimeWarning")
def test_with_a_timeout_the_end_of_a_command_is_bounded_too():
    # The end of its standard input does not end it.
    worker = shell("echo '{\"result\": '$x'}'; echo end; exec sleep 1000")
    for timeout in PATIENCE_S:
        try:
            done = main([5], [worker], timeout=timeout, encoding="json")
        except NoResponse as error:
            done = error
        if done == ([5], [["end\n"]]):
            return
    pytest.fail(f"expected a result and a tail, got {done!r}")
