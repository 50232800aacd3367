import faulthandler
import itertools
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leftovers import MARK, wait_for_none
from nws.client import NetWorkSpace, NwsServer
from nws.taylorism._worker import registry
from server_process import ServerProcess

faulthandler.enable()
# What a shell runs in the background ignores interrupts, and so would the programs that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

numbers = itertools.count()


@pytest.fixture(autouse=True)
def _own_workers() -> Iterator[None]:
    """Instructions find the workers that a test defines itself or imports, not those of other tests."""
    before = dict(registry._styles)
    yield
    registry._styles = before


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What a test starts carries this mark in its environment, and none of it is left after the test."""
    text = uuid.uuid4().hex
    monkeypatch.setenv(MARK, text)
    yield text
    wait_for_none(text)


@pytest.fixture(scope="session")
def _shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Path]]:
    folder = tmp_path_factory.mktemp("runtime") / "nws"
    with ServerProcess(folder) as server:
        yield server, folder


@pytest.fixture
def nws_server(_shared_server: tuple[ServerProcess, Path], monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
    """A server that all tests share, in a runtime folder of its own."""
    server, folder = _shared_server
    monkeypatch.setenv("NWS_RUNTIME_DIR", str(folder))
    return server


@pytest.fixture
def connect(nws_server: ServerProcess) -> Iterator[Callable[[], NwsServer]]:
    """Makes connections that end with the test."""
    made: list[NwsServer] = []

    def connect() -> NwsServer:
        made.append(NwsServer("localhost", nws_server.port))
        return made[-1]

    yield connect
    for connection in made:
        connection.close()


@pytest.fixture
def ws(connect: Callable[[], NwsServer]) -> NetWorkSpace:
    """A workspace of the test's own."""
    return connect().openWs(f"test {next(numbers)}")


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., str]:
    """Runs a program text as a script of its own, and returns what it printed."""

    def run(text: str, *, by_stdin: bool = False, expect: int = 0, timeout_s: float = 50) -> str:
        script = tmp_path / "script.py"
        script.write_text(text)
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", *([] if by_stdin else [str(script)])],
            input=text if by_stdin else "",
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    return run
