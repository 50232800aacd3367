"""The options of a sleigh: one table from which they are checked."""

import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from nws._sleigh.exceptions import SleighIllegalValueException

__all__ = ["Options", "checked_count", "checked_timeout_ms"]

# The names under which old programs were told where their server is.
_HOST_VARIABLE = "PythonSleighNwsHost"
_PORT_VARIABLE = "PythonSleighNwsPort"

_MOST_SECONDS = 366 * 24 * 3600

_Check = Callable[[str, Any], Any]


# What a count can be at most: further on it is one of 32 bits.
_MOST = 2**31 - 1
# As the host process has it.
_MOST_WORKERS = 4096


def checked_count(name: str, value: Any, least: int = 1, most: int = _MOST) -> int:
    """Return `value` if it is a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise SleighIllegalValueException(f"{name}: expected a whole number, got {value!r}")
    if value < least:
        raise SleighIllegalValueException(f"{name}: expected at least {least}, got {value}")
    if value > most:
        raise SleighIllegalValueException(f"{name}: expected at most {most}, got {value}")
    return value


def checked_timeout_ms(name: str, value: Any) -> int:
    """Return a timeout of so many seconds in milliseconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MOST_SECONDS:
        raise SleighIllegalValueException(f"{name}: expected seconds, more than 0 and at most a year, got {value!r}")
    return max(1, round(value * 1000))


def _count(least: int, most: int = _MOST) -> _Check:
    return lambda name, value: checked_count(name, value, least, most)


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise SleighIllegalValueException(f"{name}: expected True or False, got {value!r}")


def _maybe(check: _Check) -> _Check:
    return lambda name, value: None if value is None else check(name, value)


def _text(name: str, value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise SleighIllegalValueException(f"{name}: expected a string that is not empty, got {value!r}")


def _worker_count(name: str, value: Any) -> int:
    if value != "auto":
        return checked_count(name, value, 1, _MOST_WORKERS)
    from nws import _native

    try:
        return min(_native.fitting_workers(), _MOST_WORKERS)
    except ValueError as error:
        raise SleighIllegalValueException(str(error)) from None


def _threads(name: str, value: Any) -> Any:
    return value if value is None or value == "auto" else checked_count(name, value)


def _function(name: str, value: Any) -> Any:
    if callable(value) or isinstance(value, str):
        return value
    raise SleighIllegalValueException(f"{name}: expected a function or statements in a string, got {value!r}")


def _arguments(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise SleighIllegalValueException(f"{name}: expected a tuple of arguments, got {value!r}")
    return tuple(value)


def _port(name: str, value: Any) -> int:
    port = checked_count(name, value)
    if port > 65535:
        raise SleighIllegalValueException(f"{name}: expected a port from 1 to 65535, got {port}")
    return port


def _path(name: str, value: Any) -> str:
    if isinstance(value, str | os.PathLike) and os.fspath(value):
        return str(Path(value))
    raise SleighIllegalValueException(f"{name}: expected a path, got {value!r}")


def _folder(name: str, value: Any) -> str:
    path = _path(name, value)
    if not Path(path).is_dir():
        raise SleighIllegalValueException(f"{name}: expected a folder that exists, got {path!r}")
    return str(Path(path).absolute())


def _module_path(name: str, value: Any) -> str:
    path = _path(name, value)
    if not Path(path).exists():
        raise SleighIllegalValueException(f"{name}: expected a folder or archive that exists, got {path!r}")
    return str(Path(path).absolute())


def _launch(name: str, value: Any) -> str:
    if value == "local":
        return "local"
    raise SleighIllegalValueException(f"{name}: expected 'local', the one launcher of this version, got {value!r}")


# What the server takes: one `%d` or `%i`, with zeros and a width of at most 1024 if wanted.
_TEMPLATE = re.compile(r"(?:[^%]|%%)*%0*(?P<width>\d{0,4})[di](?:[^%]|%%)*", re.DOTALL)


def _template(name: str, value: Any) -> str:
    template = _text(name, value)
    found = _TEMPLATE.fullmatch(template)
    if found is None or int(found["width"] or 0) > 1024:
        raise SleighIllegalValueException(
            f"{name}: expected a format string with one integer specifier, such as 'sleigh_%04d'; got {template!r}"
        )
    return template


def _option(default: Any, check: _Check) -> Any:
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class Options:
    """Every option of `Sleigh`, checked. `nws.sleigh.Sleigh` says what each does."""

    launch: str = _option("local", _launch)
    workerCount: int = _option(3, _worker_count)
    nwsHost: str | None = _option(None, _maybe(_text))
    nwsPort: int | None = _option(None, _maybe(_port))
    workingDir: str | None = _option(None, _maybe(_folder))
    modulePath: str | None = _option(None, _maybe(_module_path))
    wsNameTemplate: str = _option("sleigh_ride_%04d", _template)
    userWsNameTemplate: str = _option("sleigh_user_%04d", _template)
    verbose: bool = _option(False, _flag)
    initializer: Callable[..., Any] | str | None = _option(None, _maybe(_function))  # noqa: RUF009 (as immutable as the rest)
    initargs: tuple[Any, ...] = _option((), _arguments)
    threadsPerWorker: int | str | None = _option("auto", _threads)
    retries: int = _option(1, _count(0))
    progress: bool | None = _option(None, _maybe(_flag))
    events: str | None = _option(None, _maybe(_path))
    python: str = _option("", _path)

    @classmethod
    def checked(cls, given: dict[str, Any]) -> "Options":
        """Return the options with these values.

        Raises `TypeError` for a name that is none, `SleighIllegalValueException` for a value that it cannot have.
        """
        checks = {known.name: known.metadata["check"] for known in fields(cls)}
        values = {}
        for name, value in given.items():
            if name not in checks:
                raise TypeError(f"Sleigh: unknown option {name!r}{_nearest(name, checks)}")
            values[name] = checks[name](name, value)
        if not values.get("python"):
            values["python"] = _own_python()
        return cls(**values)

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
                port = _port(_PORT_VARIABLE, int(told))
        if host is None and port is None:
            return None
        return host or "localhost", port or 8765


def _from_url(url: str) -> tuple[str, int]:
    from urllib.parse import urlsplit

    if url.startswith("/"):
        return f"unix:{url}", 0
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if parts.scheme != "nws" or not host:
        raise SleighIllegalValueException(f"NWS_URL: expected nws://HOST:PORT or the path of a socket, got {url!r}")
    return host, port or 8765


def _own_python() -> str:
    if not sys.executable:
        raise SleighIllegalValueException(
            "python: this interpreter does not know its own program (sys.executable is empty); "
            "name the one that workers shall run with the option python="
        )
    return sys.executable


def _nearest(name: str, known: dict[str, Any]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"
