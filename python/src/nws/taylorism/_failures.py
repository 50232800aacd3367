"""What went wrong in a worker or in the Boss, on its way to the master, and the exceptions that stand for it there."""

import pickle
import signal
from typing import Any

from nws._sleigh.failures import story_of

__all__ = [
    "BossDied",
    "Failure",
    "NoScheduler",
    "UnevenInstructions",
    "WorkerDied",
    "WorkerFailed",
    "died",
    "failed",
    "shown",
]

# Longest value of an instruction that is shown, in characters.
_MOST_CHARS = 300


class UnevenInstructions(ValueError, AssertionError):
    """The lists of individual instructions differ in length; the message says which have which."""

    __module__ = "nws.taylorism"


class NoScheduler(TypeError, AssertionError):
    """What was given as scheduler is none."""

    __module__ = "nws.taylorism"


class BossDied(Exception):
    """The Boss's process ended before its work; the message says how."""

    __module__ = "nws.taylorism"


class WorkerFailed(Exception):
    """A worker failed. It is the `__cause__` of the exception that is raised, which is of the worker's own type.

    It is raised itself where that exception cannot travel, as it cannot be pickled. Attributes: `type` and `message` of
    the exception in the worker and its `traceback` as text; `name` of the worker and its `instructions`. What failed in
    the Boss (a scheduler) has the name `None` and no instructions.
    """

    __module__ = "nws.taylorism"

    def __init__(self, type: str, message: str, traceback: str, name: str | None, instructions: dict[str, Any]) -> None:
        self.type = type
        self.message = message
        self.traceback = traceback
        self.name = name
        self.instructions = instructions
        super().__init__(type, message, traceback, name, instructions)

    def __str__(self) -> str:
        text = ": ".join(filter(None, (self.type, self.message)))
        if self.name is not None:
            text += f"\n\ninstructions of the worker {self.name}:\n{shown(self.instructions)}"
        if self.traceback:
            text += f"\n\n{'in the Boss' if self.name is None else 'in the worker'}:\n{self.traceback.rstrip()}"
        return text


class WorkerDied(WorkerFailed):
    """A worker's process ended without a report: by a signal, or because it left Python.

    Beside those of `WorkerFailed` it has the attributes `signal` or `exitCode`, the other of which is `None`, and
    `outOfMemory`: whether the kernel ended it as memory had run out; `None` where that cannot be known.
    """

    __module__ = "nws.taylorism"

    def __init__(
        self,
        message: str,
        name: str | None,
        instructions: dict[str, Any],
        signal: int | None = None,
        exitCode: int | None = None,
        outOfMemory: bool | None = None,
    ) -> None:
        super().__init__("", message, "", name, instructions)
        self.signal = signal
        self.exitCode = exitCode
        self.outOfMemory = outOfMemory

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (
            self.message,
            self.name,
            self.instructions,
            self.signal,
            self.exitCode,
            self.outOfMemory,
        )


class Failure:
    """A failure as it travels: plain values, and the exception pickled where it can be."""

    def __init__(
        self,
        type: str,
        message: str,
        traceback: str = "",
        pickled: bytes | None = None,
        ended: dict[str, Any] | None = None,
    ) -> None:
        self.type = type
        self.message = message
        self.traceback = traceback
        self.pickled = pickled
        self.ended = ended

    def exception(self, name: str | None, instructions: dict[str, Any]) -> Exception:
        """Return the exception to raise in the master, for this worker with these instructions."""
        if self.ended is not None:
            return WorkerDied(self.message, name, instructions, **self.ended)
        told = WorkerFailed(self.type, self.message, self.traceback, name, instructions)
        if self.pickled is None:
            return told
        try:
            error = pickle.loads(self.pickled)
        except Exception:  # many that can be pickled cannot be unpickled
            return told
        if not isinstance(error, Exception):
            return told
        error.__cause__ = told
        return error


def failed(error: BaseException) -> Failure:
    """Describe an exception where it was raised."""
    from nws._pickle import dumps_result

    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("nws.taylorism._"):
        trace = trace.tb_next
    error.__traceback__ = trace
    type, message, traceback = story_of(error)
    pickled: bytes | None = None
    if isinstance(error, Exception):
        try:
            pickled = dumps_result(error)
        except Exception:
            pickled = None
    return Failure(type, message, traceback, pickled)


def died(status: int, out_of_memory: bool | None) -> Failure:
    """Describe the end of a process from what `waitpid` says."""
    if status < 0:
        number = -status
        try:
            told = f"the worker was ended by {signal.Signals(number).name}"
        except ValueError:
            told = f"the worker was ended by signal {number}"
        if out_of_memory:
            told += ", as memory had run out"
        ended = {"signal": number, "outOfMemory": out_of_memory if number == signal.SIGKILL else False}
    else:
        told = f"the worker left Python with exit code {status} before it had given its report"
        ended = {"exitCode": status, "outOfMemory": False}
    return Failure("", told, ended=ended)


def shown(instructions: dict[str, Any]) -> str:
    """Return instructions for people, one a line, long ones cut."""
    lines = []
    for name, value in instructions.items():
        try:
            text = repr(value)
        except Exception as error:
            text = f"({type(value).__name__}, whose repr fails: {type(error).__name__})"
        lines.append(f"  {name} = {text if len(text) <= _MOST_CHARS else text[:_MOST_CHARS] + '...'}")
    return "\n".join(lines)
