"""A forked child gets a clear error, and does no harm to its parent's connection."""

import asyncio
import io
import os
from collections.abc import Callable
from typing import Any

import pytest

from nws import _native, aio
from nws.client import Lease, NetWorkSpace, NwsValueIterator
from server_process import ServerProcess

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def said_by_child(act: Callable[[], Any]) -> str:
    """What a forked child gets from this call."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"no error"
        try:
            act()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}".encode()
        finally:
            os.write(write, answer)
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answers:
        said = answers.read().decode()
    os.waitpid(child, 0)
    return said


OPERATIONS: dict[str, Callable[[NetWorkSpace, NwsValueIterator, Lease], Any]] = {
    "store": lambda ws, values, lease: ws.store("x", 1),
    "storeMany": lambda ws, values, lease: ws.storeMany("x", [1, 2]),
    "storeFile": lambda ws, values, lease: ws.storeFile("x", io.BytesIO(b"abc")),
    "fetch": lambda ws, values, lease: ws.fetch("x"),
    "fetchTry": lambda ws, values, lease: ws.fetchTry("x"),
    "fetchMany": lambda ws, values, lease: ws.fetchMany("x", 2),
    "fetchFile": lambda ws, values, lease: ws.fetchFile("x", io.BytesIO()),
    "find": lambda ws, values, lease: ws.find("x"),
    "next": lambda ws, values, lease: next(values),
    "writeTo": lambda ws, values, lease: values.writeTo(io.BytesIO()),
    "lease": lambda ws, values, lease: ws.lease("x"),
    "finish": lambda ws, values, lease: lease.finish("x", 1),
    "release": lambda ws, values, lease: lease.release(),
    "declare": lambda ws, values, lease: ws.declare("x", "fifo"),
    "deleteVar": lambda ws, values, lease: ws.deleteVar("x"),
    "listVars": lambda ws, values, lease: ws.listVars(),
    "listWss": lambda ws, values, lease: ws.server.listWss(),
    "mktempWs": lambda ws, values, lease: ws.server.mktempWs(),
    "deleteWs": lambda ws, values, lease: ws.server.deleteWs(ws.currentWs()),
    "openWs": lambda ws, values, lease: ws.server.openWs("another"),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_forked_child_gets_an_error_and_does_no_harm(ws: NetWorkSpace, operation: str) -> None:
    ws.store("leased", "soup")
    ws.store("values", 1)
    lease, values = ws.lease("leased"), ws.ifind("values")
    said = said_by_child(lambda: OPERATIONS[operation](ws, values, lease))
    assert said.startswith("NwsConnectionDroppedException")
    assert "fork" in said
    ws.store("y", "of the parent")
    assert ws.fetch("y") == "of the parent"
    assert ws.fetchTry("x") is None
    assert next(values) == 1
    assert ws.findTry("leased") is None, "the lease is the parent's"
    lease.finish("dishes", "hot soup")
    assert ws.fetch("dishes") == "hot soup"


def test_a_call_that_was_begun_before_the_fork_is_an_error_too(ws: NetWorkSpace) -> None:
    call = ws._workspace.retrieve("x", True)
    for act in (call.wait, call.result, call.abandon, lambda: call.ring(_native.Bell(), 1)):
        said = said_by_child(act)
        assert said.startswith("NwsConnectionDroppedException")
    ws.store("x", 1)
    assert call.wait() == 1


def test_a_forked_child_gets_an_error_from_coroutines(nws_server: ServerProcess) -> None:
    async def main() -> None:
        async with aio.NetWorkSpace("forked", nws_server.socket) as ws:
            # The child runs the coroutine without the loop, which is its parent's.
            said = said_by_child(lambda: ws.store("x", 1).send(None))
            assert said.startswith("NwsConnectionDroppedException")
            await ws.store("x", 1)
            assert await ws.fetch("x") == 1

    asyncio.run(main())
