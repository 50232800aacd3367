"""Where results go: into a list in the order of the tasks, or to an accumulator as they come."""

from collections.abc import Callable
from typing import Any, Protocol

from nws._sleigh.exceptions import SleighTaskException

__all__ = ["Accumulator", "Gather", "receiver"]

Accumulator = Any
"""A function of a list of values and a list of indexes, or an object with `result(values, indexes)`."""


class Receiver(Protocol):
    """Takes results in."""

    results: list[Any]
    indexes: list[int] | None

    def flush(self) -> None:
        """Hand on what has come."""

    def value(self) -> Any:
        """Return what the call shall return."""


class Gather:
    """Keeps all results, each in its place."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.indexes: list[int] | None = None

    def flush(self) -> None:
        """Nothing is to be handed on."""

    def value(self) -> list[Any]:
        """Return the results in the order of the tasks."""
        return self.results


class _Accumulate:
    """Hands results to an accumulator as they come."""

    def __init__(self, accumulator: Accumulator) -> None:
        self.results: list[Any] = []
        self.indexes: list[int] | None = []
        self._result: Callable[[list[Any], list[int]], object] = getattr(accumulator, "result", None) or accumulator
        self._error: Callable[[list[Any], list[int]], object] | None = getattr(accumulator, "error", None)
        self._value: Callable[[], Any] | None = getattr(accumulator, "value", None)

    def flush(self) -> None:
        results, indexes = self.results, self.indexes or []
        self.results, self.indexes = [], []
        if not results:
            return
        if self._error is not None:
            bad = [place for place, value in enumerate(results) if isinstance(value, SleighTaskException)]
            if bad:
                self._error([results[place] for place in bad], [indexes[place] for place in bad])
                failed = set(bad)
                good = [place for place in range(len(results)) if place not in failed]
                results, indexes = [results[place] for place in good], [indexes[place] for place in good]
        if results:
            self._result(results, indexes)

    def value(self) -> Any:
        return None if self._value is None else self._value()


def receiver(accumulator: Accumulator | None) -> Receiver:
    """Return what takes in the results of a call with this accumulator, or None for a list."""
    if accumulator is None:
        return Gather()
    if not callable(getattr(accumulator, "result", None) or accumulator):
        raise TypeError(
            "accumulator: expected a function of values and indexes, or an object with result(values, indexes); "
            f"got {type(accumulator).__name__}"
        )
    return _Accumulate(accumulator)
