"""A failed task on its way from the worker to the master."""

import json
from types import TracebackType

from nws._sleigh.exceptions import SleighTaskException

__all__ = ["describe", "restore", "story_of"]


# Longest message or traceback that travels, in characters; of a longer one the ends do.
_MOST_CHARS = 100_000


def describe(error: BaseException, of_result: bool = False) -> bytes:
    """Return the JSON of an exception that a task raised: type, message and traceback as text.

    With `of_result` it was raised while the task's result was pickled.
    """
    name, message, text = story_of(error)
    if of_result:
        message = f"the task's result cannot be pickled: {message}"
    return json.dumps({"kind": "exception", "type": name, "message": message, "traceback": text}).encode()


def story_of(error: BaseException) -> tuple[str, str, str]:
    """Return type, message and traceback of an exception as text, without the frames of this package."""
    import traceback  # not before something fails: it costs a worker's start several milliseconds

    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    try:
        message = _cut(str(error))
    except Exception as second:
        message = f"(its message cannot be had: {type(second).__name__})"
    error.__traceback__ = _without_ours(error.__traceback__)
    try:
        text = _cut("".join(traceback.format_exception(error)))
    except Exception as second:
        text = f"(its traceback cannot be had: {type(second).__name__})"
    return name, message, text


def _cut(text: str) -> str:
    if len(text) <= _MOST_CHARS:
        return text
    half = _MOST_CHARS // 2
    return f"{text[:half]} ... ({len(text) - 2 * half} characters left out) ... {text[-half:]}"


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Drop the frames of this package that precede the task's own."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("nws._"):
        trace = trace.tb_next
    return trace


def restore(failure: bytes | BaseException, index: int, rank: int) -> SleighTaskException:
    """Return what stands in the place of the result: `failure` is JSON, or an error in reading the result here."""
    if isinstance(failure, BaseException):
        return SleighTaskException(
            f"the result came, but cannot be unpickled here: {failure}",
            type=type(failure).__name__,
            index=index,
            rank=rank,
        )
    told = json.loads(failure)
    return SleighTaskException(
        told["message"],
        type=told["type"],
        traceback=told.get("traceback", ""),
        index=index,
        rank=rank,
        deaths=told.get("deaths", 0),
        cause=told.get("cause"),
    )
