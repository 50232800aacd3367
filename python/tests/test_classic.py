"""Old clients against `nws serve`, with `nws.client` on the other side."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from classic_client import ClassicClient, Retrieved
from nws._binary import binary_path
from nws.client import NetWorkSpace, NwsServer
from server_process import ServerProcess

SCALARS = [None, True, False, 0, 255, 256, -1, 2**31, -(2**63), 2**63, -(2**300), 0.0, -1.5, 1e300]


@pytest.fixture
def old(nws_server: ServerProcess) -> Iterator[ClassicClient]:
    with ClassicClient(nws_server.port) as client:
        yield client


@pytest.fixture
def space(connect: Callable[[], NwsServer], old: ClassicClient, request: pytest.FixtureRequest) -> NetWorkSpace:
    """A workspace of the test's own, which `old` uses too."""
    name = f"classic {request.node.name}"[:100]
    space = connect().openWs(name)
    old.use(name)
    return space


@pytest.mark.timeout(60)
@pytest.mark.parametrize("value", [*SCALARS, [1, "two", 3.0, None], {"a": (1, 2)}, list(range(100))], ids=repr)
def test_an_old_client_reads_what_a_new_one_stored(space: NetWorkSpace, old: ClassicClient, value: object) -> None:
    space.store("x", value)
    got = old.retrieved("fetch", space.currentWs(), "x").value
    assert got == value
    assert type(got) is type(value)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("value", [*SCALARS, "text", "täxt", "", [1, "two", 3.0, None], {"a": (1, 2)}], ids=repr)
def test_a_new_client_reads_what_an_old_one_stored(space: NetWorkSpace, old: ClassicClient, value: object) -> None:
    old.store(space.currentWs(), "x", value)
    got = space.fetch("x")
    assert got == value
    assert type(got) is type(value)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("value", "data"), [("täxt", "täxt".encode()), (b"\x00\xff", b"\x00\xff"), ("", b"")])
def test_strings_and_bytes_are_strings_for_an_old_client(
    space: NetWorkSpace, old: ClassicClient, value: object, data: bytes
) -> None:
    space.store("x", value)
    got = old.retrieved("find", space.currentWs(), "x")
    assert got.value == data
    assert got.descriptor & 1


@pytest.mark.timeout(60)
def test_text_of_an_old_client_that_is_not_utf8_is_bytes(space: NetWorkSpace, old: ClassicClient) -> None:
    assert old.status("store", space.currentWs(), "x", f"{0x01000001:020d}", b"caf\xe9")
    assert space.fetch("x") == b"caf\xe9"


def until_someone_waits(old: ClassicClient, space: NetWorkSpace) -> None:
    while old.retrieved("list vars", space.currentWs()).data != b"x\t0\t1\t0\tunknown":
        pass


@pytest.mark.timeout(60)
def test_an_old_client_that_waits_is_answered_by_a_new_one(
    nws_server: ServerProcess, space: NetWorkSpace, old: ClassicClient
) -> None:
    with ClassicClient(nws_server.port) as waiting:
        waiting.use(space.currentWs())
        waiting.ask("fetch", space.currentWs(), "x")
        until_someone_waits(old, space)
        space.store("x", 7)
        assert waiting.retrieved().value == 7


@pytest.mark.timeout(60)
def test_a_new_client_that_waits_is_answered_by_an_old_one(space: NetWorkSpace, old: ClassicClient) -> None:
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(space.fetch("x")), daemon=True)
    waiting.start()
    until_someone_waits(old, space)
    old.store(space.currentWs(), "x", [1, 2])
    waiting.join(30)
    assert got == [[1, 2]]


@pytest.mark.timeout(60)
def test_an_old_client_sees_each_value_once(space: NetWorkSpace, old: ClassicClient) -> None:
    for number in range(5):
        space.store("x", number)
    seen, last = [], None
    while (got := old.iterate("ifindTry", space.currentWs(), "x", last)).done:
        seen.append(got.value)
        last = got
    assert seen == [0, 1, 2, 3, 4]
    space.deleteVar("x")
    space.store("x", "anew")
    assert not old.iterate("ifindTry", space.currentWs(), "x", last).done


@pytest.mark.timeout(60)
def test_what_old_and_new_clients_own_is_listed_alike(
    nws_server: ServerProcess, old: ClassicClient, connect: Callable[[], NwsServer]
) -> None:
    assert old.status("open ws", "of an old one", "4711", "yes")
    new = connect()
    assert new.openWs("of an old one") is not None
    line = old.retrieved("list wss", "of an old one").data
    assert line.startswith(b">of an old one\t127.0.0.1:")
    assert line.endswith(b" (4711)\tTrue\t0\t\n")
    with ClassicClient(nws_server.port) as other:
        assert other.retrieved("list wss", "of an old one").data == b" " + line[1:]
    assert old.status("delete ws", "of an old one")
    assert old.retrieved("list wss", "of an old one") == Retrieved(True, 0, b" " * 20, 0, b"\n")


@pytest.mark.timeout(60)
def test_why_an_old_client_was_closed_is_in_the_log(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [binary_path(), "serve", "--port", "0", "--web-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"NWS_RUNTIME_DIR": str(tmp_path / "nws")},
        text=True,
    )
    try:
        assert server.stdout is not None
        port = next(int(line.rpartition(":")[2]) for line in server.stdout if line.startswith("clients"))
        with ClassicClient(port) as bad:
            bad.ask("fetch", "w")
            with pytest.raises(ConnectionError):
                bad.status()
        server.terminate()
        _, log = server.communicate(timeout=20)
    finally:
        server.kill()
    [line] = [line for line in log.splitlines() if "classic" in line]
    assert "closed the connection of a classic client peer=127.0.0.1:" in line
    assert line.endswith(r'why="expected 3 arguments with \"fetch\", got 2"')
