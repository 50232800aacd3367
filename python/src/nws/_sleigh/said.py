"""What tasks say beside their results, as the master hears it: output, log records, warnings."""

import pickle
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, NamedTuple, TextIO

__all__ = ["Said", "SleighOutput", "TaskOutput", "levels"]

_STDERR, _RECORD = 1, 2
# Most that is kept of the output of a call, in bytes; what is older goes.
_KEPT_BYTES = 16 << 20
# Most warnings that are told apart.
_WARNINGS = 10_000


class TaskOutput(NamedTuple):
    """What one task wrote to standard output and to standard error, where it was run more than once of all times."""

    stdout: str = ""
    stderr: str = ""


class SleighOutput(Mapping[int, TaskOutput]):
    """The output of the tasks of a sleigh's last call, by index: a mapping of those that wrote something.

    `output[index]` of a task that wrote nothing is empty. At most 16 MiB are kept, the newest.
    """

    __module__ = "nws.sleigh"

    def __init__(self) -> None:
        """For `Sleigh` alone."""
        self._kept: OrderedDict[int, TaskOutput] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, index: int) -> TaskOutput:
        return self._kept.get(index, TaskOutput())

    def __iter__(self) -> Iterator[int]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, index: object) -> bool:
        return index in self._kept

    def __repr__(self) -> str:
        return f"SleighOutput({dict(self._kept)})"

    def add(self, index: int, error: bool, text: str) -> None:
        """Add what a task wrote."""
        known = self._kept.pop(index, TaskOutput())
        self._kept[index] = known._replace(
            **{"stderr": known.stderr + text} if error else {"stdout": known.stdout + text}
        )
        self._bytes += len(text)
        while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest.stdout) + len(oldest.stderr)

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._bytes = 0


class Said:
    """Shows, keeps and forwards what tasks say."""

    def __init__(self, mode: str) -> None:
        """Hear with this value of the option `output`."""
        self.output = SleighOutput()
        self._shows = mode in ("show", "prefix")
        self._prefixes = mode == "prefix"
        self._warned: set[tuple[Any, ...]] = set()
        # Where a progress bar is shown it steps aside.
        self.aside: Callable[[TextIO], AbstractContextManager[Any]] = nullcontext

    def hear(self, kind: int, index: int | None, rank: int, data: bytes) -> None:
        """Take in one thing that a task said; `index` is None between tasks."""
        if kind <= _STDERR:
            self._write(kind == _STDERR, index, rank, data.decode(errors="replace"))
        elif kind == _RECORD:
            _log(pickle.loads(data), index, rank)
        else:
            self._warn(pickle.loads(data), index, rank)

    def _write(self, error: bool, index: int | None, rank: int, text: str) -> None:
        if index is not None:
            self.output.add(index, error, text)
        if self._shows:
            lines = text.splitlines(keepends=True)
            if not text.endswith("\n"):
                lines[-1] += "\n"
            prefix = f"[{rank}:{'-' if index is None else index}] " if self._prefixes else ""
            self._show(sys.stderr if error else sys.stdout, "".join(prefix + line for line in lines))

    def _show(self, stream: TextIO | None, text: str) -> None:
        if stream is None:
            return
        # Who was to read it may have gone; that must not end the call.
        with suppress(OSError, ValueError), self.aside(stream):
            stream.write(text)
            stream.flush()

    def _warn(self, told: tuple[str, str, str, str, int], index: int | None, rank: int) -> None:
        if told in self._warned or len(self._warned) >= _WARNINGS:
            return
        self._warned.add(told)
        module, name, text, filename, line = told
        category = getattr(sys.modules.get(module), name, UserWarning)
        if not (isinstance(category, type) and issubclass(category, Warning)):
            category = UserWarning
        text = f"{text} (in {_place(index, rank)})"
        try:
            warnings.warn_explicit(text, category, filename, line)
        except Warning:
            # A filter that makes errors of warnings is for the task, where it holds as well; here it would end all.
            warnings.showwarning(text, category, filename, line)


def _place(index: int | None, rank: int) -> str:
    return f"worker {rank}" if index is None else f"task {index} on worker {rank}"


def _log(record: dict[str, Any], index: int | None, rank: int) -> None:
    import logging

    logger = logging.getLogger(record["name"])
    if logger.isEnabledFor(record["levelno"]):
        made = logging.makeLogRecord(record)
        made.sleighRank, made.sleighTask = rank, index
        logger.handle(made)


def levels() -> dict[str, int] | None:
    """Return the levels that this process's loggers were given, for workers; None where nothing is logged here."""
    logging = sys.modules.get("logging")
    if logging is None:
        return None
    named = {
        name: logger.level
        for name, logger in logging.root.manager.loggerDict.copy().items()
        if isinstance(logger, logging.Logger) and logger.level
    }
    return named | {"": max(logging.root.level, logging.root.manager.disable + 1)}
