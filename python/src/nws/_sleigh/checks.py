"""Checks of what is passed to a sleigh and its calls: each returns the value as it is used."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nws._sleigh.exceptions import SleighIllegalValueException

__all__ = [
    "Check",
    "arguments",
    "checked_count",
    "checked_timeout_ms",
    "count",
    "flag",
    "folder",
    "function",
    "hosts",
    "launcher",
    "maybe",
    "memory",
    "module_path",
    "output",
    "path",
    "port",
    "seconds",
    "seed",
    "template",
    "text",
    "threads",
    "work",
]

_MOST_SECONDS = 366 * 24 * 3600

Check = Callable[[str, Any], Any]
"""Takes the name and the value of an option; raises `SleighIllegalValueException` for a value that it cannot have."""


# What a count can be at most: further on it is one of 32 bits.
_MOST = 2**31 - 1


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


def seconds(name: str, value: Any) -> float:
    """A number of seconds, which may be 0, of at most a year."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_SECONDS:
        raise SleighIllegalValueException(f"{name}: expected seconds, from 0 to a year, got {value!r}")
    return float(value)


def count(least: int, most: int = _MOST) -> Check:
    """A whole number from `least` to `most`."""
    return lambda name, value: checked_count(name, value, least, most)


def flag(name: str, value: Any) -> bool:
    """True or False, also as 1 or 0."""
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise SleighIllegalValueException(f"{name}: expected True or False, got {value!r}")


def maybe(check: Check) -> Check:
    """What `check` takes, or None."""
    return lambda name, value: None if value is None else check(name, value)


def text(name: str, value: Any) -> str:
    """A string that is not empty."""
    if isinstance(value, str) and value:
        return value
    raise SleighIllegalValueException(f"{name}: expected a string that is not empty, got {value!r}")


def port(name: str, value: Any) -> int:
    """A port of TCP."""
    number = checked_count(name, value)
    if number > 65535:
        raise SleighIllegalValueException(f"{name}: expected a port from 1 to 65535, got {number}")
    return number


def path(name: str, value: Any) -> str:
    """A path, as a string or as whatever `os.fspath` takes."""
    if isinstance(value, str | os.PathLike) and os.fspath(value):
        return str(Path(value))
    raise SleighIllegalValueException(f"{name}: expected a path, got {value!r}")


def folder(name: str, value: Any) -> str:
    """The path of a folder that exists, made absolute."""
    checked = path(name, value)
    if not Path(checked).is_dir():
        raise SleighIllegalValueException(f"{name}: expected a folder that exists, got {checked!r}")
    return str(Path(checked).absolute())


def module_path(name: str, value: Any) -> str:
    """The path of a folder or archive that exists, made absolute."""
    checked = path(name, value)
    if not Path(checked).exists():
        raise SleighIllegalValueException(f"{name}: expected a folder or archive that exists, got {checked!r}")
    return str(Path(checked).absolute())


def function(name: str, value: Any) -> Callable[..., Any]:
    """A function, or whatever can be called."""
    if callable(value):
        made: Callable[..., Any] = value
        return made
    raise SleighIllegalValueException(f"{name}: expected a function that returns a list of arguments, got {value!r}")


def work(name: str, value: Any) -> Any:
    """A function, or statements in a string."""
    if callable(value) or isinstance(value, str):
        return value
    raise SleighIllegalValueException(f"{name}: expected a function or statements in a string, got {value!r}")


def arguments(name: str, value: Any) -> tuple[Any, ...]:
    """The arguments of a call."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise SleighIllegalValueException(f"{name}: expected a tuple of arguments, got {value!r}")
    return tuple(value)


def threads(name: str, value: Any) -> Any:
    """A number of threads, `'auto'` or None."""
    return value if value is None or value == "auto" else checked_count(name, value)


def output(name: str, value: Any) -> str:
    """What becomes of the output of tasks."""
    if value in ("show", "prefix", "keep", "inherit"):
        return str(value)
    raise SleighIllegalValueException(f"{name}: expected 'show', 'prefix', 'keep' or 'inherit', got {value!r}")


def seed(name: str, value: Any) -> int:
    """A whole number from 0 up, of any size."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SleighIllegalValueException(f"{name}: expected a whole number from 0 up, got {value!r}")
    return value


_SIZE = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kMGT]?)(?P<binary>i?)B?\s*", re.IGNORECASE)
# A worker that has just started takes some twenty of them.
_LEAST_MEMORY = 32 << 20


def memory(name: str, value: Any) -> int:
    """An amount of memory in bytes: a number, or a string such as `'2GiB'` or `'500 MB'`."""
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        power = " kmgt".index(found["unit"].lower() or " ")
        made = int(float(found["number"]) * (1024 if found["binary"] else 1000) ** power)
    elif isinstance(value, int) and not isinstance(value, bool):
        made = value
    else:
        raise SleighIllegalValueException(f"{name}: expected bytes, or a string such as '2GiB', got {value!r}")
    if not _LEAST_MEMORY <= made < 1 << 62:
        raise SleighIllegalValueException(
            f"{name}: expected at least 32MiB, as Python itself takes most of that, got {value!r}"
        )
    return made


def hosts(name: str, value: Any) -> list[str]:
    """A list of the names of hosts."""
    names = list(value) if isinstance(value, list | tuple) else []
    if names and all(isinstance(host, str) and host for host in names):
        return names
    raise SleighIllegalValueException(f"{name}: expected a list of host names, got {value!r}")


def launcher(name: str, value: Any) -> str:
    """How workers are started: `'local'`."""
    if value == "local":
        return "local"
    raise SleighIllegalValueException(f"{name}: expected 'local', the one launcher of this version, got {value!r}")


# What the server takes: one `%d` or `%i`, with zeros and a width of at most 1024 if wanted.
_TEMPLATE = re.compile(r"(?:[^%]|%%)*%0*(?P<width>\d{0,4})[di](?:[^%]|%%)*", re.DOTALL)


def template(name: str, value: Any) -> str:
    """A format string with one integer specifier."""
    checked = text(name, value)
    found = _TEMPLATE.fullmatch(checked)
    if found is None or int(found["width"] or 0) > 1024:
        raise SleighIllegalValueException(
            f"{name}: expected a format string with one integer specifier, such as 'sleigh_%04d'; got {checked!r}"
        )
    return checked
