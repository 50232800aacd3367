"""From the arguments of `eachElem` to one item a task."""

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

from nws import _native
from nws._sleigh.exceptions import SleighIllegalValueException

__all__ = ["checked_permutation", "columns_of", "fixed_of", "rows_of", "samples_of"]


def columns_of(element_args: Any) -> list[Iterable[Any]]:
    """Return the columns of varying arguments.

    A list whose first item is iterable is a list of columns; anything else is one column.
    """
    if isinstance(element_args, list) and element_args and _is_iterable(element_args[0]):
        for number, column in enumerate(element_args):
            if not _is_iterable(column):
                raise SleighIllegalValueException(
                    f"elementArgs: expected an iterable as every column, as the first one is; "
                    f"got {type(column).__name__} as column {number}. "
                    "For one column of such items pass it as a tuple, or inside another list"
                )
        return list(element_args)
    if not _is_iterable(element_args):
        raise TypeError(f"elementArgs: expected an iterable or a list of iterables, got {type(element_args).__name__}")
    return [element_args]


def _is_iterable(thing: Any) -> bool:
    try:
        iter(thing)
    except TypeError:
        return False
    return True


def fixed_of(fixed_args: Any) -> list[Any]:
    """Return the fixed arguments; what is no list is one argument."""
    return list(fixed_args) if isinstance(fixed_args, list) else [fixed_args]


def rows_of(columns: Sequence[Iterable[Any]]) -> tuple[Iterator[Any], int | None]:
    """Return an iterator with one item a task, and how many there are where that is known.

    With one column an item is its argument, with several a tuple of them.
    """
    lengths = {len(column) for column in columns if isinstance(column, Sized)}
    if len(lengths) > 1:
        told = ", ".join(str(len(column)) if isinstance(column, Sized) else "?" for column in columns)
        hint = (
            "; a list of strings is a list of columns: for one column of strings pass a tuple, or put it into a list"
            if any(isinstance(column, str | bytes) for column in columns)
            else ""
        )
        raise SleighIllegalValueException(f"elementArgs: expected columns of one length, got lengths {told}{hint}")
    known = lengths.pop() if lengths and all(isinstance(column, Sized) for column in columns) else None
    if len(columns) == 1:
        return iter(columns[0]), known
    return _zipped(columns), known


def _zipped(columns: Sequence[Iterable[Any]]) -> Iterator[tuple[Any, ...]]:
    ended = object()
    iterators = [iter(column) for column in columns]
    while True:
        row = tuple(next(iterator, ended) for iterator in iterators)
        gone = [item is ended for item in row]
        if all(gone):
            return
        if any(gone):
            raise SleighIllegalValueException(
                f"elementArgs: expected columns of one length, column {gone.index(True)} is shorter than another"
            )
        yield row


def samples_of(columns: Sequence[Iterable[Any]]) -> list[Any]:
    """Return one item of each type in the columns that can be read more than once."""
    samples: dict[type, Any] = {}
    for column in columns:
        if isinstance(column, list | tuple) and not _native.are_plain(column):
            samples.update((type(item), item) for item in column)
    return list(samples.values())


def checked_permutation(permutation: Any, count: int) -> tuple[int, ...] | None:
    """Return `argPermute` as indexes into the `count` arguments, or None where it was not given."""
    if permutation is None:
        return None
    try:
        indexes = tuple(permutation)
    except TypeError:
        raise TypeError(f"argPermute: expected a list of indexes, got {type(permutation).__name__}") from None
    for index in indexes:
        if not isinstance(index, int) or not 0 <= index < count:
            raise SleighIllegalValueException(
                f"argPermute: expected indexes from 0 to {count - 1}, as there are {count} arguments; got {index!r}"
            )
    return indexes
