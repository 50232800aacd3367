"""The exceptions of `nws.sleigh`."""

from typing import Any

from nws._sleigh.said import TaskOutput

__all__ = [
    "SleighException",
    "SleighGatheredException",
    "SleighIllegalValueException",
    "SleighJoinException",
    "SleighNwsException",
    "SleighOccupiedException",
    "SleighPicklingException",
    "SleighScriptException",
    "SleighStoppedException",
    "SleighTaskException",
]

# How much of a failed task's output its exception tells.
_LAST_LINES = 10


class SleighException(Exception):
    """Base of all exceptions of `nws.sleigh`."""

    __module__ = "nws.sleigh"


class SleighNwsException(SleighException):
    """The server, the host process or all workers are gone; the message tells each one's end."""

    __module__ = "nws.sleigh"


class SleighGatheredException(SleighException):
    """The results were gathered already."""

    __module__ = "nws.sleigh"


class SleighStoppedException(SleighException):
    """The sleigh was stopped."""

    __module__ = "nws.sleigh"


class SleighOccupiedException(SleighException):
    """The sleigh is busy with another call."""

    __module__ = "nws.sleigh"


class SleighIllegalValueException(SleighException, ValueError):
    """An argument has a value that it cannot have."""

    __module__ = "nws.sleigh"


class SleighPicklingException(SleighIllegalValueException, TypeError):
    """A function or argument cannot be sent to a worker; the message names the part that cannot."""

    __module__ = "nws.sleigh"


class SleighScriptException(SleighException):
    """The program or script of a worker was not found."""

    __module__ = "nws.sleigh"


class SleighJoinException(SleighException):
    """It was too late to join the group of workers."""

    __module__ = "nws.sleigh"


class SleighTaskException(SleighException):
    """A task failed. It stands in the place of the task's result.

    Attributes: `type` and `message` of the remote exception and its `traceback` as text; `index` of the task and `rank`
    of the worker. Where the worker died: `type` is `'WorkerDied'`, `deaths` says how many workers the task has cost,
    and the last of them ended with `exitCode` or by `signal`, with a peak of `peakMemory` bytes, `outOfMemory` (`None`
    where that cannot be known) and the last lines `stderr` of its standard error. `output` is what the
    task wrote, as in `Sleigh.output`.
    """

    __module__ = "nws.sleigh"

    def __init__(
        self,
        message: str,
        *,
        type: str = "",
        traceback: str = "",
        index: int = -1,
        rank: int = -1,
        deaths: int = 0,
        cause: dict[str, Any] | None = None,
    ) -> None:
        cause = cause or {}
        self.type = type
        self.message = message
        self.traceback = traceback
        self.index = index
        self.rank = rank
        self.deaths = deaths
        self.exitCode: int | None = cause.get("exit_code")
        self.signal: int | None = cause.get("signal")
        self.peakMemory: int | None = cause.get("peak_memory_bytes")
        self.outOfMemory: bool | None = cause.get("out_of_memory")
        self.stderr: list[str] = cause.get("stderr_tail", [])
        self._cause = cause
        self.output = TaskOutput()
        super().__init__(": ".join(filter(None, (type, message))))

    def __str__(self) -> str:
        text = super().__str__()
        if self.traceback:
            text += f"\n\nin the worker:\n{self.traceback.rstrip()}"
        lines = self.output.stdout.splitlines()[-_LAST_LINES:]
        if lines:
            text += "\n\nlast lines that the task wrote to standard output:\n" + "\n".join(lines)
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return _task_exception, (
            self.message,
            self.type,
            self.traceback,
            self.index,
            self.rank,
            self.deaths,
            self._cause,
            self.output,
        )


def _task_exception(
    message: str,
    type: str,
    traceback: str,
    index: int,
    rank: int,
    deaths: int,
    cause: dict[str, Any],
    output: TaskOutput,
) -> SleighTaskException:
    made = SleighTaskException(
        message, type=type, traceback=traceback, index=index, rank=rank, deaths=deaths, cause=cause
    )
    made.output = output
    return made
