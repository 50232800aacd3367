"""The worker's side: a command that answers tasks."""

import io
import json
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import IO, Any

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

    What `compute` prints goes to the master, which prints it; what libraries and children write to standard output goes
    to standard error, so that it disturbs nothing. A `TooBusy` that `compute` raises puts the task back; any other
    exception ends the job as a `RemoteException(type, message, traceback)`.

    `prepare` is called first with a list of `count` things: the `stdin` of `main`. With `encoding="json"` tasks and
    answers are lines of JSON.
    """
    if encoding not in ("pickle", "json"):
        raise ValueError(f"encoding: expected 'pickle' or 'json', got {encoding!r}")
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    tasks = sys.stdin.buffer
    try:
        first = [_read(tasks, encoding) for _ in range(count)]
        if prepare is not None:
            prepare(first)
        while True:
            task = _read(tasks, encoding)
            answers.write(_answer(compute, task, encoding))
            answers.flush()
    except EOFError:
        pass
    except BrokenPipeError:
        # The master is gone, or wants no more; to flush what is left would fail again.
        os._exit(0)
    answers.close()


def _read(tasks: IO[bytes], encoding: str) -> Any:
    if encoding == "pickle":
        return pickle.load(tasks)
    line = tasks.readline()
    if not line:
        raise EOFError
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
    lines = [stream.getvalue().splitlines(keepends=True) or None for stream in (stdout, stderr)]
    try:
        return _written(value, lines, encoding)
    except Exception as error:
        problem = RemoteException(type(error).__name__, f"the result cannot be sent: {error}", traceback.format_exc())
        return _written(problem, lines, encoding)


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
