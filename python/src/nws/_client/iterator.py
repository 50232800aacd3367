"""Iterators over the values of a variable."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Self

from nws import _native
from nws._client import files
from nws._errors import NwsOperationException

if TYPE_CHECKING:
    from nws._client.workspace import NetWorkSpace

# The operation of each documented name: whether it takes values away, and whether it does not wait.
_OPERATIONS: Final = {
    "ifetch": (True, False),
    "ifetchTry": (True, True),
    "ifind": (False, False),
    "ifindTry": (False, True),
}
_END: Final = object()


class Progress:
    """How far an iterator is, and whether it has stopped: what blocking and asynchronous ones share."""

    def __init__(self, workspace: _native.Workspace, varName: str, op: str, timeout: float | None) -> None:
        """Stand at the beginning of the variable."""
        if op not in _OPERATIONS:
            raise ValueError(f"expected an operation of {', '.join(_OPERATIONS)}, got {op!r}")
        self.take, self._trying = _OPERATIONS[op]
        self.workspace = workspace
        self.variable = varName
        self.stopped = False
        self._timeout = timeout
        self._cursor = _native.Cursor()

    def reset(self) -> None:
        """Go back to the beginning."""
        self._cursor.reset()
        self.stopped = False

    def ask(self) -> _native.Call:
        """Ask for the next value."""
        return self.workspace.retrieve(self.variable, self.take, self._timeout, self._trying, _END, cursor=self._cursor)

    def is_end(self, value: object) -> bool:
        """Whether what was answered is the end, which then lasts until `restart` or `reset`."""
        self.stopped = value is _END
        return self.stopped

    def ends_by(self, error: NwsOperationException) -> bool:
        """Whether an error is the end: the variable was deleted."""
        self.stopped = error.slug == "variable-gone"
        return self.stopped

    def writing(self, fobj: Any) -> files.Plan:
        """Write the next value to a file and go past it; where that fails, it is the next one again."""
        target = yield lambda: files.Target(fobj)
        value = yield self.workspace.retrieve_long(
            self.variable, self.take, self._timeout, self._trying, _END, cursor=self._cursor
        )
        if self.is_end(value):
            return _END
        written = yield from files.writing(target, value)
        self._cursor.pass_over(value)
        return written


class NwsValueIterator:
    """Goes over the values of a variable, each once: `ifetch`, `ifetchTry`, `ifind` and `ifindTry` make them.

    It ends when the variable is deleted, and that of a Try also when there are no more values. An end lasts until
    `restart` or `reset`. Where the mode of the variable is `'lifo'` or `'multi'`, `NwsOperationException` is raised.

    >>> ws.storeMany("letters", "abc")
    >>> letters = ws.ifindTry("letters")
    >>> list(letters)
    ['a', 'b', 'c']
    >>> ws.store("letters", "d")
    >>> list(letters)  # it has ended
    []
    >>> letters.restart()
    >>> list(letters)
    ['d']
    """

    __module__ = "nws.client"

    def __init__(self, ws: "NetWorkSpace", varName: str, op: str, *, timeout: float | None = None) -> None:
        """Iterate by the operation of this name; `ifind` and the like do this."""
        self._progress = Progress(ws._workspace, varName, op, timeout)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self._step(lambda: self._progress.ask().wait())

    def next(self) -> Any:
        """Return the next value, as `next(iterator)` does; `StopIteration` is the end.

        >>> ws.store("x", 1)
        >>> ws.ifind("x").next()
        1
        """
        return self._step(lambda: self._progress.ask().wait())

    def reset(self) -> None:
        """Go back to the beginning of the variable, as if the iterator had just been made.

        >>> ws.storeMany("x", [1, 2])
        >>> values = ws.ifindTry("x")
        >>> list(values)
        [1, 2]
        >>> values.reset()
        >>> list(values)
        [1, 2]
        """
        self._progress.reset()

    def restart(self) -> None:
        """Go on after an end, behind the value that was seen last. One whose variable was deleted ends again."""
        self._progress.stopped = False

    def writeTo(self, fobj: Any) -> int:
        r"""Write the next value to a file and return the number of bytes; `StopIteration` is the end.

        The value and the file are as for `findFile`. Where the value cannot be written, it stays the next one.

        >>> import io
        >>> ws.storeMany("lines", ["one\n", "two\n"])
        >>> file, lines = io.BytesIO(), ws.ifindTry("lines")
        >>> lines.writeTo(file), lines.writeTo(file)
        (4, 4)
        >>> file.getvalue()
        b'one\ntwo\n'
        """
        count: int = self._step(lambda: files.done(self._progress.writing(fobj)))
        return count

    def _step(self, step: Callable[[], Any]) -> Any:
        progress = self._progress
        if progress.stopped:
            raise StopIteration
        try:
            value = step()
        except NwsOperationException as error:
            if progress.ends_by(error):
                raise StopIteration from None
            raise
        if progress.is_end(value):
            raise StopIteration
        return value
