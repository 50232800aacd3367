"""Values that are taken to be finished or given back."""

from types import TracebackType
from typing import Any, Self

from nws import _native
from nws._client.listings import Encoding


class Lease:
    """A value taken by lease: `NetWorkSpace.lease` makes them.

    Nobody else gets the value while the lease lasts. It ends by `finish`, by `done`, by `release`, at the end of its
    `with` block, and with the connection; unless it was finished or done, the value is then back at its own place, as
    if it had never left.
    """

    __module__ = "nws.client"

    def __init__(self, native: _native.Lease) -> None:
        """Hold what the native module leased."""
        self._native = native

    @property
    def value(self) -> Any:
        """The value."""
        return self._native.value

    @property
    def deaths(self) -> int:
        """How many holders of this value died so far, as far as somebody counts them: a sleigh's host does."""
        return self._native.deaths

    def finish(self, varName: str, val: Any, *, encoding: Encoding | None = None) -> None:
        """End the lease and store a result in a variable of the same workspace, in one step.

        `encoding` is as for `NetWorkSpace.store`. Raises `NwsOperationException` where the lease has ended; then
        nothing is stored.
        """
        self._native.finish(varName, val, encoding).wait()

    def done(self) -> None:
        """End the lease without a result: the value is gone.

        Raises `NwsOperationException` where the lease had ended before: somebody else may have the value by then.

        >>> ws.store("letters", "Dear cook")
        >>> with ws.lease("letters") as lease:
        ...     print(lease.value)  # had this failed, the letter would be back
        ...     lease.done()
        Dear cook
        >>> ws.fetchTry("letters", "none there")
        'none there'
        """
        self._native.done().wait()

    def release(self) -> None:
        """Give the value back to its place; nothing happens where the lease has ended."""
        self._native.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._native.release()

    def __repr__(self) -> str:
        return f"<Lease of {self._native.value!r}{', ended' if self._native.ended else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle a Lease: it belongs to a connection of this process; send its value")
