"""The worker's side: a command that answers tasks."""

import io
import json
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from nws._spread.answers import RemoteException, TooBusy

__all__ = ["serve"]


def serve(
    compute: Callable[[Any], Any],
    prepare: Callable[[list[Any]], object] | None = None,
    count: int = 0,
    *,
    encoding: str = "pickle",
) -> None:
    """Answer tasks until standard input ends: all that the program of a worker has to do.

        from nws.spread_jobs import serve
        serve(lambda x: x * x)

    What `compute` prints goes to the master, which prints it. Libraries and children disturb nothing: what they write
    to standard output goes to standard error, and their standard input is empty. A `TooBusy` that `compute` raises puts
    the task back; any other exception ends the job as a `RemoteException(type, message, traceback)`.

    `prepare` is called first with a list of `count` things: the `stdin` of `main`. With `encoding="json"` tasks and
    answers are lines of JSON.
    """
    if encoding not in ("pickle", "json"):
        raise ValueError(f"encoding: expected 'pickle' or 'json', got {encoding!r}")
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    tasks = _own_stdin()
    first: list[Any] = []
    try:
        while len(first) < count and tasks.peek(1):
            first.append(_read(tasks, encoding))
        if prepare is not None and len(first) == count:
            prepare(first)
        while tasks.peek(1):
            answer = _answer(compute, _read(tasks, encoding), encoding)
            try:
                answers.write(answer)
                answers.flush()
            except BrokenPipeError:
                # The master is gone, or wants no more; to flush what is left would fail again.
                os._exit(0)
    finally:
        answers.close()


class _Rest(io.RawIOBase):
    """Some bytes, and then what a descriptor has."""

    def __init__(self, early: bytes, descriptor: int) -> None:
        self._early, self._descriptor = early, descriptor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        some = self._early[: len(buffer)] or os.read(self._descriptor, len(buffer))
        self._early = self._early[len(some) :]
        buffer[: len(some)] = some
        return len(some)


def _own_stdin() -> io.BufferedReader:
    """Standard input for us alone: who reads it then, as a child of `compute` may, finds its end."""
    tasks = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # What the program has read ahead is all that is left there.
    return io.BufferedReader(_Rest(sys.stdin.buffer.read(), tasks), io.DEFAULT_BUFFER_SIZE * 8)


def _read(tasks: io.BufferedReader, encoding: str) -> Any:
    if encoding == "pickle":
        return pickle.load(tasks)
    line = tasks.readline()
    if not line.endswith(b"\n"):
        raise EOFError(f"expected a line of JSON, got the end of standard input after {line!r:.80}")
    return json.loads(line)


def _answer(compute: Callable[[Any], Any], task: Any, encoding: str) -> bytes:
    stdout, stderr = io.StringIO(), io.StringIO()
    value: Any
    try:
        with redirect_stdout(stdout), redirect_stderr(stderr):
            value = compute(task)
    except (TooBusy, RemoteException) as error:
        value = error
    except Exception as error:
        value = RemoteException(type(error).__name__, str(error), traceback.format_exc())
    value = _plain(value)
    lines = [stream.getvalue().splitlines(keepends=True) or None for stream in (stdout, stderr)]
    try:
        return _written(value, lines, encoding)
    except Exception as error:
        problem = RemoteException(type(error).__name__, f"the result cannot be sent: {error}", traceback.format_exc())
        return _written(problem, lines, encoding)


def _plain(value: Any) -> Any:
    """The same, but of a class that the program knows, if it is a refusal or a failure."""
    if isinstance(value, TooBusy):
        return TooBusy(getattr(value, "delay", 1.0))
    if isinstance(value, RemoteException):
        return RemoteException(*value.args)
    return value


def _written(value: Any, lines: list[list[str] | None], encoding: str) -> bytes:
    if encoding == "pickle":
        return pickle.dumps((value, *lines), pickle.HIGHEST_PROTOCOL)
    if isinstance(value, TooBusy):
        told: dict[str, Any] = {"too_busy": value.delay}
    elif isinstance(value, RemoteException):
        told = {"error": list(value.args)}
    else:
        told = {"result": value}
    told |= {"stdout": lines[0], "stderr": lines[1]}
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"
