"""A connection to a server."""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from nws import _native
from nws._client import listings
from nws._client.listings import HOST, PORT, STRING, Workspaces

if TYPE_CHECKING:
    from nws._client.workspace import NetWorkSpace


class NwsServer:
    """A connection to a server.

    `host` and `port` say where the server listens; a host with a slash in it is the path of a Unix socket, and then the
    port means nothing. Where neither is given, the environment variable `NWS_URL` may name the server, as
    `nws://HOST:PORT` or by the path of its Unix socket.

    Workspaces that this connection owns, and that are not persistent, go when it ends: at `close`, at the end of a
    `with` block, or when nothing refers to it any more.

    Raises `NwsConnectException` where no connection can be made.
    """

    __module__ = "nws.client"

    def __init__(self, host: str = HOST, port: int = PORT) -> None:
        """Connect to the server."""
        self.serverHost, self.serverPort = listings.server_place(host, port)
        self._connection = _native.Connection(self.serverHost, self.serverPort)

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
        false, a workspace that does not exist is `NwsNoWorkSpaceException`. `space` is for `NetWorkSpace` itself; its
        name must be `wsName`.

        >>> ws = server.openWs("kitchen")
        >>> ws.currentWs()
        'kitchen'
        """
        return self._bind(wsName, space, True, persistent, create)

    def useWs(
        self, wsName: str, space: "NetWorkSpace | None" = None, *, persistent: bool = False, create: bool = True
    ) -> "NetWorkSpace":
        """Open a workspace without ever becoming its owner.

        `persistent` has no effect, as it is the owner's to decide. `space` and `create` are as for `openWs`.

        >>> server.useWs("kitchen").currentWs()
        'kitchen'
        """
        return self._bind(wsName, space, False, persistent, create)

    def _bind(
        self, name: str, space: "NetWorkSpace | None", own: bool, persistent: bool, create: bool
    ) -> "NetWorkSpace":
        if space is None:
            from nws._client.workspace import NetWorkSpace

            return NetWorkSpace(name, useUse=not own, server=self, persistent=persistent, create=create)
        if space.currentWs() != name:
            raise ValueError(f"expected the name of the space, {space.currentWs()!r}, got {name!r}")
        space._workspace = self._connection.open(name, own, bool(persistent), bool(create)).wait()
        return space

    def deleteWs(self, wsName: str) -> None:
        """Delete the workspace that bears this name now, whoever owns it; those who wait in it are told.

        Raises `NwsNoWorkSpaceException` where there is none.

        >>> server.deleteWs(server.mktempWs())
        """
        self._connection.delete_workspace(wsName).wait()

    @overload
    def listWss(self, format: Literal["string"] = "string") -> str: ...
    @overload
    def listWss(self, format: Literal["dict"]) -> Workspaces: ...
    def listWss(self, format: str = STRING) -> str | Workspaces:
        """List the workspaces, sorted by name.

        The format `'dict'` gives a dictionary of tuples, whose fields `WS_NAME`, `WS_MINE`, `WS_OWNER`,
        `WS_PERSISTENT`, `WS_NUMVARS` and `WS_VARLIST` index. The format `'string'` gives a line a workspace, ended by a
        newline: `>` where this connection owns it, else a space, then the name; owner; `True` or `False` for
        persistent; number of variables; their names, joined by commas; with tabs between.

        >>> name = server.mktempWs()
        >>> server.listWss("dict")[name] == (name, False, "", False, 0, [])
        True
        """
        listings.check_format(format)
        return listings.workspaces(self._connection.list_workspaces().wait(), format)

    def mktempWs(self, wsName: str = "__pyws__%d") -> str:
        """Make a workspace with a name that no other has, and return the name.

        `wsName` is a printf format with exactly one integer conversion. Nobody owns the workspace until somebody opens
        it. Raises `NwsOperationException` for any other template.

        >>> server.mktempWs("kitchen_%d").startswith("kitchen_")
        True
        """
        name: str = self._connection.make_temporary(wsName).wait()
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
        return f"NwsServer at {listings.place(self.serverHost, self.serverPort)}"

    def __repr__(self) -> str:
        return f"NwsServer({self.serverHost!r}, {self.serverPort!r})"

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle an NwsServer: it is a connection of this process; connect anew in the other one")
