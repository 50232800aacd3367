"""Sleighs made and stopped one after the other leave nothing.

`NWS_TEST_SLEIGHS` says how many; `benches/thousand_sleighs.py` makes a thousand and prints what is left.
"""

import os
import re
import socket
from collections import Counter
from pathlib import Path

import pytest

from leftovers import MARK, wait_for_none, wait_until
from nws.sleigh import Sleigh, SleighNwsException

SLEIGHS = int(os.environ.get("NWS_TEST_SLEIGHS", "25"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NWS_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(MARK, "leaks")
    return tmp_path


def held():
    """What this process holds: descriptors by what they are of, threads, and children that nobody waited for."""
    tasks = list(Path("/proc/self/task").iterdir())
    found = Counter(thread=len(tasks), child=sum(len((task / "children").read_text().split()) for task in tasks))
    for name in os.listdir("/proc/self/fd"):
        try:
            found[re.sub(r"\d+", "", os.readlink(f"/proc/self/fd/{name}"))] += 1
        except OSError:
            continue  # that of the listing itself
    return found


def expect_nothing_more_than(before):
    # Threads that have been told to end may still be ending.
    turn = Counter({"anon_inode:[eventfd]": 1})  # of the wait itself
    more = Counter()

    def settled():
        more.clear()
        more.update(held() - before - turn)
        return not more

    try:
        wait_until(settled, "nothing is left")
    except AssertionError:
        raise AssertionError(f"held by this process beyond what it held before: {dict(more)}") from None


def files(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def use_in_every_way(number):
    with Sleigh(workerCount=2) as s:
        assert s.eachElem(abs, range(-3, 0)) == [3, 2, 1]
        if number % 5 == 0:
            assert s.status(timeout=50) == (2, True)
        if number % 5 == 1:
            next(s.imap(abs, range(100)))
        if number % 5 == 2:
            s.userNws.store("x", s.eachWorker("SleighRank"))
        if number % 5 == 3:
            s.eachElem("__import__('time').sleep(300)", range(2), blocking=False)
        if number % 5 == 4:
            s.eachElem("__import__('os')._exit(1)", (1,), retries=0)


def test_sleighs_leave_no_process_descriptor_file_or_thread(folder):
    # The first ones load what the process keeps: modules, and what Rust's standard library opens once.
    for number in range(5):
        use_in_every_way(number)
    wait_for_none("leaks")
    before, files_before = held(), files(folder)
    for number in range(SLEIGHS):
        use_in_every_way(number)
    wait_for_none("leaks")
    expect_nothing_more_than(before)
    assert files(folder) == files_before


def test_sleighs_that_fail_to_start_leave_nothing_either(folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free_port = probe.getsockname()[1]
    bad = [
        (SleighNwsException, {"nwsPort": free_port}),
        (SleighNwsException, {"outfile": folder}),
        (OSError, {"events": folder}),
        (TypeError, {"nodelist": []}),
    ]

    def fail(number):
        error, options = bad[number % len(bad)]
        with pytest.raises(error):
            Sleigh(workerCount=1, **options)

    for number in range(4):
        fail(number)
    before, files_before = held(), files(folder)
    for number in range(SLEIGHS):
        fail(number)
    wait_for_none("leaks")
    expect_nothing_more_than(before)
    assert files(folder) == files_before
