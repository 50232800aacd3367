"""The options of a sleigh: one table, from which they are checked and have their defaults."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from nws._sleigh import checks
from nws._sleigh.checks import Check, maybe
from nws._sleigh.exceptions import SleighIllegalValueException

__all__ = ["Options", "defaultSleighOptions"]

# The names under which old programs were told where their server is.
_HOST_VARIABLE = "PythonSleighNwsHost"
_PORT_VARIABLE = "PythonSleighNwsPort"

# As the host process has it.
_MOST_WORKERS = 4096


def _worker_count(name: str, value: Any) -> int:
    if value != "auto":
        return checks.checked_count(name, value, 1, _MOST_WORKERS)
    from nws import _native

    try:
        return min(_native.fitting_workers(), _MOST_WORKERS)
    except ValueError as error:
        raise SleighIllegalValueException(str(error)) from None


def _option(default: Any, check: Check) -> Any:
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class Options:
    """Every option of `Sleigh`, checked. `nws.sleigh.Sleigh` says what each does."""

    launch: str = _option("local", checks.launcher)
    workerCount: int = _option(3, _worker_count)
    nwsHost: str | None = _option(None, maybe(checks.text))
    nwsPort: int | None = _option(None, maybe(checks.port))
    nwsHostRemote: str | None = _option(None, maybe(checks.text))
    nwsPortRemote: int | None = _option(None, maybe(checks.port))
    workingDir: str | None = _option(None, maybe(checks.folder))
    modulePath: str | None = _option(None, maybe(checks.module_path))
    logDir: str | None = _option(None, maybe(checks.folder))
    outfile: str | None = _option(None, maybe(checks.path))
    verbose: bool = _option(False, checks.flag)
    wsNameTemplate: str = _option("sleigh_ride_%04d", checks.template)
    userWsNameTemplate: str = _option("sleigh_user_%04d", checks.template)
    userNwsName: str | None = _option(None, maybe(checks.text))
    initializer: Callable[..., Any] | str | None = _option(None, maybe(checks.work))  # noqa: RUF009 (a field like the rest)
    initargs: tuple[Any, ...] = _option((), checks.arguments)
    threadsPerWorker: int | str | None = _option("auto", checks.threads)
    output: str | None = _option(None, maybe(checks.output))
    outputLimit: int = _option(1 << 20, checks.count(0))
    seed: int | None = _option(None, maybe(checks.seed))
    memoryLimit: int | None = _option(None, maybe(checks.memory))
    retries: int = _option(1, checks.count(0))
    progress: bool | None = _option(None, maybe(checks.flag))
    events: str | None = _option(None, maybe(checks.path))
    python: str | None = _option(None, maybe(checks.path))
    # What only other launchers use.
    nodeList: tuple[str, ...] = _option(("localhost", "localhost", "localhost"), checks.hosts)
    scriptExec: Callable[..., Any] | None = _option(None, maybe(checks.function))  # noqa: RUF009 (a field like the rest)
    scriptDir: str | None = _option(None, maybe(checks.path))
    scriptName: str = _option("PythonNWSSleighWorker.sh", checks.text)
    user: str | None = _option(None, maybe(checks.text))

    @classmethod
    def checked(cls, given: dict[str, Any]) -> "Options":
        """Return the options with these values, and those of `defaultSleighOptions` for the rest.

        Raises `TypeError` for a name that is none, `SleighIllegalValueException` for a value that it cannot have.
        """
        known = {option.name: option.metadata["check"] for option in fields(cls)}
        values = {}
        for name, value in {**defaultSleighOptions, **given}.items():
            if name not in known:
                place = "Sleigh" if name in given else "defaultSleighOptions"
                raise TypeError(f"{place}: unknown option {name!r}{_nearest(name, known)}")
            values[name] = known[name](name, value)
        return cls(**values)

    def program(self) -> str:
        """Return the Python that workers run."""
        if self.python:
            return self.python
        if not sys.executable:
            raise SleighIllegalValueException(
                "python: this interpreter does not know its own program (sys.executable is empty); "
                "name the one that workers shall run with the option python="
            )
        return sys.executable

    def captured(self) -> str:
        """Return what becomes of the output of tasks: where a file is named for it, it goes there."""
        return self.output or ("inherit" if self.outfile else "show")

    def environment(self) -> list[tuple[str, str | None]]:
        """Return the changes of the workers' environment."""
        if self.threadsPerWorker is None:
            return []
        from nws import _native

        threads = self.threadsPerWorker if isinstance(self.threadsPerWorker, int) else None
        return _native.thread_limits(self.workerCount, threads)

    def server(self) -> tuple[str, int] | None:
        """Return host and port of the server that was named, by argument or environment, else None."""
        host, port = self.nwsHost, self.nwsPort
        if host is None and port is None:
            url = os.environ.get("NWS_URL")
            if url:
                return _from_url(url)
            host = os.environ.get(_HOST_VARIABLE) or None
            told = os.environ.get(_PORT_VARIABLE) or None
            if told is not None:
                if not told.isdecimal():
                    raise SleighIllegalValueException(f"{_PORT_VARIABLE}: expected a port, got {told!r}")
                port = checks.port(_PORT_VARIABLE, int(told))
        if host is None and port is None:
            return None
        return _place(host or "localhost", port or 8765)

    def worker_server(self) -> tuple[str, int] | None:
        """Return host and port at which workers reach the server that was named, else None."""
        server = self.server()
        if server is None:
            return None
        return _place(self.nwsHostRemote or server[0], self.nwsPortRemote or server[1] or 8765)


defaultSleighOptions: dict[str, Any] = {option.name: option.default for option in fields(Options)}
"""The options of sleighs that are made without them. A program may change the values for all that it makes later:

    >>> from nws.sleigh import Sleigh, defaultSleighOptions
    >>> defaultSleighOptions["workerCount"]
    3
"""
defaultSleighOptions["nodeList"] = ["localhost"] * 3
defaultSleighOptions["user"] = os.environ.get("USER") or os.environ.get("USERNAME") or None


def _place(host: str, port: int) -> tuple[str, int]:
    """Return host and port for the native module; a host with a slash is the path of a Unix socket."""
    return (f"unix:{host}", 0) if "/" in host and not host.startswith("unix:") else (host, port)


def _from_url(url: str) -> tuple[str, int]:
    from nws import _native

    try:
        return _place(*_native.server_of_url(url))
    except ValueError as error:
        raise SleighIllegalValueException(f"NWS_URL: {error}") from None


def _nearest(name: str, known: dict[str, Any]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"
