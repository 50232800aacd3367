"""The constants of `nws.client`, and what its listings look like."""

import os
from typing import Final, Literal, TypeAlias

from nws import _native

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

Mode: TypeAlias = Literal["fifo", "lifo", "multi", "single"]
Encoding: TypeAlias = Literal["json", "text", "bytes", "native"]
VariableRow: TypeAlias = tuple[str, int, int, int, str]
Variables: TypeAlias = dict[str, VariableRow]
Workspaces: TypeAlias = dict[str, tuple[str, bool, str, bool, int, list[str]]]
# As the native module lists them: name, owner, mine, persistent, names of variables.
WorkspaceRow: TypeAlias = tuple[str, str, bool, bool, list[str]]


def check_format(format: str) -> None:
    """Raise `ValueError` where the format is none of the two."""
    if format not in (STRING, DICT):
        raise ValueError(f"expected the format 'string' or 'dict', got {format!r}")


def variables(rows: list[VariableRow], format: str) -> str | Variables:
    """Show a list of variables in the format."""
    if format == DICT:
        return {row[V_VARIABLE]: row for row in rows}
    return "\n".join("\t".join(map(str, row)) for row in rows)


def workspaces(rows: list[WorkspaceRow], format: str) -> str | Workspaces:
    """Show a list of workspaces in the format."""
    if format == DICT:
        return {
            name: (name, mine, owner, persistent, len(variables), variables)
            for name, owner, mine, persistent, variables in rows
        }
    return "".join(
        f"{'>' if mine else ' '}{name}\t{owner}\t{persistent}\t{len(variables)}\t{','.join(variables)}\n"
        for name, owner, mine, persistent, variables in rows
    )


def place(host: str, port: int) -> str:
    """Say where a server is."""
    return host if "/" in host else f"{host}:{port}"


class _Host(str):
    """A host that nobody gave."""

    __slots__ = ()


class _Port(int):
    """A port that nobody gave."""

    __slots__ = ()


HOST: Final[str] = _Host("localhost")
PORT: Final[int] = _Port(8765)


def server_place(host: object, port: object) -> tuple[str, int]:
    """Return where a server is; where neither was given it is the one that `NWS_URL` names.

    Raises `TypeError` or `ValueError` where no server can be there.
    """
    if not isinstance(host, str):
        raise TypeError(f"serverHost: expected a str, got {type(host).__name__}")
    if not isinstance(port, int):
        raise TypeError(f"serverPort: expected an int, got {type(port).__name__}")
    if not 0 <= port <= 65535:
        raise ValueError(f"serverPort: expected a port up to 65535, got {port}")
    url = os.environ.get("NWS_URL") if host is HOST and port is PORT else None
    if not url:
        return str(host), int(port)
    try:
        return _native.server_of_url(url)
    except ValueError as error:
        raise ValueError(f"NWS_URL: {error}") from None
