"""Workspaces from asyncio: the names of `nws.client`, as coroutines.

```python
import asyncio
from nws.aio import NetWorkSpace

async def main():
    async with NetWorkSpace("example") as ws:  # at a server on localhost:8765, which `nws serve` starts
        await ws.store("answer", 42)
        print(await ws.fetch("answer"))

asyncio.run(main())
```

What each does is said in `nws.client`. Any number of tasks wait on one connection. A task that is canceled, by
`asyncio.timeout` for one, ends its wait at the server; a value that its fetch had taken by then is kept for the
workspace's next fetch of the variable.

`NwsServer` and `NetWorkSpace` connect when they are awaited, or at the start of their `async with` block. `ifetch` and
the like make iterators for `async for`. `lease` is for `async with`. Files are read and written on other threads.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Literal, Self, overload

from nws import _native
from nws._client import files, listings
from nws._client.iterator import Progress
from nws._client.listings import HOST, PORT, STRING, Encoding, Mode, Variables, Workspaces
from nws._client.waiting import planned, result
from nws._errors import NwsOperationException

__all__ = ["Lease", "NetWorkSpace", "NwsServer", "NwsValueIterator"]


class NwsServer:
    """A connection to a server: see `nws.client.NwsServer`. It connects when it is awaited or entered."""

    def __init__(self, host: str = HOST, port: int = PORT) -> None:
        """Name the server."""
        self.serverHost, self.serverPort = listings.server_place(host, port)
        self._native: _native.Connection | None = None
        self._connecting = asyncio.Lock()

    async def _connected(self) -> Self:
        async with self._connecting:
            if self._native is None:
                self._native = await asyncio.to_thread(_native.Connection, self.serverHost, self.serverPort)
        return self

    @property
    def _connection(self) -> _native.Connection:
        if self._native is None:
            raise RuntimeError("expected a server that is connected; await it, or use `async with`")
        return self._native

    def __await__(self) -> Generator[Any, None, Self]:
        return self._connected().__await__()

    async def __aenter__(self) -> Self:
        return await self._connected()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def openWs(
        self, wsName: str, space: "NetWorkSpace | None" = None, *, persistent: bool = False, create: bool = True
    ) -> "NetWorkSpace":
        """Open a workspace, willing to own it."""
        return await self._bind(wsName, space, True, persistent, create)

    async def useWs(
        self, wsName: str, space: "NetWorkSpace | None" = None, *, persistent: bool = False, create: bool = True
    ) -> "NetWorkSpace":
        """Open a workspace without ever owning it."""
        return await self._bind(wsName, space, False, persistent, create)

    async def _bind(
        self, name: str, space: "NetWorkSpace | None", own: bool, persistent: bool, create: bool
    ) -> "NetWorkSpace":
        if space is None:
            return await NetWorkSpace(name, useUse=not own, server=self, persistent=persistent, create=create)
        if space.currentWs() != name:
            raise ValueError(f"expected the name of the space, {space.currentWs()!r}, got {name!r}")
        space._native = await result(self._connection.open(name, own, bool(persistent), bool(create)))
        return space

    async def deleteWs(self, wsName: str) -> None:
        """Delete the workspace that bears this name now."""
        await result(self._connection.delete_workspace(wsName))

    @overload
    async def listWss(self, format: Literal["string"] = "string") -> str: ...
    @overload
    async def listWss(self, format: Literal["dict"]) -> Workspaces: ...
    async def listWss(self, format: str = STRING) -> str | Workspaces:
        """List the workspaces."""
        listings.check_format(format)
        return listings.workspaces(await result(self._connection.list_workspaces()), format)

    async def mktempWs(self, wsName: str = "__pyws__%d") -> str:
        """Make a workspace with a name that no other has, and return the name."""
        name: str = await result(self._connection.make_temporary(wsName))
        return name

    async def close(self) -> None:
        """End the connection."""
        if self._native is not None:
            self._native.close()

    def __str__(self) -> str:
        return f"NwsServer at {listings.place(self.serverHost, self.serverPort)}"

    def __repr__(self) -> str:
        return f"NwsServer({self.serverHost!r}, {self.serverPort!r})"


class NwsValueIterator:
    """Goes over the values of a variable, each once: see `nws.client.NwsValueIterator`. It is for `async for`."""

    def __init__(self, ws: "NetWorkSpace", varName: str, op: str, *, timeout: float | None = None) -> None:
        """Iterate by the operation of this name."""
        self._progress = Progress(ws._workspace, varName, op, timeout)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._step(lambda: result(self._progress.ask()))

    async def next(self) -> Any:
        """Return the next value; `StopAsyncIteration` is the end."""
        return await self._step(lambda: result(self._progress.ask()))

    def reset(self) -> None:
        """Go back to the beginning of the variable."""
        self._progress.reset()

    def restart(self) -> None:
        """Go on after an end, behind the value that was seen last."""
        self._progress.stopped = False

    async def writeTo(self, fobj: Any) -> int:
        """Write the next value to a file and return the number of bytes; `StopAsyncIteration` is the end."""
        count: int = await self._step(lambda: planned(self._progress.writing(fobj)))
        return count

    async def _step(self, step: Callable[[], Awaitable[Any]]) -> Any:
        progress = self._progress
        if progress.stopped:
            raise StopAsyncIteration
        try:
            value = await step()
        except NwsOperationException as error:
            if progress.ends_by(error):
                raise StopAsyncIteration from None
            raise
        if progress.is_end(value):
            raise StopAsyncIteration
        return value


class Lease:
    """A value taken by lease: see `nws.client.Lease`. It is for `async with`."""

    def __init__(self, native: _native.Lease) -> None:
        """Hold what the native module leased."""
        self._native = native

    @property
    def value(self) -> Any:
        """The value."""
        return self._native.value

    @property
    def deaths(self) -> int:
        """How many holders of this value died so far."""
        return self._native.deaths

    async def finish(self, varName: str, val: Any, *, encoding: Encoding | None = None) -> None:
        """End the lease and store a result in a variable of the same workspace, in one step."""
        await result(self._native.finish(varName, val, encoding))

    async def done(self) -> None:
        """End the lease without a result: the value is gone."""
        await result(self._native.done())

    async def release(self) -> None:
        """Give the value back to its place."""
        self._native.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._native.release()


class _Leasing:
    """A lease that is to be awaited, or entered at once."""

    def __init__(self, workspace: _native.Workspace, varName: str, timeout: float | None) -> None:
        self._asked = (workspace, varName, timeout)
        self._lease: Lease | None = None

    async def _leased(self) -> Lease:
        workspace, varName, timeout = self._asked
        self._lease = Lease(await result(workspace.lease(varName, timeout)))
        return self._lease

    def __await__(self) -> Generator[Any, None, Lease]:
        return self._leased().__await__()

    async def __aenter__(self) -> Lease:
        return await self._leased()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lease is not None:
            await self._lease.release()


class NetWorkSpace:
    """A workspace on a server: see `nws.client.NetWorkSpace`. It connects and opens when it is awaited or entered."""

    def __init__(
        self,
        wsName: str = "__default",
        serverHost: str = HOST,
        serverPort: int = PORT,
        useUse: bool = False,
        server: NwsServer | None = None,
        *,
        persistent: bool = False,
        create: bool = True,
    ) -> None:
        """Name the workspace."""
        if server is not None and not isinstance(server, NwsServer):
            raise TypeError(f"server: expected an NwsServer, got {type(server).__name__}")
        self._name = wsName
        self._connected_here = server is None
        self.server = NwsServer(serverHost, serverPort) if server is None else server
        self._how = (useUse, persistent, create)
        self._native: _native.Workspace | None = None

    async def _opened(self) -> Self:
        await self.server
        use, persistent, create = self._how
        bind = self.server.useWs if use else self.server.openWs
        try:
            await bind(self._name, self, persistent=persistent, create=create)
        except BaseException:
            if self._connected_here:
                await self.server.close()
            raise
        return self

    @property
    def _workspace(self) -> _native.Workspace:
        if self._native is None:
            raise RuntimeError("expected a workspace that is open; await it, or use `async with`")
        return self._native

    def __await__(self) -> Generator[Any, None, Self]:
        return self._opened().__await__()

    async def __aenter__(self) -> Self:
        return self if self._native is not None else await self._opened()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connected_here:
            await self.server.close()

    def currentWs(self) -> str:
        """Return the workspace's name."""
        return self._name

    async def declare(self, varName: str, mode: Mode) -> None:
        """Give a variable its mode."""
        await result(self._workspace.declare(varName, mode))

    async def store(self, varName: str, val: Any, *, encoding: Encoding | None = None) -> None:
        """Add a value to a variable."""
        await result(self._workspace.store(varName, val, encoding))

    async def storeMany(self, varName: str, vals: Iterable[Any], *, encoding: Encoding | None = None) -> None:
        """Add values to a variable, in this order and in few messages."""
        for call in self._workspace.store_many(varName, vals, encoding):
            await result(call)

    async def fetch(self, varName: str, *, timeout: float | None = None) -> Any:
        """Take a value of a variable away and return it; wait until there is one."""
        return await result(self._workspace.retrieve(varName, True, timeout))

    async def fetchTry(self, varName: str, missing: Any = None) -> Any:
        """Take a value of a variable away and return it; return `missing` where there is none."""
        return await result(self._workspace.retrieve(varName, True, None, True, missing))

    async def fetchMany(self, varName: str, n: int, *, timeout: float | None = None) -> list[Any]:
        """Take up to `n` values of a variable away and return them; wait until there is one."""
        values: list[Any] = await result(self._workspace.fetch_many(varName, n, timeout))
        return values

    async def fetchTryMany(self, varName: str, n: int) -> list[Any]:
        """Take up to `n` values of a variable away and return them, perhaps none."""
        values: list[Any] = await result(self._workspace.fetch_many(varName, n, None, True))
        return values

    async def find(self, varName: str, *, timeout: float | None = None) -> Any:
        """Return a value of a variable and leave it there; wait until there is one."""
        return await result(self._workspace.retrieve(varName, False, timeout))

    async def findTry(self, varName: str, missing: Any = None) -> Any:
        """Return a value of a variable and leave it there; return `missing` where there is none."""
        return await result(self._workspace.retrieve(varName, False, None, True, missing))

    def lease(self, varName: str, *, timeout: float | None = None) -> _Leasing:
        """Take a value of a variable until it is finished; wait until there is one. It is for `async with`."""
        return _Leasing(self._workspace, varName, timeout)

    def ifetch(self, varName: str, *, timeout: float | None = None) -> NwsValueIterator:
        """Iterate over a variable and take its values away; wait for each."""
        return NwsValueIterator(self, varName, "ifetch", timeout=timeout)

    def ifetchTry(self, varName: str) -> NwsValueIterator:
        """Iterate over a variable and take its values away, until there are no more."""
        return NwsValueIterator(self, varName, "ifetchTry")

    def ifind(self, varName: str, *, timeout: float | None = None) -> NwsValueIterator:
        """Iterate over the values of a variable, each once, and leave them there; wait for new ones."""
        return NwsValueIterator(self, varName, "ifind", timeout=timeout)

    def ifindTry(self, varName: str) -> NwsValueIterator:
        """Iterate over the values of a variable, each once, and leave them there, until there are no more."""
        return NwsValueIterator(self, varName, "ifindTry")

    async def storeFile(self, varName: str, fobj: Any, n: int = 0) -> int:
        """Store what is left of a file as one value, at most `n` bytes of it if `n` is not 0; return how many."""
        count: int = await planned(files.storing(self._workspace, varName, fobj, n))
        return count

    async def fetchFile(self, varName: str, fobj: Any, *, timeout: float | None = None) -> int:
        """Take a value of a variable away and write it to a file; wait until there is one; return its bytes."""
        return await self._to_file(varName, fobj, True, timeout, False)

    async def fetchTryFile(self, varName: str, fobj: Any) -> int:
        """Do as `fetchFile`, but return 0 where there is no value."""
        return await self._to_file(varName, fobj, True, None, True)

    async def findFile(self, varName: str, fobj: Any, *, timeout: float | None = None) -> int:
        """Write a value of a variable to a file and leave it there; wait until there is one; return its bytes."""
        return await self._to_file(varName, fobj, False, timeout, False)

    async def findTryFile(self, varName: str, fobj: Any) -> int:
        """Do as `findFile`, but return 0 where there is no value."""
        return await self._to_file(varName, fobj, False, None, True)

    async def _to_file(self, varName: str, fobj: Any, take: bool, timeout: float | None, trying: bool) -> int:
        count: int = await planned(files.fetching(self._workspace, varName, fobj, take, timeout, trying))
        return count

    async def deleteVar(self, varName: str) -> None:
        """Delete a variable with its values; those who wait for it get an exception, and its iterators end."""
        await result(self._workspace.delete_variable(varName))

    @overload
    async def listVars(self, wsName: str | None = None, format: Literal["string"] = "string") -> str: ...
    @overload
    async def listVars(self, wsName: str | None, format: Literal["dict"]) -> Variables: ...
    @overload
    async def listVars(self, wsName: str | None = None, *, format: Literal["dict"]) -> Variables: ...
    async def listVars(self, wsName: str | None = None, format: str = STRING) -> str | Variables:
        """List the variables of this workspace, or of the one named."""
        listings.check_format(format)
        workspace = self._workspace
        if wsName is not None and wsName != self._name:
            workspace = await result(self.server._connection.open(wsName, False, False, False))
        return listings.variables(await result(workspace.list_variables()), format)

    def __str__(self) -> str:
        return f"NetWorkSpace {self._name!r} at {listings.place(self.server.serverHost, self.server.serverPort)}"

    def __repr__(self) -> str:
        return f"NetWorkSpace({self._name!r}, server={self.server!r})"
