"""The progress bar: after the first second, on a terminal or in a notebook, and never where it was refused."""

import io
import os
import pty
import select
import subprocess
import sys
import termios
import time
import types

import pytest

from nws._sleigh import progress as module
from nws._sleigh.progress import Progress

SCRIPT = """
import sys, threading
from nws.sleigh import Sleigh

def work(i):
    if i:
        SleighUserNws.find("go")
    print("printed by", i)
    return i

with Sleigh(workerCount=1) as s:
    space = s.userNws
    threading.Thread(target=lambda: (sys.stdin.readline(), space.store("go", 1))).start()
    print("results", s.eachElem(work, range(3)))
"""


def until(terminal, seen, word, timeout_s=50):
    """Read what the program shows until a word is among it, or its end."""
    deadline = time.monotonic() + timeout_s
    while word not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"{word!r} was not shown: {seen!r}"
        try:
            seen += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # its last user has gone
            break
    return seen


def test_a_bar_appears_on_a_terminal_by_itself_and_goes_again(tmp_path):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    program = subprocess.Popen([sys.executable, str(script)], stdin=theirs, stdout=theirs, stderr=theirs,
                               env=os.environ | {"TERM": "xterm", "COLUMNS": "80"}, start_new_session=True)  # fmt: skip
    os.close(theirs)
    try:
        seen = until(ours, "", "1/3")
        assert "printed by 0" in seen, "what a task prints is shown as well"
        os.write(ours, b"\n")
        seen = until(ours, seen, "results [0, 1, 2]")
        until(ours, "", "no such word")
        assert program.wait(50) == 0
    finally:
        program.kill()
        program.wait()
        os.close(ours)
    last = seen.rpartition("printed by 2")[2]
    assert "results" in last
    # Each line that a task printed begins at a line's beginning, also where the bar was.
    for line in seen.replace("\r\n", "\n").split("\n"):
        shown = line.rpartition("\r")[2]
        assert "printed by" not in shown or shown.strip().startswith("printed by"), repr(line)


@pytest.fixture
def clock(monkeypatch):
    now = types.SimpleNamespace(s=1000.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: now.s)
    return now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("known", [3, None])
def test_nothing_is_shown_in_the_first_second(monkeypatch, clock, known):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    bar = Progress(None, known)
    clock.s += 0.9
    bar.move(1)
    assert shown.getvalue() == ""
    clock.s += 0.2
    bar.move(2)
    assert "2" in shown.getvalue()
    assert "tasks" in shown.getvalue()
    bar.close()
    bar.move(3)


def test_a_bar_that_is_refused_is_never_shown(monkeypatch, clock):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    bar = Progress(False, 3)
    clock.s += 100
    bar.move(1)
    bar.close()
    assert (bar.shown, shown.getvalue()) == (False, "")


def test_without_a_terminal_there_is_none_but_in_a_notebook(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not Progress(None, 3).shown
    shell = types.SimpleNamespace()
    notebook = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    assert not Progress(None, 3).shown, "IPython on a terminal that is none"
    shell.kernel = object()
    assert Progress(None, 3).shown
    assert not Progress(False, 3).shown


def test_a_bar_that_is_asked_for_is_there_at_once_and_stays(monkeypatch, clock):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    bar = Progress(True, 3)
    assert "0/3" in shown.getvalue()
    bar.move(3)
    bar.close()
    assert "3/3" in shown.getvalue()
    assert shown.getvalue().endswith("\n")
