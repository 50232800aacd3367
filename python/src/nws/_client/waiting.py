"""How coroutines wait for the server."""

import asyncio
import contextlib
import itertools
import weakref
from typing import Any

from nws import _native
from nws._client.files import Plan

# How long a canceled wait stays for an answer that was on its way: the server answers at once.
_GRACE_S = 0.1


class _Bell:
    """Tells an event loop of results. A descriptor does it: the threads that ring never wait for the interpreter."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._native = _native.Bell()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._keys = itertools.count()
        loop.add_reader(self._native.fileno(), self._answered)

    def _answered(self) -> None:
        for key in self._native.answered():
            future = self._waiting.pop(key, None)
            if future is not None and not future.done():
                future.set_result(None)

    async def answer(self, call: _native.Call | _native.Step) -> None:
        """Return when the call has its result."""
        key = next(self._keys)
        try:
            # A step may ring before it is over.
            while call.ring(self._native, key):
                future = self._waiting[key] = asyncio.get_running_loop().create_future()
                await asyncio.shield(future)
        except asyncio.CancelledError:
            call.cancel()
            # What was on its way is kept before anybody can ask for it again.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_S):
                    await future
            raise
        finally:
            self._waiting.pop(key, None)


_bells: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = weakref.WeakKeyDictionary()


async def result(call: _native.Call | _native.Step) -> Any:
    """Wait for a call and return its result.

    Where the task is canceled, the server's wait ends too, and a value that it fetched nevertheless is kept for the
    next fetch.
    """
    loop = asyncio.get_running_loop()
    bell = _bells.get(loop)
    if bell is None:
        bell = _bells[loop] = _Bell(loop)
    try:
        await bell.answer(call)
    except asyncio.CancelledError:
        call.abandon()
        raise
    return call.result()


async def planned(plan: Plan) -> Any:
    """Do what the plan says, files on other threads, and return what it returns."""
    outcome: Any = None
    try:
        while True:
            try:
                doing = plan.send(outcome)
            except StopIteration as end:
                return end.value
            outcome = await (asyncio.to_thread(doing) if callable(doing) else result(doing))
    finally:
        plan.close()
