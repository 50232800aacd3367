"""Workspaces from Python, at a real server."""

import os
import pickle
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nws import aio, client
from nws.client import (
    NetWorkSpace,
    NwsConnectException,
    NwsConnectionDroppedException,
    NwsDeclarationFailedException,
    NwsNoWorkSpaceException,
    NwsOperationException,
    NwsServer,
    NwsTimeoutException,
)
from server_process import ServerProcess
from waits import in_thread, until_waiting

Connect = Callable[[], NwsServer]


@pytest.mark.parametrize(
    "value",
    [None, 7, -(2**70), 2.5, "text", "", "ä", "\ud800", b"", b"\xff" * 99_999, [1, {"a": (2,)}], {1}, KeyError(1)],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_a_value_comes_back_as_it_was(ws: NetWorkSpace, value: object) -> None:
    ws.store("x", value)
    for read in (ws.find, ws.findTry, ws.fetch):
        back = read("x")
        assert type(back) is type(value)
        assert repr(back) == repr(value)
    assert ws.fetchTry("x", "none left") == "none left"


def test_arrays_and_functions_come_back(ws: NetWorkSpace) -> None:
    array = np.arange(300_000, dtype=float).reshape(3, -1)
    ws.store("x", array)
    assert np.array_equal(ws.fetch("x"), array)
    n = 3
    ws.store("f", lambda x: x + n)
    assert ws.fetch("f")(1) == 4


def test_what_cannot_be_pickled_is_an_error_and_stores_nothing(ws: NetWorkSpace) -> None:
    with pytest.raises(TypeError, match="lock"):
        ws.store("x", threading.Lock())
    assert ws.listVars() == ""


def test_the_modes_order_their_values(ws: NetWorkSpace) -> None:
    for mode in (client.FIFO, client.LIFO, client.MULTI, client.SINGLE):
        ws.declare(mode, mode)
        for value in range(5):
            ws.store(mode, value)
    take_all = lambda mode: list(iter(lambda: ws.fetchTry(mode, "end"), "end"))  # noqa: E731
    assert take_all("fifo") == [0, 1, 2, 3, 4]
    assert take_all("lifo") == [4, 3, 2, 1, 0]
    assert sorted(take_all("multi")) == [0, 1, 2, 3, 4]
    assert take_all("single") == [4]


def test_a_mode_does_not_change(ws: NetWorkSpace) -> None:
    ws.declare("x", "lifo")
    ws.declare("x", "lifo")
    with pytest.raises(NwsDeclarationFailedException):
        ws.declare("x", "fifo")
    ws.store("y", 1)
    with pytest.raises(NwsDeclarationFailedException):
        ws.declare("y", "single")
    with pytest.raises(NwsDeclarationFailedException, match="'fifo', 'lifo', 'multi' or 'single', got 'heap'"):
        ws.declare("z", "heap")  # type: ignore[arg-type]


def test_fetch_and_find_wait_for_a_value(connect: Connect, ws: NetWorkSpace) -> None:
    other = connect().useWs(ws.currentWs())
    fetched, found = in_thread(other.fetch, "x"), in_thread(other.find, "x")
    until_waiting(ws, "x", 1, 1)
    ws.store("x", "here")
    assert (fetched.result(10), found.result(10)) == ("here", "here")
    assert ws.fetchTry("x") is None


def test_many_threads_wait_on_one_connection(ws: NetWorkSpace) -> None:
    waits = [in_thread(ws.fetch, "x") for _ in range(20)]
    until_waiting(ws, "x", 20)
    for value in range(20):
        ws.store("x", value)
    assert sorted(wait.result(10) for wait in waits) == list(range(20))


def test_missing_is_given_where_there_is_no_value(ws: NetWorkSpace) -> None:
    assert ws.fetchTry("x") is None
    assert ws.findTry("x") is None
    assert ws.fetchTry("x", missing=3) == 3
    assert ws.findTry("x", 4) == 4
    ws.store("x", None)
    assert ws.findTry("x", 4) is None


def test_a_timeout_ends_a_wait_and_takes_nothing(ws: NetWorkSpace) -> None:
    for wait in (ws.fetch, ws.find):
        for timeout in (0, 0.02):
            with pytest.raises(NwsTimeoutException, match=f"'x' within {timeout} s") as caught:
                wait("x", timeout=timeout)
            assert isinstance(caught.value, TimeoutError)
    ws.store("x", 1)
    assert ws.find("x", timeout=0) == 1
    assert ws.fetch("x", timeout=1e300) == 1
    for bad in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="expected a timeout of 0 or more seconds"):
            ws.fetch("x", timeout=bad)


def test_deleting_a_variable_ends_the_waits_for_it(connect: Connect, ws: NetWorkSpace) -> None:
    waiting = in_thread(connect().useWs(ws.currentWs()).fetch, "x")
    until_waiting(ws, "x", 1)
    ws.deleteVar("x")
    with pytest.raises(NwsOperationException):
        waiting.result(10)
    with pytest.raises(NwsOperationException):
        ws.deleteVar("x")


def test_deleting_a_workspace_ends_what_it_was(connect: Connect, ws: NetWorkSpace) -> None:
    waiting = in_thread(ws.fetch, "x")
    until_waiting(ws, "x", 1)
    connect().deleteWs(ws.currentWs())
    with pytest.raises(NwsOperationException):
        waiting.result(10)
    connect().openWs(ws.currentWs()).store("y", 1)
    with pytest.raises(NwsNoWorkSpaceException):
        ws.store("x", 1)
    with pytest.raises(NwsNoWorkSpaceException):
        connect().deleteWs("no such workspace")
    with pytest.raises(NwsOperationException):
        connect().deleteWs("__default")


def test_the_listings_have_their_documented_forms(connect: Connect) -> None:
    mine, other = connect(), connect()
    ws = mine.openWs("listed", persistent=True)
    ws.declare("b", "lifo")
    ws.store("a", 1)
    ws.store("a", 2)
    ws.findTry("c")
    assert ws.listVars() == "a\t2\t0\t0\tfifo\nb\t0\t0\t0\tlifo\nc\t0\t0\t0\tunknown"
    listed = {"a": ("a", 2, 0, 0, "fifo"), "b": ("b", 0, 0, 0, "lifo"), "c": ("c", 0, 0, 0, "unknown")}
    assert ws.listVars(format="dict") == listed
    assert other.openWs("elsewhere").listVars("listed", "dict") == listed
    with pytest.raises(NwsNoWorkSpaceException):
        ws.listVars("no such workspace")

    name, is_mine, owner, persistent, count, variables = mine.listWss("dict")["listed"]
    assert (name, is_mine, persistent, count, variables) == ("listed", True, True, 3, ["a", "b", "c"])
    assert owner.endswith(f"({os.getpid()})")
    assert other.listWss("dict")["listed"][client.WS_MINE] is False
    line = f">listed\t{owner}\tTrue\t3\ta,b,c\n"
    assert line in mine.listWss()
    assert " " + line[1:] in other.listWss()
    assert mine.listWss().splitlines()[0].startswith(" __default\t[system]\t")
    for bad in (ws.listVars, mine.listWss):
        with pytest.raises(ValueError, match="expected the format 'string' or 'dict', got 'xml'"):
            bad(format="xml")  # type: ignore[operator]
    mine.deleteWs("listed")


def test_a_workspace_goes_with_its_owner_unless_it_is_persistent(connect: Connect) -> None:
    owner, other = connect(), connect()
    owner.openWs("goes").store("x", 1)
    owner.openWs("stays", persistent=True).store("x", 1)
    owner.useWs("unowned").store("x", 1)
    user = other.openWs("goes")
    owner.close()
    with pytest.raises(NwsNoWorkSpaceException):
        user.find("x")
    assert other.openWs("stays").find("x") == 1
    assert other.openWs("unowned").find("x") == 1
    for name in ("stays", "unowned"):
        other.deleteWs(name)


def test_create_false_opens_only_what_is_there(connect: Connect) -> None:
    server = connect()
    for open_it in (server.openWs, server.useWs):
        with pytest.raises(NwsNoWorkSpaceException):
            open_it("not there", create=False)
    server.openWs("there")
    assert server.useWs("there", create=False).currentWs() == "there"


def test_a_temporary_workspace_has_a_name_of_its_own(connect: Connect) -> None:
    server = connect()
    names = {server.mktempWs(), server.mktempWs(), server.mktempWs("mine_%04d_")}
    assert len(names) == 3
    for name in names:
        assert server.listWss("dict")[name][client.WS_OWNER] == ""
        assert server.openWs(name).currentWs() == name
    with pytest.raises(NwsOperationException):
        server.mktempWs("no conversion")


def test_networkspace_makes_or_takes_its_connection(nws_server: ServerProcess, connect: Connect) -> None:
    with NetWorkSpace("made", "localhost", nws_server.port) as ws:
        ws.store("x", 1)
        assert NetWorkSpace("made", serverHost=nws_server.socket, useUse=True).find("x") == 1
    with pytest.raises(NwsConnectionDroppedException):
        ws.store("x", 1)
    server = connect()
    with NetWorkSpace("given", server=server) as ws:
        assert ws.server is server
    assert NetWorkSpace(server=server).currentWs() == "__default"
    ws.store("x", 1)
    assert str(ws) == f"NetWorkSpace 'given' at localhost:{nws_server.port}"


def test_wrong_arguments_are_told(connect: Connect, ws: NetWorkSpace) -> None:
    server = connect()
    with pytest.raises(TypeError, match="presistent"):
        NetWorkSpace("x", server=server, presistent=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="timeuot"):
        ws.fetch("x", timeuot=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="expected the name of a variable as a str, got int"):
        ws.store(3, 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected the name of a workspace as a str, got NoneType"):
        server.openWs(None)  # type: ignore[arg-type]
    with pytest.raises(NwsOperationException, match="at most 4096 bytes, got 5000"):
        ws.store("x" * 5000, 1)
    with pytest.raises(ValueError, match="expected the name of the space"):
        server.openWs("another", ws)
    with pytest.raises(TypeError, match="connection of this process"):
        pickle.dumps(ws)
    with pytest.raises(TypeError, match="connection of this process"):
        pickle.dumps(server)


def test_names_may_be_any_text(ws: NetWorkSpace) -> None:
    for name in ("ä b\tc", "", "\udcff", "x" * 4096):
        ws.store(name, name)
        assert ws.find(name) == name
    assert sorted(ws.listVars(format="dict")) == sorted(["ä b\tc", "", "\udcff", "x" * 4096])


def test_more_variables_than_are_kept_bound(ws: NetWorkSpace) -> None:
    for n in range(4200):
        ws.store(f"v{n}", n)
    assert [ws.fetch(f"v{n}") for n in range(4200)] == list(range(4200))


def test_no_server_says_how_to_start_one() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(NwsConnectException, match=rf"localhost:{port}.*nws serve"):
            NetWorkSpace("x", serverPort=port)
    with pytest.raises(NwsConnectException):
        NetWorkSpace("x", serverHost="/no/such/socket")


def test_the_end_of_the_server_ends_the_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWS_RUNTIME_DIR", str(tmp_path / "nws"))
    with ServerProcess(tmp_path / "nws") as server:
        ws = NetWorkSpace("x", serverHost=server.socket)
        waiting = in_thread(ws.fetch, "x")
        until_waiting(ws, "x", 1)
        server.process.kill()
        with pytest.raises(NwsConnectionDroppedException):
            waiting.result(10)
        with pytest.raises(NwsConnectionDroppedException):
            ws.store("x", 1)


def test_close_ends_the_waits(connect: Connect) -> None:
    server = connect()
    ws = server.openWs("closing")
    waiting = in_thread(ws.find, "x")
    until_waiting(ws, "x", 0, 1)
    server.close()
    with pytest.raises(NwsConnectionDroppedException):
        waiting.result(10)
    server.close()


@pytest.mark.parametrize(
    ("place", "error", "told"),
    [
        ({"serverHost": 5}, TypeError, "serverHost: expected a str, got int"),
        ({"serverPort": "8765"}, TypeError, "serverPort: expected an int, got str"),
        ({"serverPort": -1}, ValueError, "serverPort: expected a port up to 65535, got -1"),
        ({"serverPort": 65536}, ValueError, "serverPort: expected a port up to 65535, got 65536"),
        ({"server": "localhost"}, TypeError, "server: expected an NwsServer, got str"),
    ],
)
def test_a_place_that_cannot_be_one_is_refused(place: Any, error: type[Exception], told: str) -> None:
    for kind in (NetWorkSpace, aio.NetWorkSpace):
        with pytest.raises(error, match=told):
            kind("x", **place)
