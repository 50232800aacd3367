"""Workspaces: named variables on a server, which any number of programs share.

```python
from nws.client import NetWorkSpace

ws = NetWorkSpace("example")  # at a server on localhost:8765, which `nws serve` starts
ws.store("answer", 42)
print(ws.fetch("answer"))
```

A variable holds a queue of values. `store` adds one, `fetch` takes one away, `find` reads one; both wait until there is
one, `fetchTry` and `findTry` do not. Exactly one client ever fetches a given value. While one thread waits, the others
go on, and Ctrl-C ends the wait.

Values are any objects that can be pickled. None, bool, int, float, str and bytes travel without pickle; `bytes` come
back as `bytes`, and text of other clients that is not UTF-8 comes as `bytes` too. Reading a pickle runs what its sender
wrote: share a server with those that you trust.
"""

from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias, overload

from nws import _native
from nws._errors import (
    NwsConnectException,
    NwsConnectionDroppedException,
    NwsDeclarationFailedException,
    NwsException,
    NwsNoWorkSpaceException,
    NwsOperationException,
    NwsServerException,
    NwsTimeoutException,
    NwsUnsupportedOperationException,
)

__all__ = [
    "DICT",
    "FIFO",
    "LIFO",
    "MULTI",
    "SINGLE",
    "STRING",
    "V_FETCHERS",
    "V_FINDERS",
    "V_MODE",
    "V_VALUES",
    "V_VARIABLE",
    "WS_MINE",
    "WS_NAME",
    "WS_NUMVARS",
    "WS_OWNER",
    "WS_PERSISTENT",
    "WS_VARLIST",
    "NetWorkSpace",
    "NwsConnectException",
    "NwsConnectionDroppedException",
    "NwsDeclarationFailedException",
    "NwsException",
    "NwsNoWorkSpaceException",
    "NwsOperationException",
    "NwsServer",
    "NwsServerException",
    "NwsTimeoutException",
    "NwsUnsupportedOperationException",
]

FIFO: Final = "fifo"
LIFO: Final = "lifo"
MULTI: Final = "multi"
SINGLE: Final = "single"

STRING: Final = "string"
DICT: Final = "dict"

V_VARIABLE: Final = 0
V_VALUES: Final = 1
V_FETCHERS: Final = 2
V_FINDERS: Final = 3
V_MODE: Final = 4

WS_NAME: Final = 0
WS_MINE: Final = 1
WS_OWNER: Final = 2
WS_PERSISTENT: Final = 3
WS_NUMVARS: Final = 4
WS_VARLIST: Final = 5

_Mode: TypeAlias = Literal["fifo", "lifo", "multi", "single"]
_Variables: TypeAlias = dict[str, tuple[str, int, int, int, str]]
_Workspaces: TypeAlias = dict[str, tuple[str, bool, str, bool, int, list[str]]]


class NwsServer:
    """A connection to a server.

    `host` and `port` say where the server listens; a host with a slash in it is the path of a Unix socket, and then the
    port means nothing. Workspaces that this connection owns, and that are not persistent, go when it ends: at `close`,
    at the end of a `with` block, or when nothing refers to it any more.

    Raises `NwsConnectException` where no connection can be made.
    """

    def __init__(self, host: str = "localhost", port: int = 8765) -> None:
        """Connect to the server."""
        self.serverHost = host
        self.serverPort = port
        self._connection = _native.Connection(host, port)

    @classmethod
    def _over(cls, connection: _native.Connection) -> Self:
        """Return the server at the other end of a connection that is there already."""
        server = cls.__new__(cls)
        server.serverHost, server.serverPort, server._connection = "localhost", 0, connection
        return server

    def openWs(
        self, wsName: str, space: "NetWorkSpace | None" = None, *, persistent: bool = False, create: bool = True
    ) -> "NetWorkSpace":
        """Open a workspace, willing to become its owner where it has never had one.

        `persistent` lets the workspace outlive its owner; it counts only for the one who becomes owner. With `create`
        false, a workspace that does not exist is `NwsNoWorkSpaceException`. `space` is for `NetWorkSpace` itself.
        """
        return self._bind(wsName, space, True, persistent, create)

    def useWs(
        self, wsName: str, space: "NetWorkSpace | None" = None, *, persistent: bool = False, create: bool = True
    ) -> "NetWorkSpace":
        """Open a workspace without ever becoming its owner.

        `persistent` has no effect, as it is the owner's to decide. `create` is as for `openWs`.
        """
        return self._bind(wsName, space, False, persistent, create)

    def _bind(
        self, name: str, space: "NetWorkSpace | None", own: bool, persistent: bool, create: bool
    ) -> "NetWorkSpace":
        if space is None:
            return NetWorkSpace(name, useUse=not own, server=self, persistent=persistent, create=create)
        if space.currentWs() != name:
            raise ValueError(f"expected the name of the space, {space.currentWs()!r}, got {name!r}")
        space._workspace = self._connection.open(name, own, bool(persistent), bool(create))
        return space

    def deleteWs(self, wsName: str) -> None:
        """Delete the workspace that bears this name now, whoever owns it; those who wait in it are told.

        Raises `NwsNoWorkSpaceException` where there is none.
        """
        self._connection.delete_workspace(wsName)

    @overload
    def listWss(self, format: Literal["string"] = "string") -> str: ...
    @overload
    def listWss(self, format: Literal["dict"]) -> _Workspaces: ...
    def listWss(self, format: str = STRING) -> str | _Workspaces:
        """List the workspaces, sorted by name.

        The format `'dict'` gives a dictionary of tuples, whose fields `WS_NAME`, `WS_MINE`, `WS_OWNER`,
        `WS_PERSISTENT`, `WS_NUMVARS` and `WS_VARLIST` index. The format `'string'` gives a line a workspace, ended by a
        newline: `>` where this connection owns it, else a space, then the name; owner; `True` or `False` for
        persistent; number of variables; their names, joined by commas; with tabs between.
        """
        _check_format(format)
        rows = self._connection.list_workspaces()
        if format == DICT:
            return {
                name: (name, mine, owner, persistent, len(variables), variables)
                for name, owner, mine, persistent, variables in rows
            }
        return "".join(
            f"{'>' if mine else ' '}{name}\t{owner}\t{persistent}\t{len(variables)}\t{','.join(variables)}\n"
            for name, owner, mine, persistent, variables in rows
        )

    def mktempWs(self, wsName: str = "__pyws__%d") -> str:
        """Make a workspace with a name that no other has, and return the name.

        `wsName` is a printf format with exactly one integer conversion. Nobody owns the workspace until somebody opens
        it. Raises `NwsOperationException` for any other template.
        """
        name: str = self._connection.make_temporary(wsName)
        return name

    def close(self) -> None:
        """End the connection. What it owns, and is not persistent, goes; who waits on it gets an exception."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return f"NwsServer at {_place(self.serverHost, self.serverPort)}"

    def __repr__(self) -> str:
        return f"NwsServer({self.serverHost!r}, {self.serverPort!r})"

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle an NwsServer: it is a connection of this process; connect anew in the other one")


class NetWorkSpace:
    """A workspace on a server.

    `wsName` is its name. `serverHost` and `serverPort` say where the server is, as for `NwsServer`, unless `server` is
    a connection to use. With `useUse` true, this client never becomes the owner of the workspace; else it does where
    the workspace has never had one, and then `persistent` says whether the workspace outlives this connection. With
    `create` false, a workspace that does not exist is `NwsNoWorkSpaceException`.

    Raises `NwsConnectException` where no connection can be made.
    """

    _workspace: _native.Workspace

    def __init__(
        self,
        wsName: str = "__default",
        serverHost: str = "localhost",
        serverPort: int = 8765,
        useUse: bool = False,
        server: NwsServer | None = None,
        *,
        persistent: bool = False,
        create: bool = True,
    ) -> None:
        """Open or use the workspace."""
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

    def declare(self, varName: str, mode: _Mode) -> None:
        """Give a variable its mode: `'fifo'`, `'lifo'`, `'multi'` or `'single'`.

        The values of a `'multi'` variable come in any order; a store to a `'single'` one replaces its value. A variable
        that nobody declared becomes `'fifo'` with its first store. Raises `NwsDeclarationFailedException` where it has
        another mode already.
        """
        self._workspace.declare(varName, mode)

    def store(self, varName: str, val: Any) -> None:
        """Add a value to a variable."""
        self._workspace.store(varName, val)

    def fetch(self, varName: str, *, timeout: float | None = None) -> Any:
        """Take a value of a variable away and return it; wait until there is one.

        Nobody else gets that value. `timeout` is in seconds; when it is over, `NwsTimeoutException` is raised and
        nothing was taken. A value that arrives while Ctrl-C ends the wait is kept for this object's next fetch of the
        variable.
        """
        return self._workspace.retrieve(varName, True, timeout)

    def fetchTry(self, varName: str, missing: Any = None) -> Any:
        """Take a value of a variable away and return it; return `missing` where there is none."""
        return self._workspace.retrieve_try(varName, True, missing)

    def find(self, varName: str, *, timeout: float | None = None) -> Any:
        """Return a value of a variable and leave it there; wait until there is one.

        `timeout` is in seconds; when it is over, `NwsTimeoutException` is raised.
        """
        return self._workspace.retrieve(varName, False, timeout)

    def findTry(self, varName: str, missing: Any = None) -> Any:
        """Return a value of a variable and leave it there; return `missing` where there is none."""
        return self._workspace.retrieve_try(varName, False, missing)

    def deleteVar(self, varName: str) -> None:
        """Delete a variable with its values; those who wait for it get an exception.

        Raises `NwsOperationException` where there is no such variable.
        """
        self._workspace.delete_variable(varName)

    @overload
    def listVars(self, wsName: str | None = None, format: Literal["string"] = "string") -> str: ...
    @overload
    def listVars(self, wsName: str | None, format: Literal["dict"]) -> _Variables: ...
    @overload
    def listVars(self, wsName: str | None = None, *, format: Literal["dict"]) -> _Variables: ...
    def listVars(self, wsName: str | None = None, format: str = STRING) -> str | _Variables:
        """List the variables of this workspace, or of the one named, sorted by name.

        The format `'dict'` gives a dictionary of tuples, whose fields `V_VARIABLE`, `V_VALUES`, `V_FETCHERS`,
        `V_FINDERS` and `V_MODE` index. The format `'string'` gives the same fields with tabs between, a line a
        variable. Raises `NwsNoWorkSpaceException` where there is no workspace of that name.
        """
        _check_format(format)
        workspace = self._workspace
        if wsName is not None and wsName != self._name:
            workspace = self.server._connection.open(wsName, False, False, False)
        rows = workspace.list_variables()
        if format == DICT:
            return {row[V_VARIABLE]: row for row in rows}
        return "\n".join("\t".join(map(str, row)) for row in rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A connection that was given belongs to who gave it.
        if self._connected_here:
            self.server.close()

    def __str__(self) -> str:
        return f"NetWorkSpace {self._name!r} at {_place(self.server.serverHost, self.server.serverPort)}"

    def __repr__(self) -> str:
        return f"NetWorkSpace({self._name!r}, server={self.server!r})"

    def __reduce__(self) -> Any:
        raise TypeError(
            "cannot pickle a NetWorkSpace: it is a connection of this process; open the workspace in the other one"
        )


def _place(host: str, port: int) -> str:
    return host if "/" in host else f"{host}:{port}"


def _check_format(format: str) -> None:
    if format not in (STRING, DICT):
        raise ValueError(f"expected the format 'string' or 'dict', got {format!r}")
