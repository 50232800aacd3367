"""`pybabelfish` against a real server: values of Python as texts, whatever the values do to who reads them."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from classic_client import PYTHON, ClassicClient
from leftovers import MARK, wait_for_none
from nws import _pickle
from nws._binary import binary_path
from nws._reader import MOST_CHARS
from nws.client import NetWorkSpace, NwsServer
from server_process import ServerProcess
from waits import until_waiting

SPACE = "Python babelfish"


class Babelfish:
    """A program `pybabelfish` that serves."""

    def __init__(self, port: int, *options: str) -> None:
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nws.babelfish", "-h", "localhost", "-p", str(port), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # The classes of the tests' values are imported from here.
            env=os.environ | {MARK: self.mark, "PYTHONPATH": str(Path(__file__).parent)},
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("pybabelfish: serving at localhost:")

    def end(self, number: int) -> tuple[int, str, str]:
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=20)
        wait_for_none(self.mark)
        return self.process.returncode, output, errors


@pytest.fixture
def start(nws_server: ServerProcess) -> Iterator[Callable[..., Babelfish]]:
    """Starts babelfishes, which end with the test."""
    started: list[Babelfish] = []

    def start(*options: str) -> Babelfish:
        started.append(Babelfish(nws_server.port, *options))
        return started[-1]

    yield start
    for babelfish in started:
        babelfish.process.kill()
        babelfish.process.communicate()
        wait_for_none(babelfish.mark)


@pytest.fixture
def space(start: Callable[..., Babelfish], connect: Callable[[], NwsServer]) -> NetWorkSpace:
    """The workspace of one that serves, also on a slow machine."""
    start("--timeout", "40")
    return connect().useWs(SPACE)


def ask(space: NetWorkSpace, value: object) -> str:
    space.store("food", value)
    text = space.fetch("doof", timeout=40)
    assert isinstance(text, str)
    return text


class Does:
    """Does something when it is unpickled."""

    def __init__(self, fun: Callable[..., Any], *args: Any) -> None:
        self.call = (fun, args)

    def __reduce__(self) -> Any:
        return self.call


class Says:
    """Has a `repr` that the test wants, in other processes."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.home = os.getpid()

    def __repr__(self) -> str:
        # Not where the test runs, which shows its own values.
        return str(eval(self.what)) if os.getpid() != self.home else "Says"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None]}, "{'a': [1, None]}"),
        (7, "7"),
        ("täxt", "'täxt'"),
        (Says("'x' * 3"), "xxx"),
        (Says("'a\\0b\\ud800'"), "a\\x00b\\ud800"),
    ],
    ids=["dict", "int", "str", "own class", "hard characters"],
)
def test_a_value_is_told_as_python_writes_it(space: NetWorkSpace, value: object, text: str) -> None:
    assert ask(space, value) == text


def test_arrays_whose_memory_is_beside_the_pickle_are_told(space: NetWorkSpace) -> None:
    np = pytest.importorskip("numpy")
    assert ask(space, {"x": np.zeros(100_000)}).startswith("{'x': array([0., 0., 0.,")


def test_old_programs_ask_as_they_always_did(space: NetWorkSpace, nws_server: ServerProcess) -> None:
    with ClassicClient(nws_server.port) as old:
        old.use(SPACE)
        old.store(SPACE, "food", {"a": (1, 2)})
        assert old.retrieved("fetch", SPACE, "doof").value == b"{'a': (1, 2)}"
        assert old.status("store", SPACE, "food", f"{PYTHON:020d}", b"\x80\x02garbage")
        assert old.retrieved("fetch", SPACE, "doof").value.startswith(b"<a Python value of 9 bytes: unpickling raised")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Says("1/0"), "repr raised ZeroDivisionError: division by zero"),
        (Says("exit(3)"), "repr raised SystemExit: 3"),
        (Does(int, "x"), "unpickling raised ValueError"),
        (Does(os._exit, 3), "ended the process that read it: exit code 3"),
        (Does(os.abort), "killed by SIGABRT"),
        (Does(signal.raise_signal, signal.SIGSEGV), "killed by SIGSEGV"),
        (Says("[0] * 2**40"), "repr raised MemoryError"),
        (Says("__import__('os').kill(__import__('os').getppid(), 9)"), "died twice of this one"),
        (Says("__import__('os').system('sleep 600 & echo noise') or 'noisy'"), "noisy"),
        (Says("__import__('os').closerange(3, 100)"), "ended the process that read it"),
        (Says("'x' * 5_000_000"), "x... (5000000 characters)"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_a_value_that_does_harm_is_told_of_and_the_next_one_is_read(
    space: NetWorkSpace, value: object, text: str
) -> None:
    told = ask(space, value)
    assert text in told
    assert len(told) < MOST_CHARS + 100
    assert ask(space, [1]) == "[1]"


@pytest.mark.parametrize("value", [Does(exec, "while True: pass"), Does(signal.raise_signal, signal.SIGSTOP)])
def test_a_value_that_hangs_is_told_of_in_time_and_the_next_one_is_read(
    start: Callable[..., Babelfish], connect: Callable[[], NwsServer], value: object
) -> None:
    start("--timeout", "3")
    space = connect().useWs(SPACE)
    assert "could not be read within 3 s" in ask(space, value)
    assert ask(space, [1]) == "[1]"


def test_a_babelfish_goes_on_where_its_workspace_is_deleted(
    space: NetWorkSpace, connect: Callable[[], NwsServer]
) -> None:
    until_waiting(space, "food", 1)
    space.deleteVar("food")
    assert ask(space, [1]) == "[1]"
    server = connect()
    server.deleteWs(SPACE)
    again = server.useWs(SPACE)
    until_waiting(again, "food", 1)
    assert ask(again, [2]) == "[2]"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to_and_leaves_nothing(start: Callable[..., Babelfish], number: int) -> None:
    assert start().end(number) == (0, "", "")


def test_the_process_that_reads_ends_with_it(
    start: Callable[..., Babelfish], connect: Callable[[], NwsServer], tmp_path: Path
) -> None:
    babelfish = start("--timeout", "600")
    reads = tmp_path / "reads"
    os.mkfifo(reads)
    connect().useWs(SPACE).store(
        "food", Does(exec, f"file = open({str(reads)!r}, 'w')\nfile.write('x')\nfile.close()\nwhile True: pass")
    )
    assert reads.read_text() == "x"
    assert babelfish.end(signal.SIGKILL)[0] == -signal.SIGKILL


def test_it_ends_with_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWS_RUNTIME_DIR", str(tmp_path / "run"))
    with ServerProcess(tmp_path / "run") as server:
        babelfish = Babelfish(server.port)
    _, errors = babelfish.process.communicate(timeout=20)
    assert babelfish.process.returncode == 1
    assert errors.startswith("pybabelfish: the connection")
    wait_for_none(babelfish.mark)
    done = subprocess.run(
        [sys.executable, "-m", "nws.babelfish", "-p", str(server.port)], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "no NetWorkSpaces server answers" in done.stderr


def nws(port: int, *arguments: str) -> str:
    command = [str(binary_path()), *arguments, "--server", f"localhost:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line_shows_what_a_babelfish_tells(
    start: Callable[..., Babelfish], ws: NetWorkSpace, nws_server: ServerProcess
) -> None:
    port, place = nws_server.port, ("--workspace", ws.currentWs())
    ws.storeMany("x", [{"a": 1}, "text", Does(exec, "while True: pass"), {3}])
    size = len(_pickle.dumps({"a": 1}))
    described = f"<serialized Python value, {size} bytes, descriptor 0x01000000"
    assert nws(port, "find", "x", *place) == f"{described}; start pybabelfish to see it>\n"
    start()
    assert nws(port, "find", "x", *place) == "{'a': 1}\n"
    assert '"text":"{\'a\': 1}"' in nws(port, "find", "x", "--json", *place)
    assert nws(port, "find", "x", "--no-babelfish", *place) == f"{described}>\n"
    shown = nws(port, "watch", "x", "--count", "4", *place).splitlines()
    assert shown[:2] == ["{'a': 1}", "text"]
    assert "could not be read within 2 s" in shown[2]
    assert shown[3:] == ["{3}"]


def test_one_that_does_not_answer_is_not_waited_for_long(
    ws: NetWorkSpace, connect: Callable[[], NwsServer], nws_server: ServerProcess
) -> None:
    idle = connect().openWs("R babelfish")
    with ClassicClient(nws_server.port) as old:
        old.use(ws.currentWs())
        assert old.status("store", ws.currentWs(), "y", f"{3 << 24:020d}", b"an R vector")
    described = "<serialized R value, 11 bytes, descriptor 0x03000000"
    place = ("--workspace", ws.currentWs())
    assert nws(nws_server.port, "find", "y", *place) == f"{described}; the R babelfish does not answer>\n"
    idle.server.close()
    assert nws(nws_server.port, "find", "y", *place) == f"{described}; no R babelfish runs>\n"
