"""What tasks say beside their results, as it leaves a worker: output, log records, warnings."""

import pickle
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from nws import _native

__all__ = ["Speaker"]

_PLAIN = (type(None), bool, int, float, str)


class Speaker:
    """A worker's side: has prints, log records and warnings leave for the master."""

    def __init__(self, loop: _native.WorkerLoop, limit: int) -> None:
        """Capture output from now on, at most `limit` bytes of each task and stream."""
        self._loop = loop
        self._handler: Any = None
        self._given: dict[str, int] = {}
        streams = loop.capture(limit)
        if streams is None:
            return
        import io

        sys.stdout, sys.stderr = (
            io.TextIOWrapper(new, encoding="utf-8", errors="backslashreplace", write_through=True)  # type: ignore[type-var]
            for new in streams
        )
        warnings.showwarning = self._warn

    def follow(self, levels: dict[str, int] | None) -> None:
        """Log what the master would, from now on, with the levels of its loggers."""
        if levels is None or levels == self._given:
            return
        import logging

        if self._handler is None:
            self._handler = _handler(self._loop.say)
            logging.root.addHandler(self._handler)
        for name in self._given.keys() - levels.keys():
            logging.getLogger(name).setLevel(logging.NOTSET)
        for name, level in levels.items():
            logging.getLogger(name or None).setLevel(level)
        self._given = levels

    def _warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        told = (category.__module__, category.__qualname__, str(message), filename, lineno)
        if not self._loop.say(True, pickle.dumps(told)):
            _write(warnings.formatwarning(message, category, filename, lineno, line))


def _write(text: str) -> None:
    """Say in a child that a task has forked what its parent would have sent."""
    with suppress(OSError, ValueError):
        print(text.rstrip("\n"), file=sys.stderr, flush=True)


def _handler(say: Callable[[bool, bytes], bool]) -> Any:
    import logging

    class Forward(logging.Handler):
        """Sends records to the master, with their texts made here, where their parts are."""

        def emit(self, record: logging.LogRecord) -> None:
            try:
                told = dict(vars(record), msg=record.getMessage(), args=None, exc_info=None)
                if record.exc_info and not record.exc_text:
                    told["exc_text"] = logging.Formatter().formatException(record.exc_info)
                try:
                    data = pickle.dumps(told)
                except Exception:  # something that the program has added to the record
                    data = pickle.dumps({name: value for name, value in told.items() if isinstance(value, _PLAIN)})
                if not say(False, data):
                    _write(self.format(record))
            except Exception:
                self.handleError(record)

    return Forward()
