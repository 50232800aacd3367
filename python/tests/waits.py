"""Waits in the tests: on other threads, and until the server knows of them."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from nws import client
from nws.client import NetWorkSpace


def in_thread(fun: Callable[..., Any], *args: Any, **named: Any) -> "Future[Any]":
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(fun, *args, **named)
    finally:
        pool.shutdown(wait=False)


def until_waiting(ws: NetWorkSpace, name: str, fetchers: int, finders: int = 0) -> None:
    """Returns when so many wait; the server answers one request after the other, so this makes progress."""
    for _ in range(100_000):
        row = ws.listVars(format="dict").get(name)
        if row is not None and row[client.V_FETCHERS : client.V_FINDERS + 1] == (fetchers, finders):
            return
    raise AssertionError(f"expected {fetchers} fetchers and {finders} finders of {name!r}, got {row}")
