"""Long values from files and to files: in bounded memory, and none is lost to what can go wrong with a file."""

import asyncio
import contextlib
import gzip
import io
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nws import aio
from nws.client import NetWorkSpace, NwsOperationException, NwsServer
from server_process import ServerProcess
from waits import in_thread

MIB = 1 << 20
# Longer than what is gathered before a value is sent in parts.
LONG = 40 * MIB


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Path]]:
    """A server with room for 16 MiB of values in memory."""
    folder = tmp_path_factory.mktemp("small") / "nws"
    with ServerProcess(folder, "--values-memory", "16MiB") as server:
        yield server, folder


numbers = itertools.count()


@pytest.fixture
def small(small_server: tuple[ServerProcess, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[NetWorkSpace]:
    server, folder = small_server
    monkeypatch.setenv("NWS_RUNTIME_DIR", str(folder))
    with NwsServer("localhost", server.port) as connection:
        yield connection.openWs(f"streams {next(numbers)}")


class Pattern(io.RawIOBase):
    """A file of so many bytes that is nowhere: each block of 4 KiB begins with its number."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self.length - self.at)
        data = b"".join(
            block.to_bytes(8, "little") * 512 for block in range(self.at >> 12, (self.at + count >> 12) + 1)
        )
        start = self.at & 4095
        buffer[:count] = data[start : start + count]
        self.at += count
        return count


class Checked(io.RawIOBase):
    """Takes what a `Pattern` gives, and nothing else; after `room` bytes it is full."""

    def __init__(self, room: int | None = None) -> None:
        self.expected = Pattern(1 << 50)
        self.room = room
        self.written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.room is not None and self.written + len(data) > self.room:
            raise OSError(28, "No space left on device")
        assert bytes(data) == self.expected.read(len(data)), f"at {self.written}"
        self.written += len(data)
        return len(data)


MEMORY = """
import sys
from nws.client import NetWorkSpace
from test_client_streams import Checked, Pattern

def most_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

ws = NetWorkSpace("memory", serverPort=int(sys.argv[1]))
before = most_kib()
length = 256 << 20
assert ws.storeFile("x", Pattern(length)) == length
for write in (ws.findFile, ws.fetchFile):
    target = Checked()
    assert write("x", target) == length == target.written
assert ws.fetchTry("x", "gone") == "gone"
print(most_kib() - before)
"""


def test_a_quarter_of_a_gibibyte_goes_through_a_client_and_a_server_with_little_memory(
    small_server: tuple[ServerProcess, Path], tmp_path: Path
) -> None:
    server, folder = small_server
    script = tmp_path / "script.py"
    script.write_text(MEMORY)
    done = subprocess.run(
        [sys.executable, script, str(server.port)],
        env=os.environ | {"NWS_RUNTIME_DIR": str(folder), "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100 << 10, "the client held more than 100 MiB"
    status = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    peak = next(line for line in status if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 100 << 10, "the server held more than 100 MiB"


@pytest.mark.parametrize("kind", ["fetchFile", "fetchTryFile", "ifetch", "ifetchTry"])
@pytest.mark.parametrize("length", [10, 3 * MIB, LONG])
def test_a_value_that_cannot_be_written_whole_is_back_at_its_place(small: NetWorkSpace, kind: str, length: int) -> None:
    other = NetWorkSpace(small.currentWs(), serverPort=small.server.serverPort, useUse=True)
    small.storeFile("x", Pattern(length))
    small.store("x", "next")
    write = getattr(small, kind)("x").writeTo if kind.startswith("i") else lambda file: getattr(small, kind)("x", file)
    with pytest.raises(OSError, match="No space left"):
        write(Checked(room=length // 2))
    # It is there for everybody, and before what came later.
    found = Checked()
    assert other.findFile("x", found) == length == found.written
    again = Checked()
    assert write(again) == length == again.written
    assert other.fetch("x") == "next"


class Holding(io.RawIOBase):
    """Is full, which shows when what a buffer holds is written."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if data:
            raise OSError(28, "No space left on device")
        return 0


def test_a_disk_that_is_found_full_when_the_buffer_is_written_keeps_the_value(small: NetWorkSpace) -> None:
    small.store("x", b"some bytes")
    file = io.BufferedWriter(Holding())
    with pytest.raises(OSError, match="No space left"):
        small.fetchFile("x", file)
    assert small.fetch("x") == b"some bytes"
    with pytest.raises(OSError):
        file.close()


def test_a_pipe_that_nobody_reads_any_more_keeps_the_value(small: NetWorkSpace) -> None:
    small.storeFile("x", Pattern(LONG))
    read, write = os.pipe()
    with os.fdopen(write, "wb") as pipe, os.fdopen(read, "rb", buffering=0) as reader:
        writing = in_thread(small.fetchFile, "x", pipe)
        assert reader.read(8) == bytes(8)
        reader.close()
        with pytest.raises(BrokenPipeError):
            writing.result(30)
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
    assert small.fetchFile("x", Checked()) == LONG


INTERRUPTED = """
import os, sys
from nws.client import NetWorkSpace
from test_client_streams import Pattern

ws = NetWorkSpace("interrupted " + sys.argv[2], serverPort=int(sys.argv[1]))
try:
    if sys.argv[2] == "fetch":
        ws.storeFile("x", Pattern(3 << 20))
        ws.fetchFile("x", sys.stdout.buffer)
    else:
        ws.storeFile("y", sys.stdin.buffer)
except KeyboardInterrupt:
    print(ws.listVars(format="dict"), file=sys.stderr)
"""


@pytest.mark.parametrize("what", ["fetch", "store"])
def test_an_interrupt_ends_it_and_loses_nothing(
    small_server: tuple[ServerProcess, Path], tmp_path: Path, what: str
) -> None:
    server, folder = small_server
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, script, str(server.port), what],
        env=os.environ | {"NWS_RUNTIME_DIR": str(folder), "PYTHONPATH": str(Path(__file__).parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    if what == "fetch":
        assert process.stdout.read(8) == bytes(8), "it is being written, to a pipe that is read no further"
    else:
        # More than a pipe holds: what is there is being read.
        process.stdin.write(bytes(3 * MIB))
        process.stdin.flush()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    told = process.stderr.readline().decode()
    process.stdout.close()
    process.stdin.close()
    process.wait(30)
    process.stderr.close()
    assert told.strip() == ("{'x': ('x', 1, 0, 0, 'fifo')}" if what == "fetch" else "{}")


def test_a_file_that_cannot_be_read_to_its_end_stores_nothing(small: NetWorkSpace) -> None:
    class Broken(Pattern):
        def readinto(self, buffer: Any) -> int:
            if self.at >= LONG // 2:
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    with pytest.raises(OSError, match="Input/output error"):
        small.storeFile("x", Broken(LONG))
    assert small.findTry("x", "none") == "none"


def test_a_disk_of_the_server_that_is_full_is_told_and_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NWS_RUNTIME_DIR", str(tmp_path / "nws"))
    limits = ("--values-memory", "16MiB", "--values-disk", "50MiB")
    with ServerProcess(tmp_path / "nws", *limits) as server, NwsServer("localhost", server.port) as connection:
        ws = connection.openWs("full")
        with pytest.raises(NwsOperationException, match="values-disk"):
            ws.storeFile("x", Pattern(1 << 40))
        assert ws.findTry("x", "none") == "none"
        assert ws.storeFile("x", Pattern(LONG)) == LONG


def test_a_value_that_fits_stays_in_memory_where_there_is_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NWS_RUNTIME_DIR", str(tmp_path / "nws"))
    limits = ("--values-memory", "64MiB", "--values-disk", "0")
    with ServerProcess(tmp_path / "nws", *limits) as server, NwsServer("localhost", server.port) as connection:
        ws = connection.openWs("memory")
        for length in (3 * MIB, LONG):
            assert ws.storeFile("x", Pattern(length)) == length
            assert ws.fetchFile("x", Checked()) == length
        with pytest.raises(NwsOperationException, match="values-memory"):
            ws.storeFile("x", Pattern(2 * LONG))


@pytest.mark.parametrize("length", [0, 1, 5 * MIB])
def test_files_of_every_kind_come_and_go(small: NetWorkSpace, tmp_path: Path, length: int) -> None:
    data = Pattern(length).read(-1) if length else b""
    path, packed = tmp_path / "file", tmp_path / "file.gz"
    path.write_bytes(data)
    packed.write_bytes(gzip.compress(data, 1))

    def spooled(mode: str) -> Any:
        file = tempfile.SpooledTemporaryFile(1000)
        file.write(data)
        file.seek(0)
        return file

    sources: list[Callable[[], Any]] = [
        lambda: path.open("rb"),
        lambda: path.open("rb", buffering=0),
        lambda: gzip.open(packed, "rb"),
        lambda: io.BytesIO(data),
        lambda: spooled("rb"),
    ]
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as process:
        for opened in [*sources, lambda: process.stdout]:
            with opened() as source:
                assert small.storeFile("x", source) == length
            check_stored(small, data, path, packed)


def check_stored(ws: NetWorkSpace, data: bytes, path: Path, packed: Path) -> None:
    """The value goes to files of every kind, and is fetched then."""
    if not data:
        assert ws.fetchTry("x", "none") == "none"
        return
    path, packed = path.with_suffix(".out"), packed.with_suffix(".out.gz")
    for target in (path.open("w+b"), gzip.open(packed, "wb"), io.BytesIO()):
        with target:
            assert ws.findFile("x", target) == len(data)
            if isinstance(target, io.BytesIO):
                assert target.getvalue() == data
    assert path.read_bytes() == gzip.decompress(packed.read_bytes()) == data
    assert ws.fetchFile("x", Checked()) == len(data)


def test_sockets_come_and_go_through_their_files(small: NetWorkSpace) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(AttributeError, match=r"of a socket, give its makefile\(\)"):
            small.storeFile("x", ours)
        with pytest.raises(AttributeError, match=r"of a socket, give its makefile\(\)"):
            small.fetchFile("x", ours)
        with ours.makefile("rwb") as file, theirs.makefile("rwb") as other:
            storing = in_thread(small.storeFile, "x", file, 5 * MIB)
            other.write(Pattern(5 * MIB).read(-1))
            other.flush()
            assert storing.result(30) == 5 * MIB
            writing = in_thread(small.fetchFile, "x", file)
            assert other.read(5 * MIB) == Pattern(5 * MIB).read(-1)
            assert writing.result(30) == 5 * MIB


class Lists:
    """A file of a user's own that knows bytes alone, and does not say how many it took."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def test_a_file_of_a_users_own_gets_bytes(small: NetWorkSpace) -> None:
    small.store("x", b"some bytes")
    file = Lists()
    assert small.fetchFile("x", file) == 10
    assert file.data == b"some bytes"


def test_files_that_do_not_wait_are_told_apart_from_those_that_end(small: NetWorkSpace) -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    small.storeFile("x", Pattern(3 * MIB))
    with os.fdopen(read, "rb", buffering=0) as source, os.fdopen(write, "wb", buffering=0) as target:
        with pytest.raises(BlockingIOError, match="expected a file that waits for its data"):
            small.storeFile("y", source)
        with pytest.raises(BlockingIOError, match="expected a file that waits until it has room"):
            small.fetchFile("x", target)
    assert small.listVars(format="dict") == {"x": ("x", 1, 0, 0, "fifo")}


def test_characters_that_lie_across_parts_are_whole_in_a_file_of_text(small: NetWorkSpace) -> None:
    text = "a" + "€" * MIB
    small.store("x", text)
    file = io.StringIO()
    assert small.fetchFile("x", file) == 3 * MIB + 1
    assert file.getvalue() == text
    assert small.storeFile("x", io.StringIO(text)) == 3 * MIB + 1
    assert small.fetch("x") == text.encode()
    small.store("x", text.encode()[:-1])
    with pytest.raises(NwsOperationException, match="open the file as binary"):
        small.fetchFile("x", io.StringIO())
    assert small.fetchFile("x", io.BytesIO()) == 3 * MIB


def test_others_run_while_a_file_is_written(small: NetWorkSpace) -> None:
    """The file is a pipe that another thread of the same program reads: with the interpreter held, it would hang."""
    small.storeFile("x", Pattern(LONG))
    read, write = os.pipe()
    with os.fdopen(write, "wb") as target, os.fdopen(read, "rb") as source:
        writing = in_thread(small.findFile, "x", target)
        storing = in_thread(small.storeFile, "y", source, LONG)
        assert writing.result(40) == storing.result(40) == LONG
    assert small.fetchFile("y", Checked()) == LONG


def test_a_child_of_a_fork_gets_an_error(small: NetWorkSpace) -> None:
    small.storeFile("x", Pattern(5 * MIB))
    child = os.fork()
    if child == 0:
        try:
            small.fetchFile("x", io.BytesIO())
        except BaseException as error:
            os._exit(7 if "fork" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert small.fetchFile("x", Checked()) == 5 * MIB


@pytest.mark.parametrize("take", [True, False])
def test_asyncio_streams_as_well(small: NetWorkSpace, take: bool) -> None:
    async def main() -> None:
        async with aio.NetWorkSpace(small.currentWs(), serverPort=small.server.serverPort) as ws:
            assert await ws.storeFile("x", Pattern(LONG)) == LONG
            with pytest.raises(OSError, match="No space left"):
                await (ws.fetchFile if take else ws.findFile)("x", Checked(room=3 * MIB))
            target = Checked()
            assert await (ws.ifetch if take else ws.ifind)("x").writeTo(target) == LONG == target.written
            assert await ws.fetchTry("x", "gone") == "gone" or not take

    asyncio.run(main())


def test_a_canceled_task_gives_the_value_back(small: NetWorkSpace) -> None:
    small.storeFile("x", Pattern(LONG))
    began, go_on = threading.Event(), threading.Event()

    class Slow(Checked):
        def write(self, data: Any) -> int:
            if data:
                began.set()
                go_on.wait(30)
            return super().write(data)

    async def main() -> None:
        async with aio.NetWorkSpace(small.currentWs(), serverPort=small.server.serverPort) as ws:
            for slow in (ws.fetchFile("x", Slow()), ws.ifetch("x").writeTo(Slow())):
                began.clear()
                go_on.clear()
                task = asyncio.create_task(slow)
                await asyncio.to_thread(began.wait, 30)
                task.cancel()
                go_on.set()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await ws.findFile("x", Checked()) == LONG
            waiting = asyncio.create_task(ws.fetchFile("y", Checked()))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await ws.storeFile("y", Pattern(10)) == 10
            assert await ws.fetchTryFile("y", Checked()) == 10

    asyncio.run(main())
