"""The two workspaces of a sleigh, as master and workers see them."""

import builtins
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nws import _native
from nws._errors import NwsConnectionDroppedException

if TYPE_CHECKING:
    from nws.client import NetWorkSpace

__all__ = ["describe_worker", "explained", "introduce", "make_user_space", "master_spaces", "regroup", "regroup_here"]

# In the sleigh's workspace: the name of the user's.
_USER_SPACE = "user workspace"


def make_user_space(core: _native.SleighCore, template: str, named: str | None) -> str:
    """Make the user's workspace, owned by the master unless it is another's, and leave its name for the workers."""
    connection = core.connection()
    with explained(core):
        name: str = connection.make_temporary(template).wait() if named is None else named
        connection.open(name, True, False, named is not None).wait()
        connection.open(core.workspace, False, False, False).wait().store(_USER_SPACE, name).wait()
    return name


def master_spaces(core: _native.SleighCore, user_space: str) -> tuple["NetWorkSpace", "NetWorkSpace"]:
    """Return the sleigh's workspace and the user's, over the master's connection."""
    server = _server(core.connection())
    with explained(core):
        return server.openWs(core.workspace), server.openWs(user_space)


@contextmanager
def explained(core: _native.SleighCore) -> Iterator[None]:
    """Raise what ended the sleigh where the connection ends."""
    try:
        yield
    except NwsConnectionDroppedException as error:
        raise core.why_dropped(str(error)) from None


def _server(connection: _native.Connection) -> Any:
    from nws.client import NwsServer

    return NwsServer._over(connection)


class _Later:
    """A workspace that is opened when it is first used: most tasks never do."""

    def __init__(self, open_it: Callable[[], "NetWorkSpace"]) -> None:
        self.__dict__["_open_it"] = open_it

    def __getattr__(self, name: str) -> Any:
        space = self.__dict__.get("_space")
        if space is None:
            space = self.__dict__["_space"] = self.__dict__["_open_it"]()
        return getattr(space, name)

    def __str__(self) -> str:
        return str(self.__getattr__("__str__")())


def introduce(loop: _native.WorkerLoop, rank: int, count: int) -> None:
    """Let every module in this worker see the names that tasks may use."""

    def own() -> "NetWorkSpace":
        space: NetWorkSpace = _server(loop.connection()).useWs(loop.workspace, create=False)
        return space

    def user() -> "NetWorkSpace":
        server = _server(loop.connection())
        space: NetWorkSpace = server.useWs(server.useWs(loop.workspace, create=False).find(_USER_SPACE), create=False)
        return space

    names = {"SleighRank": rank, "SleighWorkerCount": count, "SleighNws": _Later(own), "SleighUserNws": _Later(user)}
    for name, value in names.items():
        setattr(builtins, name, value)


def regroup(rank: int, group: list[int]) -> None:
    """Count the workers anew: these alone have joined in time."""
    builtins.SleighRank = group.index(rank)  # type: ignore[attr-defined]
    builtins.SleighWorkerCount = len(group)  # type: ignore[attr-defined]


def regroup_here(group: list[int]) -> None:
    """The same in a worker that has just been introduced."""
    regroup(builtins.SleighRank, group)  # type: ignore[attr-defined]


def describe_worker() -> dict[str, Any]:
    """Return what this worker is, for `workerInfo`."""
    import os
    import platform
    import socket
    import sys

    import nws
    from nws._sleigh.log import logfile

    return {
        "host": socket.gethostname(),
        "os": platform.platform(),
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        "nws": nws.__version__,
        "rank": builtins.SleighRank,  # type: ignore[attr-defined]
        "logfile": logfile(),
    }
