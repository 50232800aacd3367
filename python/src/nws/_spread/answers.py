"""What a command can answer, and the errors of a job."""

import json
import math
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from reprlib import repr as short_repr
from typing import Any, NamedTuple

from nws import _native

__all__ = [
    "ONE_TOO_MANY",
    "Answer",
    "CannotCreateConnection",
    "JunkError",
    "NoResponse",
    "RemoteException",
    "TooBusy",
    "begins_with_answer",
    "checked",
    "notComputed",
    "reader",
    "writer",
    "written",
]

#: What is told of a command whose last output begins with an answer.
ONE_TOO_MANY = "it has answered once more than it was asked, as what it wrote last begins with an answer"


class _Marker(type):
    def __call__(cls) -> "type[notComputed]":
        return notComputed

    def __repr__(cls) -> str:
        return "notComputed"

    def __bool__(cls) -> bool:
        return False


class notComputed(metaclass=_Marker):
    """The marker for a value that has not been computed: itself the only one, and false."""

    __module__ = "nws.spread_jobs"


class TooBusy(Exception):
    """An answer: the command cannot do the task now, and would like to be left alone for `delay` seconds.

    A worker may raise it inside `serve`.
    """

    __module__ = "nws.spread_jobs"

    def __init__(self, delay: float = 1.0) -> None:
        super().__init__(delay)
        self.delay = delay


class _JobError(Exception):
    """An error that ends a job."""

    #: What had been computed, with `notComputed` in the places of the rest.
    results: list[Any]

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.results = []


class RemoteException(_JobError):
    """An answer: the task has failed. It ends the job, and `main` raises it; its `args` are those of the worker.

    `index` is that of the task in `todo`, `arglist` the command, `stdout` and `stderr` are the lines that came with it.
    """

    __module__ = "nws.spread_jobs"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.index: int | None = None
        self.arglist: list[str] = []
        self.stdout: list[str] = []
        self.stderr: list[str] = []

    def __str__(self) -> str:
        text = super().__str__()
        if self.index is None:
            return text
        said = "".join(f"\n  {line.rstrip()}" for line in [*self.stdout, *self.stderr])
        return f"{text}\n(task {self.index}, done by {self.arglist})" + (f"; what it wrote:{said}" if said else "")

    def __reduce__(self) -> Any:
        return type(self), self.args


class NoResponse(_JobError):
    """No answer can come: the command has ended, or all have. The message says how; so does `ends`.

    `ends` has a pair for each command that is left no more: its arguments, and how it ended last.
    """

    __module__ = "nws.spread_jobs"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.ends: list[tuple[list[str], str]] = []


class CannotCreateConnection(_JobError):
    """A command cannot be started; from `main`: none can."""

    __module__ = "nws.spread_jobs"


class JunkError(Exception):
    """What came is no answer."""


class Answer(NamedTuple):
    """An answer that was read."""

    value: Any
    stdout: Sequence[str] | None
    stderr: Sequence[str] | None


def _lines(given: Any, which: str) -> Sequence[str] | None:
    if given is None or (isinstance(given, list | tuple) and all(isinstance(line, str) for line in given)):
        return given
    raise JunkError(f"expected a list of lines or None as its {which} item, got {_shown(given)}")


def _rest(delay: Any, what: str) -> None:
    """Nothing, where this is a number; raises `JunkError`."""
    try:
        math.isnan(delay)
    except (TypeError, OverflowError):
        raise JunkError(f"expected a number of seconds {what}, got {_shown(delay)}") from None


def checked(answer: Any) -> Answer:
    """What a worker wrote, as an answer; raises `JunkError`."""
    if not isinstance(answer, tuple) or len(answer) != 3:
        raise JunkError(f"expected a tuple of 3 items, got {_shown(answer)}")
    if isinstance(answer[0], TooBusy):
        _rest(getattr(answer[0], "delay", None), "in its TooBusy")
    return Answer(answer[0], _lines(answer[1], "second"), _lines(answer[2], "third"))


def _shown(value: object) -> str:
    """Show the beginning of what may be large, or cannot be shown: an integer of too many digits, for one."""
    try:
        return short_repr(value)
    except Exception:
        return f"a value of the type {type(value).__name__}"


def _read_pickle(payload: bytes) -> Answer:
    try:
        answer = pickle.loads(payload)
    except Exception as error:  # of any class: reading a pickle runs the code of what is in it
        raise JunkError(f"it cannot be unpickled ({type(error).__name__}: {error})") from error
    return checked(answer)


def _read_json(payload: bytes) -> Answer:
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise JunkError(f"expected a line of JSON, got {payload!r:.80} ({error})") from error
    if not isinstance(answer, dict) or len(answer.keys() & {"result", "too_busy", "error"}) != 1:
        raise JunkError(f'expected an object with one of "result", "too_busy", "error", got {payload!r:.80}')
    stdout, stderr = _lines(answer.get("stdout"), '"stdout"'), _lines(answer.get("stderr"), '"stderr"')
    if "error" in answer:
        args = answer["error"] if isinstance(answer["error"], list) else [answer["error"]]
        return Answer(RemoteException(*args), stdout, stderr)
    if "too_busy" in answer:
        _rest(answer["too_busy"], 'as "too_busy"')
        return Answer(TooBusy(answer["too_busy"]), stdout, stderr)
    return Answer(answer["result"], stdout, stderr)


def _write_json(task: Any) -> bytes:
    return json.dumps(task, separators=(",", ":")).encode() + b"\n"


# As an object of C's, as each task is written by it.
_write_pickle: Callable[[Any], bytes] = partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL)


def writer(encoding: str) -> Callable[[Any], bytes]:
    """What makes bytes of a task."""
    if encoding not in ("pickle", "json"):
        raise ValueError(f"encoding: expected 'pickle' or 'json', got {encoding!r}")
    return _write_json if encoding == "json" else _write_pickle


def reader(encoding: str) -> Callable[[bytes], Answer]:
    """What makes an answer of bytes; it raises `JunkError`."""
    return _read_json if encoding == "json" else _read_pickle


def written(write: Callable[[Any], bytes], item: Any, index: int) -> bytes:
    """Bytes of something of `stdin`; what cannot be written is named."""
    try:
        return write(item)
    except Exception as error:
        error.add_note(f"This is item {index} of stdin, which cannot be sent.")
        raise


def begins_with_answer(output: bytes, encoding: str) -> bool:
    """Whether what was written last begins with an answer, whole and such as can be read."""
    try:
        if encoding == "json":
            end = output.find(b"\n") + 1 or None
        else:
            # Of earlier protocols than 2 a pickle may be somebody's words.
            end = _native.pickle_end(output) if output.startswith(b"\x80") else None
        if end is not None:
            reader(encoding)(output[:end])
    except (JunkError, ValueError):
        return False
    return end is not None
