"""A workspace on a server."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, Self, overload

from nws import _native
from nws._client import files, listings
from nws._client.iterator import NwsValueIterator
from nws._client.lease import Lease
from nws._client.listings import HOST, PORT, STRING, Encoding, Mode, Variables
from nws._client.server import NwsServer


class NetWorkSpace:
    """A workspace on a server.

    `wsName` is its name. `serverHost` and `serverPort`, or `NWS_URL`, say where the server is, as for `NwsServer`,
    unless `server` is a connection to use. With `useUse` true, this client never becomes the owner of the workspace;
    else it does where the workspace has never had one, and then `persistent` says whether the workspace outlives this
    connection. With `create` false, a workspace that does not exist is `NwsNoWorkSpaceException`.

    Every wait takes a `timeout` in seconds, after which it is `NwsTimeoutException` and nothing was taken; without one
    it has no end. Raises `NwsConnectException` where no connection can be made.

    >>> with NetWorkSpace("kitchen") as ws:
    ...     ws.store("answer", 42)
    ...     ws.fetch("answer")
    42
    """

    __module__ = "nws.client"

    _workspace: _native.Workspace

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
        """Open or use the workspace."""
        if server is not None and not isinstance(server, NwsServer):
            raise TypeError(f"server: expected an NwsServer, got {type(server).__name__}")
        self._name = wsName
        self._connected_here = server is None
        self.server = NwsServer(serverHost, serverPort) if server is None else server
        bind = self.server.useWs if useUse else self.server.openWs
        try:
            bind(wsName, self, persistent=persistent, create=create)
        except BaseException:
            if self._connected_here:
                self.server.close()
            raise

    def currentWs(self) -> str:
        """Return the workspace's name."""
        return self._name

    def declare(self, varName: str, mode: Mode) -> None:
        """Give a variable its mode: `'fifo'`, `'lifo'`, `'multi'` or `'single'`.

        The values of a `'multi'` variable come in any order; a store to a `'single'` one replaces its value. A variable
        that nobody declared becomes `'fifo'` with its first store. Raises `NwsDeclarationFailedException` where it has
        another mode already.

        >>> ws.declare("menu", "single")
        >>> ws.store("menu", "soup")
        >>> ws.store("menu", "bread")
        >>> ws.find("menu")
        'bread'
        """
        self._workspace.declare(varName, mode).wait()

    def store(self, varName: str, val: Any, *, encoding: Encoding | None = None) -> None:
        """Add a value to a variable.

        `encoding` writes the value so that programs in other languages can read it: `'json'` as JSON, which comes back
        as what JSON makes of it; `'text'` a str, `'bytes'` any object that has its bytes in one piece, which comes back
        as `bytes`; `'native'` None, a bool, an int or a float. Without it the value comes back as it was: str, bytes,
        None, bool, int and float go by these encodings, anything else as a pickle.

        Large buffers, such as those of numpy's arrays, are sent from where they lie; do not write to them before this
        has returned.

        >>> ws.store("point", {"x": 1, "y": (2, 3)}, encoding="json")
        >>> ws.fetch("point")
        {'x': 1, 'y': [2, 3]}
        """
        self._workspace.store(varName, val, encoding).wait()

    def storeMany(self, varName: str, vals: Iterable[Any], *, encoding: Encoding | None = None) -> None:
        """Add values to a variable, in this order and in few messages.

        If one cannot be encoded, none is stored. A message holds up to 4,096 values; where the server refuses one
        message of several, the values of the others may be stored.

        >>> ws.storeMany("x", range(3))
        >>> ws.fetchMany("x", 10)
        [0, 1, 2]
        """
        calls = self._workspace.store_many(varName, vals, encoding)
        for call in calls:
            call.wait()

    def fetch(self, varName: str, *, timeout: float | None = None) -> Any:
        """Take a value of a variable away and return it; wait until there is one.

        Nobody else gets that value. A value that arrives while Ctrl-C ends the wait is kept for this object's next
        fetch of the variable.

        >>> ws.store("x", 1)
        >>> ws.fetch("x")
        1
        >>> ws.fetch("x", timeout=0.01)
        Traceback (most recent call last):
        nws.client.NwsTimeoutException: expected a value of the variable 'x' within 0.01 s, and none came
        """
        return self._workspace.retrieve(varName, True, timeout).wait()

    def fetchTry(self, varName: str, missing: Any = None) -> Any:
        """Take a value of a variable away and return it; return `missing` where there is none.

        >>> ws.fetchTry("x", "none there")
        'none there'
        """
        return self._workspace.retrieve(varName, True, None, True, missing).wait()

    def fetchMany(self, varName: str, n: int, *, timeout: float | None = None) -> list[Any]:
        """Take up to `n` values of a variable away and return them; wait until there is one.

        It does not wait for more than one. Where others fetch from the variable too, it gets its share. No call gives more
        than 4,096. If a value cannot be unpickled, the ones before it are the attribute `fetched` of the exception, and
        the ones after it are kept for the next fetch.
        """
        return self._many(varName, n, timeout, False)

    def fetchTryMany(self, varName: str, n: int) -> list[Any]:
        """Take up to `n` values of a variable away and return them, as `fetchMany`; return none where there are none.

        >>> ws.fetchTryMany("x", 10)
        []
        """
        return self._many(varName, n, None, True)

    def _many(self, varName: str, n: int, timeout: float | None, trying: bool) -> list[Any]:
        values: list[Any] = self._workspace.fetch_many(varName, n, timeout, trying).wait()
        return values

    def find(self, varName: str, *, timeout: float | None = None) -> Any:
        """Return a value of a variable and leave it there; wait until there is one.

        >>> ws.store("x", 1)
        >>> ws.find("x"), ws.find("x")
        (1, 1)
        """
        return self._workspace.retrieve(varName, False, timeout).wait()

    def findTry(self, varName: str, missing: Any = None) -> Any:
        """Return a value of a variable and leave it there; return `missing` where there is none.

        >>> ws.findTry("x", "none there")
        'none there'
        """
        return self._workspace.retrieve(varName, False, None, True, missing).wait()

    def lease(self, varName: str, *, timeout: float | None = None) -> Lease:
        """Take a value of a variable until it is finished; wait until there is one.

        The `Lease` has the `value`. `finish` stores a result in its stead, `done` removes it; without either, at the
        end of the `with` block, by an exception, or when this program dies, the value is back at its own place.

        >>> ws.store("orders", "soup")
        >>> with ws.lease("orders") as lease:
        ...     lease.finish("dishes", f"hot {lease.value}")
        >>> ws.fetch("dishes")
        'hot soup'
        """
        return Lease(self._workspace.lease(varName, timeout).wait())

    def ifetch(self, varName: str, *, timeout: float | None = None) -> NwsValueIterator:
        """Iterate over a variable and take its values away; wait for each, up to `timeout` seconds.

        Only for variables whose mode is `'fifo'` or `'single'`: see `NwsValueIterator`.

        >>> ws.storeMany("x", [1, 2])
        >>> values = ws.ifetch("x")
        >>> next(values), next(values), ws.findTry("x")
        (1, 2, None)
        """
        return NwsValueIterator(self, varName, "ifetch", timeout=timeout)

    def ifetchTry(self, varName: str) -> NwsValueIterator:
        """Iterate over a variable and take its values away, until there are no more.

        >>> ws.storeMany("x", [1, 2])
        >>> list(ws.ifetchTry("x"))
        [1, 2]
        """
        return NwsValueIterator(self, varName, "ifetchTry")

    def ifind(self, varName: str, *, timeout: float | None = None) -> NwsValueIterator:
        """Iterate over the values of a variable, each once, and leave them there; wait for new ones.

        The wait for each ends after `timeout` seconds; the iterator can go on then. Only for variables whose mode is
        `'fifo'` or `'single'`: see `NwsValueIterator`.

        >>> ws.storeMany("x", [1, 2])
        >>> values = ws.ifind("x")
        >>> next(values), next(values)
        (1, 2)
        """
        return NwsValueIterator(self, varName, "ifind", timeout=timeout)

    def ifindTry(self, varName: str) -> NwsValueIterator:
        """Iterate over the values of a variable, each once, and leave them there, until there are no more.

        >>> ws.storeMany("x", [1, 2])
        >>> list(ws.ifindTry("x")), ws.find("x")
        ([1, 2], 1)
        """
        return NwsValueIterator(self, varName, "ifindTry")

    def storeFile(self, varName: str, fobj: Any, n: int = 0) -> int:
        """Store what is left of a file as one value, at most `n` bytes of it if `n` is not 0; return how many.

        At the end of the file it returns 0 and stores nothing. The value is `bytes`. Of a file that was opened as text,
        the UTF-8 of the text is stored, and `n` never cuts a character. Where the file cannot be read to its end,
        nothing is stored. A long value goes through a part at a time; one of more than 32 MiB is kept on the server's
        disk, whatever its setting spill-size.

        >>> import io
        >>> file = io.BytesIO(b"some bytes")
        >>> ws.storeFile("x", file, 6), ws.storeFile("x", file), ws.storeFile("x", file)
        (6, 4, 0)
        >>> ws.fetch("x"), ws.fetch("x")
        (b'some b', b'ytes')
        """
        count: int = files.done(files.storing(self._workspace, varName, fobj, n))
        return count

    def fetchFile(self, varName: str, fobj: Any, *, timeout: float | None = None) -> int:
        """Take a value of a variable away and write it to a file; wait until there is one; return its bytes.

        The value must be `bytes` or a string; any other is `NwsOperationException`. A string is written in UTF-8. A
        file that was opened as text gets the text that the bytes say in UTF-8. The value goes through a part at a
        time; it is gone when all of it is written and the file was flushed. Where that fails it is back at its place.

        >>> import io
        >>> ws.store("x", b"some bytes")
        >>> file = io.BytesIO()
        >>> ws.fetchFile("x", file), file.getvalue()
        (10, b'some bytes')
        """
        return self._to_file(varName, fobj, True, timeout, False)

    def fetchTryFile(self, varName: str, fobj: Any) -> int:
        """Do as `fetchFile`, but return 0 where there is no value.

        >>> import io
        >>> ws.fetchTryFile("x", io.BytesIO())
        0
        """
        return self._to_file(varName, fobj, True, None, True)

    def findFile(self, varName: str, fobj: Any, *, timeout: float | None = None) -> int:
        """Write a value of a variable to a file and leave it there; wait until there is one; return its bytes.

        The value and the file are as for `fetchFile`.
        """
        return self._to_file(varName, fobj, False, timeout, False)

    def findTryFile(self, varName: str, fobj: Any) -> int:
        """Do as `findFile`, but return 0 where there is no value."""
        return self._to_file(varName, fobj, False, None, True)

    def _to_file(self, varName: str, fobj: Any, take: bool, timeout: float | None, trying: bool) -> int:
        count: int = files.done(files.fetching(self._workspace, varName, fobj, take, timeout, trying))
        return count

    def deleteVar(self, varName: str) -> None:
        """Delete a variable with its values; those who wait for it get an exception, and its iterators end.

        Raises `NwsOperationException` where there is no such variable.
        """
        self._workspace.delete_variable(varName).wait()

    @overload
    def listVars(self, wsName: str | None = None, format: Literal["string"] = "string") -> str: ...
    @overload
    def listVars(self, wsName: str | None, format: Literal["dict"]) -> Variables: ...
    @overload
    def listVars(self, wsName: str | None = None, *, format: Literal["dict"]) -> Variables: ...
    def listVars(self, wsName: str | None = None, format: str = STRING) -> str | Variables:
        """List the variables of this workspace, or of the one named, sorted by name.

        The format `'dict'` gives a dictionary of tuples, whose fields `V_VARIABLE`, `V_VALUES`, `V_FETCHERS`,
        `V_FINDERS` and `V_MODE` index. The format `'string'` gives the same fields with tabs between, a line a
        variable. Raises `NwsNoWorkSpaceException` where there is no workspace of that name.

        >>> ws.store("x", 1)
        >>> ws.listVars(format="dict")
        {'x': ('x', 1, 0, 0, 'fifo')}
        """
        listings.check_format(format)
        workspace = self._workspace
        if wsName is not None and wsName != self._name:
            workspace = self.server._connection.open(wsName, False, False, False).wait()
        return listings.variables(workspace.list_variables().wait(), format)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A connection that was given belongs to who gave it.
        if self._connected_here:
            self.server.close()

    def __str__(self) -> str:
        return f"NetWorkSpace {self._name!r} at {listings.place(self.server.serverHost, self.server.serverPort)}"

    def __repr__(self) -> str:
        return f"NetWorkSpace({self._name!r}, server={self.server!r})"

    def __reduce__(self) -> Any:
        raise TypeError(
            "cannot pickle a NetWorkSpace: it is a connection of this process; open the workspace in the other one"
        )
