"""The crash matrix of docs/crashes.md: each cell with real processes, and nothing left running after any."""

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crashes import harm
from leftovers import MARK, marked, wait_for_none, wait_until

FOLDER = Path(__file__).parent / "crashes"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "crashes.md"
WHO = ("worker", "host", "server", "master")
HOW = ("SIGKILL", "SIGSEGV", "SIGSTOP", "memory", "exit")
WHEN = ("joining", "idle", "loading", "receiving", "running", "pickling", "sending")
SPECIAL, SQUARES = 2, [0, 1, 4, 9, 16, 25]
SENT_BYTES = 48 << 20

# What is told of the death, by how it came about.
TOLD = {
    "SIGKILL": {"signal": 9, "exitCode": None},
    "SIGSEGV": {"signal": 11, "exitCode": None},
    "SIGSTOP": {"signal": 9, "exitCode": None, "text": "it was silent (stopped"},
    "memory": {"signal": 9, "exitCode": None, "outOfMemory": True},
    "exit": {"signal": None, "exitCode": 3},
}
WORDS = {
    "SIGKILL": "SIGKILL",
    "SIGSEGV": "SIGSEGV",
    "SIGSTOP": "silent",
    "memory": "SIGKILL",
    "exit": "exit code 3",
}


def outcome(who: str, how: str, when: str) -> str:
    """Return which of the outcomes of the page this cell has."""
    if who == "master":
        return "goes on" if how == "SIGSTOP" else "all end"
    if (who, how, when) == ("host", "SIGSTOP", "sending"):
        return "goes on"  # it is not in the way of results; the next call raises
    if who in ("host", "server"):
        return "raised"
    if when in ("joining", "idle", "sending") or (when == "loading" and how in ("SIGKILL", "SIGSTOP")):
        return "run again"
    return "fails alone"


class Cell:
    """One program with a sleigh, one of whose processes comes to harm."""

    def __init__(self, who: str, how: str, when: str, root: Path) -> None:
        self.who, self.how, self.when = who, how, when
        self.mark = uuid.uuid4().hex
        self.folder = root / f"{who}-{how}-{when}"
        self.folder.mkdir()
        # A socket's path has at most 107 bytes, so the folder must not be deep.
        self.runtime = Path("/tmp") / f"nws-test-{self.mark[:12]}"
        self.runtime.mkdir(mode=0o700)
        for stage in (when, "about to send"):
            os.mkfifo(self.folder / f"way-{stage}")

    def run(self) -> dict[str, Any]:
        """Return what the program said, and how it ended."""
        environment = os.environ | {
            MARK: self.mark,
            "NWS_RUNTIME_DIR": str(self.runtime),
            "NWS_TEST_STAGE": self.when,
            "NWS_TEST_FOLDER": str(self.folder),
            "PYTHONPATH": os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")]),
        }
        command = [sys.executable, str(FOLDER / "cell.py")]
        if self.how == "memory":
            command = harm.within_a_memory_group(command)
        self.program = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            self.harm()
            said, complaints = self.program.communicate(timeout=30)
            wait_for_none(self.mark)
        finally:
            for pid in [*marked(self.mark), self.program.pid if self.program.poll() is None else 0]:
                if pid:
                    os.kill(pid, signal.SIGKILL)
        files = [str(path) for path in self.runtime.rglob("*") if not path.is_dir() or path.parent.name == "servers"]
        subprocess.run(["rm", "-r", str(self.runtime)], check=True)
        assert not files, "files left in the runtime folder"
        last = said.decode().strip().splitlines()[-1:] or ["{}"]
        return {"code": self.program.returncode, "complaints": complaints.decode(), **json.loads(last[0])}

    def harm(self) -> None:
        """Let the process come to harm when the worker is in its stage."""
        server = 0
        if self.when == "sending":
            self.await_stage("about to send")
            server = self.pid_of("server")
            os.kill(server, signal.SIGSTOP)
            self.open_way("about to send")
        worker = self.await_stage(self.when)
        victim = worker if self.who == "worker" else self.pid_of(self.who)
        harm.HOW[self.how](victim)
        if victim != server and self.how != "SIGSTOP":
            wait_until(lambda: victim not in marked(self.mark), f"the {self.who} has died")
        # Who is stopped does nothing else, be it an exit; SIGKILL alone reaches it.
        if self.when == "sending" and (victim != server or self.how not in ("SIGKILL", "SIGSTOP")):
            with contextlib.suppress(ProcessLookupError):
                os.kill(server, signal.SIGCONT)
            if victim == server and self.how == "SIGSEGV":
                harm.HOW[self.how](victim)
        if self.who == "master" and self.how == "SIGSTOP":
            wait_until(lambda: state(victim) == "T", "the master is stopped")
            if self.when != "idle":
                self.open_way(self.when)
            os.kill(victim, signal.SIGCONT)
            if self.when == "idle":
                self.open_way(self.when)
        elif self.when == "idle" and self.who != "master":
            self.await_consequence(victim)
            self.open_way(self.when)

    def await_consequence(self, victim: int) -> None:
        """Wait until the death has been dealt with: an idle program is told only by its next call."""
        if self.who == "worker":
            wait_until(lambda: set(self.workers()) - {victim} and victim not in marked(self.mark), "it is replaced")
        else:
            wait_until(lambda: set(marked(self.mark)) <= {self.program.pid}, "all but the master has ended")

    def await_stage(self, stage: str) -> int:
        reached = self.folder / stage
        wait_until(lambda: reached.exists() or self.program.poll() is not None, f"the stage {stage} is reached")
        worker: int = json.loads(reached.read_text())["worker"]
        return worker

    def open_way(self, stage: str) -> None:
        """Let who holds in a stage go on, which must be there to hear it."""
        wait_until(lambda: self.opened(stage), f"somebody holds in the stage {stage}")

    def opened(self, stage: str) -> bool:
        try:
            os.close(os.open(self.folder / f"way-{stage}", os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    def pid_of(self, part: str) -> int:
        if part == "master":
            return self.program.pid
        words = {"host": "nws host --warden", "server": "nws serve"}[part]
        [pid] = [pid for pid, command in marked(self.mark).items() if words in command]
        return pid

    def workers(self) -> list[int]:
        return [pid for pid, command in marked(self.mark).items() if "nws._worker" in command]


def state(pid: int) -> str:
    """Return the letter of a process's state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


CELLS = [(who, how, when) for who in WHO for how in HOW for when in WHEN]


@pytest.fixture(scope="module")
def cells(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Run the cells that were asked for, a few at a time: most of them wait for most of their time."""
    root = tmp_path_factory.mktemp("cells")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        calls = [
            item.callspec.params
            for item in request.session.items
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        ]
        asked = {
            (params["who"], params["how"], params["when"]) for params in calls if "who" in params and "when" in params
        }
        made = {cell: Cell(*cell, root) for cell in CELLS if cell in asked and harm.why_not(cell[1]) is None}
        running = {cell: pool.submit(one.run) for cell, one in made.items()}
        yield running.__getitem__
        for future in running.values():
            future.cancel()
    harm.remove_groups()


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("who", "how", "when"), CELLS)
def test_each_cell_of_the_matrix_has_its_outcome(cells: Callable[..., Any], who: str, how: str, when: str) -> None:
    if why := harm.why_not(how):
        pytest.skip(why)
    seen = cells((who, how, when)).result()
    expected = outcome(who, how, when)
    good = [*SQUARES[:SPECIAL], SENT_BYTES if when == "sending" else SQUARES[SPECIAL], *SQUARES[SPECIAL + 1 :]]
    if expected == "all end":
        assert seen["code"] == {"SIGKILL": -9, "SIGSEGV": -11, "memory": -9, "exit": 3}[how]
        assert "results" not in seen
        return
    assert seen["code"] == 0, seen["complaints"]
    if expected == "raised":
        assert seen.get("raised") == "SleighNwsException", seen
        assert who in seen["text"], seen
        assert WORDS[how] in seen["text"], seen
        return
    results = seen["results"]
    if expected in ("run again", "goes on"):
        assert results == good, seen
        return
    # The function is loaded for the first of the tasks.
    place = 0 if when == "loading" else SPECIAL
    failed = results.pop(place)
    good.pop(place)
    assert results == good
    assert failed["type"] == "WorkerDied"
    assert failed["deaths"] == 1
    for name, value in TOLD[how].items():
        assert value in failed[name] if name == "text" else failed[name] == value, failed


def test_the_page_has_the_outcome_of_every_cell() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    told = {}
    for row in rows:
        who, how, *outcomes = (field.strip() for field in row.strip("|").split("|"))
        told.update({(who.strip("`"), how, when): text for when, text in zip(WHEN, outcomes, strict=True)})
    assert told == {(who, how, when): outcome(who, how, when) for who, how, when in CELLS}
