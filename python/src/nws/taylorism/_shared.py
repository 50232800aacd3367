"""Arrays in shared memory."""

import mmap
import os
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

__all__ = ["SharedNumpyArray", "attach", "carrying", "told"]


class SharedNumpyArray:
    """An array of numpy in memory that workers share with the master: what one writes, all others see.

    It is made from an array, whose content it takes, and given to workers among their instructions:

        >>> import numpy
        >>> from nws.taylorism import SharedNumpyArray
        >>> shared = SharedNumpyArray(numpy.zeros((2, 3)))
        >>> shared[0] = 7
        >>> shared.array.sum()
        np.float64(21.0)

    `array` is a view of the memory; items, shape and methods are those of that view. The memory has no name and
    no file: it ends with the last process that has it, however that ends.

    Several workers that write to the same items want `lock`. It travels in instructions alone; in a report it goes by
    content unless it came from there.

    Raises `TypeError` for arrays of Python objects, which cannot be shared.
    """

    __module__ = "nws.taylorism"

    def __init__(self, array: Any) -> None:
        """Take the content, shape and type of an array, or of what numpy makes one of."""
        import numpy

        given = numpy.asarray(array)
        if given.dtype.hasobject:
            raise TypeError(f"expected an array of plain values to share, got one of {given.dtype}, Python objects")
        descriptor = os.memfd_create("nws-shared-array", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, max(1, given.nbytes))
        self._attach(uuid.uuid4().hex, descriptor, given.shape, given.dtype)
        self.array[...] = given

    def _attach(self, key: str, descriptor: int, shape: tuple[int, ...], dtype: Any) -> None:
        import numpy

        self._key = key
        self._descriptor = descriptor
        memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        self._array: Any = numpy.ndarray(shape, dtype, buffer=memory)
        self._threads = threading.RLock()
        weakref.finalize(self, os.close, descriptor)
        _here[key] = self

    @property
    def array(self) -> "numpy.ndarray[Any, Any]":
        """The shared memory as an array of numpy."""
        return self._array  # type: ignore[no-any-return]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep all other processes that use this lock out; one that dies gives it back."""
        with self._threads:
            os.lockf(self._descriptor, os.F_LOCK, 0)
            try:
                yield
            finally:
                os.lockf(self._descriptor, os.F_ULOCK, 0)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._array, name)

    def __getitem__(self, index: Any) -> Any:
        return self._array[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._array[index] = value

    def __len__(self) -> int:
        return len(self._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy

        return numpy.array(self._array, dtype, copy=copy)

    def __repr__(self) -> str:
        return f"SharedNumpyArray({self._array!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> "SharedNumpyArray":
        return self  # a copy would not be shared

    def __reduce__(self) -> Any:
        carry = getattr(_carrying, "with_", None)
        if carry is not None:
            carry(self)
        elif self._key not in _came:
            return SharedNumpyArray, (self._array.copy(),)
        return _found, (self._key,)


# By key: arrays of this process; those that came to it, which are their sender's as well, are kept.
_here: "weakref.WeakValueDictionary[str, SharedNumpyArray]" = weakref.WeakValueDictionary()
_came: dict[str, SharedNumpyArray] = {}
_carrying = threading.local()


@contextmanager
def carrying(carry: Callable[[SharedNumpyArray], None]) -> Iterator[None]:
    """Let arrays that are pickled in this block travel by reference; `carry` is told of each."""
    _carrying.with_ = carry
    try:
        yield
    finally:
        del _carrying.with_


def attach(key: str, shape: tuple[int, ...], dtype: Any, descriptor: int) -> None:
    """Take an array that came with its memory."""
    array = SharedNumpyArray.__new__(SharedNumpyArray)
    array._attach(key, descriptor, shape, dtype)
    _came[key] = array


def told(array: SharedNumpyArray) -> tuple[tuple[str, tuple[int, ...], Any], int]:
    """Return what `attach` wants to know of an array, and the descriptor of its memory."""
    return (array._key, array._array.shape, array._array.dtype), array._descriptor


def _found(key: str) -> SharedNumpyArray:
    found = _here.get(key)
    if found is None:
        raise LookupError("expected a shared array that this process holds; it is gone here: keep it for the report")
    return found
