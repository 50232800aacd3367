"""Workspaces from asyncio."""

import asyncio
import gc
import inspect
import io
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from nws import aio, client
from nws.client import (
    NwsConnectException,
    NwsConnectionDroppedException,
    NwsNoWorkSpaceException,
    NwsOperationException,
    NwsServer,
    NwsTimeoutException,
)
from server_process import ServerProcess

Run = Callable[[Callable[[aio.NetWorkSpace], Coroutine[Any, Any, None]]], None]


@asynccontextmanager
async def opened(server: ServerProcess) -> AsyncIterator[aio.NetWorkSpace]:
    async with aio.NwsServer("localhost", server.port) as connection:
        ws = await connection.openWs(await connection.mktempWs())
        yield ws
        await connection.deleteWs(ws.currentWs())


@pytest.fixture
def run(nws_server: ServerProcess) -> Run:
    """Runs a coroutine function with a workspace."""

    def run(test: Callable[[aio.NetWorkSpace], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with asyncio.timeout(30), opened(nws_server) as ws:
                await test(ws)

        asyncio.run(main(), debug=True)

    return run


async def until_waiting(ws: aio.NetWorkSpace, name: str, fetchers: int, finders: int = 0) -> None:
    for _ in range(100_000):
        if (await ws.listVars(format="dict")).get(name, ())[2:4] == (fetchers, finders):
            return
    raise AssertionError(f"expected {fetchers} fetchers and {finders} finders of {name!r}")


@pytest.mark.parametrize("name", ["NwsServer", "NetWorkSpace", "NwsValueIterator", "Lease"])
def test_there_is_no_second_vocabulary(name: str) -> None:
    blocking, coroutines = getattr(client, name), getattr(aio, name)

    def public(kind: type) -> dict[str, Any]:
        return {name: what for name, what in vars(kind).items() if not name.startswith("_")}

    assert public(blocking).keys() == public(coroutines).keys()
    for method, what in [("__init__", blocking.__init__), *public(blocking).items()]:
        if callable(what):
            other = getattr(coroutines, method)
            assert list(inspect.signature(what).parameters.items()) == [
                (parameter, kind.replace(annotation=inspect.signature(what).parameters[parameter].annotation))
                for parameter, kind in inspect.signature(other).parameters.items()
            ], method


def test_all_that_a_workspace_does(run: Run) -> None:
    async def test(ws: aio.NetWorkSpace) -> None:
        await ws.declare("menu", "single")
        await ws.storeMany("menu", ["soup", "bread"])
        assert await ws.find("menu") == "bread"
        assert await ws.findTry("menu") == "bread"
        assert await ws.fetch("menu") == "bread"
        assert await ws.fetchTry("menu", 7) == 7
        await ws.store("x", (1, 2), encoding="json")
        assert await ws.fetch("x") == [1, 2]
        await ws.storeMany("x", range(5))
        assert await ws.fetchMany("x", 2) == [0, 1]
        assert await ws.fetchTryMany("x", 9) == [2, 3, 4]
        array = np.arange(100_000)
        await ws.store("x", array)
        assert np.array_equal(await ws.fetch("x"), array)
        assert (await ws.listVars(format="dict"))["x"] == ("x", 0, 0, 0, "fifo")
        assert (await ws.listVars("__default", "string")) is not None
        await ws.deleteVar("x")
        with pytest.raises(NwsOperationException):
            await ws.deleteVar("x")
        with pytest.raises(NwsTimeoutException):
            await ws.fetch("x", timeout=0.01)
        assert ws.currentWs() in await ws.server.listWss()
        assert (await ws.server.listWss("dict"))[ws.currentWs()][client.WS_MINE] is True

    run(test)


def test_many_tasks_wait_on_one_connection(run: Run) -> None:
    async def test(ws: aio.NetWorkSpace) -> None:
        waits = [asyncio.create_task(ws.fetch("x")) for _ in range(100)]
        found = asyncio.create_task(ws.find("x"))
        await until_waiting(ws, "x", 100, 1)
        await ws.storeMany("x", range(100))
        assert await found == 0
        assert sorted(await asyncio.gather(*waits)) == list(range(100))

    run(test)


def test_a_canceled_task_ends_its_wait_and_the_connection_goes_on(run: Run) -> None:
    async def test(ws: aio.NetWorkSpace) -> None:
        for wait in (ws.fetch("x"), ws.find("x"), ws.lease("x"), ws.fetchMany("x", 3), ws.ifetch("x").next()):
            task = asyncio.ensure_future(wait)
            while not any((await ws.listVars(format="dict")).get("x", (0, 0, 0, 0))[2:4]):
                pass
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until_waiting(ws, "x", 0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await ws.fetch("x")
        await ws.store("x", 1)
        assert await ws.fetch("x") == 1

    run(test)


@pytest.mark.parametrize("canceled", ["fetch", "fetchMany", "ifetch", "lease"])
def test_a_value_that_comes_with_the_cancellation_is_not_lost(
    run: Run, connect: Callable[[], NwsServer], canceled: str
) -> None:
    """The value is stored while the event loop stands still, so that it comes before the cancellation is sent."""
    stores = connect()

    async def test(ws: aio.NetWorkSpace) -> None:
        waits: dict[str, Callable[[], Any]] = {
            "fetch": lambda: ws.fetch("x"),
            "fetchMany": lambda: ws.fetchMany("x", 5),
            "ifetch": lambda: ws.ifetch("x").next(),
            "lease": lambda: ws.lease("x"),
        }
        task = asyncio.ensure_future(waits[canceled]())
        await until_waiting(ws, "x", 1)
        task.cancel()
        stores.useWs(ws.currentWs()).store("x", "here")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await ws.fetch("x", timeout=10) == "here"
        assert await ws.fetchTry("x") is None

    run(test)


def test_iterators_are_for_async_for(run: Run) -> None:
    async def test(ws: aio.NetWorkSpace) -> None:
        await ws.storeMany("x", [1, 2])
        values = ws.ifindTry("x")
        assert [value async for value in values] == [1, 2]
        await ws.store("x", "three")
        assert [value async for value in values] == []
        values.restart()
        file = io.BytesIO()
        assert (await values.writeTo(file), file.getvalue()) == (5, b"three")
        with pytest.raises(StopAsyncIteration):
            await values.next()
        values.reset()
        assert await anext(values) == 1
        assert [value async for value in ws.ifetchTry("x")] == [1, 2, "three"]
        waiting = ws.ifind("x", timeout=0.01)
        with pytest.raises(NwsTimeoutException):
            await anext(waiting)
        await ws.deleteVar("x")
        await ws.declare("y", "lifo")
        with pytest.raises(NwsOperationException):
            await anext(ws.ifetch("y"))
        await ws.storeMany("z", [1])
        gone = ws.ifind("z")
        assert await anext(gone) == 1
        await ws.deleteVar("z")
        assert [value async for value in gone] == []

    run(test)


def test_leases_are_for_async_with(run: Run) -> None:
    async def test(ws: aio.NetWorkSpace) -> None:
        await ws.store("x", 1)
        async with ws.lease("x") as lease:
            assert (lease.value, lease.deaths) == (1, 0)
        with pytest.raises(KeyError):
            async with ws.lease("x") as lease:
                raise KeyError
        async with await ws.lease("x") as lease:
            await lease.finish("y", lease.value + 1)
        assert await ws.fetch("y") == 2
        await ws.store("x", 3)
        lease = await ws.lease("x")
        await lease.release()
        assert await ws.fetch("x") == 3
        with pytest.raises(NwsTimeoutException):
            await ws.lease("x", timeout=0.01)

    run(test)


def test_files_go_through(run: Run) -> None:
    async def test(ws: aio.NetWorkSpace) -> None:
        source = io.BytesIO(b"0123456789")
        assert [await ws.storeFile("x", source, 6), await ws.storeFile("x", source)] == [6, 4]
        assert await ws.storeFile("x", source) == 0
        file = io.BytesIO()
        assert await ws.findFile("x", file) == 6
        assert await ws.fetchFile("x", file) == 6
        assert await ws.findTryFile("x", file) == 4
        assert await ws.fetchTryFile("x", file) == 4
        assert await ws.fetchTryFile("x", file) == 0
        assert file.getvalue() == b"01234501234567896789"
        await ws.store("x", [1])
        with pytest.raises(NwsOperationException, match="got a pickled Python object"):
            await ws.fetchFile("x", file)
        assert await ws.fetch("x") == [1]

    run(test)


def test_a_workspace_connects_when_it_is_awaited_or_entered(nws_server: ServerProcess) -> None:
    async def main() -> None:
        async with aio.NetWorkSpace("aio", nws_server.socket) as ws:
            await ws.store("x", 1)
            other = await aio.NetWorkSpace("aio", "localhost", nws_server.port, useUse=True)
            assert await other.fetch("x") == 1
            await other.server.close()
            with pytest.raises(NwsConnectionDroppedException):
                await other.fetch("x")
            server = await aio.NwsServer(nws_server.socket)
            async with aio.NetWorkSpace("aio", server=server) as third:
                await third.store("x", 2)
            await server.close()
        with pytest.raises(NwsNoWorkSpaceException):
            await aio.NetWorkSpace("no such", nws_server.socket, create=False)
        with pytest.raises(NwsConnectException):
            await aio.NwsServer("/no/such/socket")
        with pytest.raises(RuntimeError, match="expected a workspace that is open"):
            await aio.NetWorkSpace("x").fetch("x")
        with pytest.raises(RuntimeError, match="expected a server that is connected"):
            await aio.NwsServer("x").listWss()
        with pytest.raises(ValueError, match="expected the name of the space"):
            async with aio.NwsServer(nws_server.socket) as server:
                await server.openWs("another", aio.NetWorkSpace("name"))

    asyncio.run(main(), debug=True)


def test_the_end_of_the_connection_ends_the_waits(run: Run) -> None:
    async def test(ws: aio.NetWorkSpace) -> None:
        async with aio.NetWorkSpace(ws.currentWs(), ws.server.serverHost, ws.server.serverPort) as other:
            task = asyncio.create_task(other.fetch("x"))
            await until_waiting(ws, "x", 1)
            await other.server.close()
            with pytest.raises(NwsConnectionDroppedException):
                await task

    run(test)


def test_an_event_loop_leaves_nothing_open(nws_server: ServerProcess) -> None:
    async def main() -> None:
        async with opened(nws_server) as ws:
            await ws.store("x", 1)

    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    asyncio.run(main())
    before = descriptors()
    for _ in range(20):
        asyncio.run(main())
    # The I/O thread of a connection that was closed may still be at it.
    assert any(descriptors() <= before for _ in range(1000))
