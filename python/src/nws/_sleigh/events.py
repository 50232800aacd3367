"""The stream of events that a sleigh writes where asked to."""

import json
import os
import time
import warnings
from typing import Any

from nws import _native

__all__ = ["EventLog"]


class EventLog:
    """Appends one JSON object a line. Times are nanoseconds of CLOCK_MONOTONIC.

    Each names its sleigh, as several may write to one file, one after the other or at once.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._sleigh = os.urandom(6).hex()
        self.tasks = _native.EventLog(path, self._sleigh)
        """For the native module, which tells of tasks."""
        self.write("sleigh_began", pid=os.getpid())

    def write(self, event: str, **details: Any) -> None:
        """Append an event that happened now, or at its own `at_ns`."""
        details.setdefault("at_ns", time.monotonic_ns())
        self.tasks.line(json.dumps({"event": event, "sleigh": self._sleigh, **details}))

    def heard(self, message: dict[str, Any]) -> None:
        """Append what the host said, where it is about workers."""
        kind = message.get("is")
        if kind == "worker_joined":
            self.write("worker_joined", rank=message["rank"], pid=message["pid"], at_ns=message["at_ns"])
        elif kind == "worker_died":
            cause = message["cause"]["text"]
            self.write("worker_left", rank=message["rank"], pid=message["pid"], at_ns=message["at_ns"], cause=cause)

    def flush(self) -> None:
        """Let readers see what was appended. A file that cannot be written is a warning: the run goes on."""
        problem = self.tasks.flush()
        if problem is not None:
            warnings.warn(f"events: cannot write to {self._path}: {problem}", RuntimeWarning, stacklevel=2)
