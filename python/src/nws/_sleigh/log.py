"""The log of a worker: a file of its own, where one was asked for."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from nws._sleigh.functions import name_of

__all__ = ["WorkerLog", "logfile"]

# The file of this worker, where it has one.
_path: str | None = None


def logfile() -> str | None:
    """Return the path of this worker's log, or None where it has none."""
    return _path


class WorkerLog:
    """Says what a worker does: to standard error what is about the worker where it is verbose, all to its file."""

    def __init__(self, folder: str | None, rank: int, verbose: bool) -> None:
        """Make the file in `folder`. Without a folder there is none."""
        global _path
        self._verbose = verbose
        self._rank = rank
        self._file = None
        if folder is not None:
            path = os.path.abspath(os.path.join(folder, f"sleigh_ride_{rank}_{os.getpid()}.log"))
            try:
                # Unbuffered: what was said before a crash is in the file.
                self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (it lives as long as the worker)
                _path = path
            except OSError as error:
                # No reason not to work.
                print(f"nws: worker {rank} has no log: {error}", file=sys.stderr, flush=True)

    def say(self, what: str) -> None:
        """Tell of this worker, for example that it has joined."""
        self.note(what)
        if self._verbose:
            print(f"nws: worker {self._rank} {what}", file=sys.stderr, flush=True)

    def note(self, what: str) -> None:
        """Write into the file alone, with the time of day."""
        if self._file is not None:
            try:
                self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {what}\n".encode(errors="backslashreplace"))
            except (OSError, ValueError):
                # A full disk, or a task that closed the file: no reason to end the worker.
                self._file = None

    def watching(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` so that a verbose worker notes when it begins and ends."""
        if not self._verbose:
            return function
        name = name_of(function)

        def watched(*arguments: Any) -> Any:
            self.note(f"begins a task: {name}")
            try:
                value = function(*arguments)
            except BaseException as error:
                self.note(f"ends the task: {type(error).__name__}")
                raise
            self.note("ends the task")
            return value

        return watched
