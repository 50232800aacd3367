"""Signals as exceptions: what a signal would end by force unwinds instead, so that its `finally` blocks run.

>>> import os, signal
>>> from nws.taylorism.interrupt import SignalInterruptError, SignalInterruptHandler
>>> with SignalInterruptHandler():
...     try:
...         os.kill(os.getpid(), signal.SIGTERM)
...     except SignalInterruptError as error:
...         print(error.signal.name)
SIGTERM
"""

import logging
import signal
import threading
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["SignalInterruptError", "SignalInterruptHandler"]

_log = logging.getLogger("nws.taylorism")

# Not those that the processor raises at an instruction (SIGSEGV, SIGFPE, ...): a handler in Python returns to that same
# instruction, for ever.
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


class SignalInterruptError(BaseException):
    """A signal came; `signal` says which.

    Like `KeyboardInterrupt` it is no `Exception`, so that code which goes on after any error does not go on after this.
    """

    def __init__(self, number: int) -> None:
        """Tell of this signal."""
        self.signal = signal.Signals(number)
        super().__init__(number)

    def __str__(self) -> str:
        return f"interrupted by {self.signal.name}"


class SignalInterruptHandler:
    """Raises `SignalInterruptError` where one of `signals` comes, from `activate` to `deactivate` or in a `with` block.

    SIGINT raises `KeyboardInterrupt` as ever, also where it was ignored. Handlers that were there before are put back
    at the end, so blocks may be nested. Python runs handlers in its main thread alone: in another thread the block
    changes nothing, and `active` stays `False`. With `emitlogs` a signal is logged, as a warning of `nws.taylorism`.
    """

    def __init__(self, signals: Iterable[int] = _SIGNALS, emitlogs: bool = True) -> None:
        """Take the signals that are to be exceptions; nothing changes before `activate`."""
        self._signals = tuple(signal.Signals(number) for number in signals)
        self._emitlogs = emitlogs
        self._before: list[list[tuple[signal.Signals, Any]]] = []

    @property
    def signals(self) -> tuple[signal.Signals, ...]:
        """The signals that become exceptions."""
        return self._signals

    @property
    def active(self) -> bool:
        """Whether they do so now."""
        return bool(self._before)

    def activate(self) -> None:
        """Begin to raise; each call wants one `deactivate`."""
        if threading.current_thread() is not threading.main_thread():
            return
        before: list[tuple[signal.Signals, Any]] = []
        self._before.append(before)
        for number in self._signals:
            handler = signal.getsignal(number)
            if handler is None:
                continue  # not Python's, so it could not be put back
            before.append((number, handler))
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else self._raise)

    def deactivate(self) -> None:
        """Put back the handlers that were there before the last `activate`."""
        if not self._before or threading.current_thread() is not threading.main_thread():
            return
        for number, handler in reversed(self._before.pop()):
            signal.signal(number, handler)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if self._emitlogs:
            _log.warning("%s came", signal.Signals(number).name)
        raise SignalInterruptError(number)

    def __enter__(self) -> Self:
        self.activate()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.deactivate()
