"""The stream of events that a sleigh writes where asked to."""

import json
import time
from typing import Any, TextIO

__all__ = ["EventLog"]


class EventLog:
    """Appends one JSON object a line. Times are nanoseconds of CLOCK_MONOTONIC."""

    def __init__(self, path: str) -> None:
        self._file: TextIO = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by close)

    def write(self, event: str, **details: Any) -> None:
        """Append an event that happened now, or at its own `at_ns`."""
        if event != "task":
            details.setdefault("at_ns", time.monotonic_ns())
        self._file.write(json.dumps({"event": event, **details}) + "\n")

    def tasks(self, run: int, timeline: list[tuple[int, int, int, int, bool]]) -> None:
        """Append the tasks that ended, and forget them."""
        for index, rank, began_ns, duration_ns, ok in timeline:
            self.write("task", run=run, index=index, rank=rank, began_ns=began_ns, duration_ns=duration_ns, ok=ok)
        timeline.clear()

    def heard(self, message: dict[str, Any]) -> None:
        """Append what the host said, where it is about workers."""
        kind = message.get("is")
        if kind == "worker_joined":
            self.write("worker_joined", rank=message["rank"], pid=message["pid"], at_ns=message["at_ns"])
        elif kind == "worker_died":
            cause = message["cause"]["text"]
            self.write("worker_left", rank=message["rank"], pid=message["pid"], at_ns=message["at_ns"], cause=cause)

    def flush(self) -> None:
        """Let readers see what was appended."""
        self._file.flush()

    def close(self) -> None:
        """End the stream."""
        self._file.close()
