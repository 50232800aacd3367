"""Values that come from files and go to files, a part at a time.

`storing` and `fetching` say what is to be done, one thing after the other; `done` does it for `nws.client`, and
`waiting.planned` for `nws.aio`, which leaves the file to other threads.

What is read from a file is stored as bytes; of a file that was opened as text, the UTF-8 of its text. Values that are
bytes or strings go to a binary file as they are, and to a text file as the text that their UTF-8 says.
"""

import codecs
import io
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, TypeAlias

from nws import _native
from nws._errors import NwsOperationException

# What is read and written at a time.
_PIECE_BYTES = 1 << 20

# Gives what the server or the file is to do, gets what came of it, and returns a number of bytes. Closed before its end
# it leaves everything as it was.
Plan: TypeAlias = Generator[_native.Step | Callable[[], Any], Any, Any]


def pieces(fobj: Any, n: int) -> Iterator[bytes]:
    """Read at most `n` bytes from a file, or all of it where `n` is 0, in pieces that are not empty.

    Of a text file come whole characters, as many as surely fit `n` bytes, and at least one.
    """
    if n < 0:
        raise ValueError(f"expected the most bytes to read from the file, or 0 for all, got {n}")
    is_text = isinstance(_of_a_file(fobj, "read")(0), str)
    return _text_pieces(fobj, n) if is_text else _binary_pieces(fobj, n)


def _binary_pieces(fobj: Any, n: int) -> Iterator[bytes]:
    left = n or None
    while left is None or left > 0:
        want = _PIECE_BYTES if left is None else min(left, _PIECE_BYTES)
        piece = fobj.read(want)
        if piece is None:
            raise BlockingIOError("expected a file that waits for its data, got one that does not")
        if not piece:
            return
        if len(piece) > want:
            raise ValueError(
                f"expected a file that reads at most {want} bytes where so many are asked for, got {len(piece)}"
            )
        yield bytes(piece)
        if left is not None:
            left -= len(piece)


def _text_pieces(fobj: Any, n: int) -> Iterator[bytes]:
    left = n or None
    some = False
    while left is None or left > 0:
        # A character of UTF-8 has up to four bytes.
        want = _PIECE_BYTES // 4 if left is None else max(min(left, _PIECE_BYTES) // 4, 0 if some else 1)
        piece = fobj.read(want).encode() if want else b""
        if not piece:
            return
        yield piece
        some = True
        if left is not None:
            left -= len(piece)


class Target:
    """A file that one value is written to.

    Making it finds out whether the file can be written to, and whether it takes text, before a value is taken for it.
    """

    def __init__(self, fobj: Any) -> None:
        """Try the file, without writing anything."""
        self._write: Callable[[Any], Any] = _of_a_file(fobj, "write")
        self._is_raw = isinstance(fobj, io.RawIOBase)
        # What is made by others may know bytes alone.
        self._takes_buffers = isinstance(fobj, io.IOBase)
        self._flush: Callable[[], Any] | None = getattr(fobj, "flush", None)
        self._decoder: codecs.IncrementalDecoder | None = None
        try:
            self._write(b"")
        except TypeError:
            self._write("")
            self._decoder = codecs.getincrementaldecoder("utf-8")()

    def check(self, value: _native.LongValue) -> None:
        """Raise `NwsOperationException` for a value that is neither bytes nor a string."""
        if not value.is_string:
            what = "a pickled Python object" if value.kind == "pickle" else f"a value of the encoding {value.kind!r}"
            raise _refused(f"expected a value that is bytes or a string, got {what}; fetch or find gives it")

    def write(self, part: memoryview) -> None:
        """Write a part of the value."""
        for start in range(0, len(part), _PIECE_BYTES):
            piece = part[start : start + _PIECE_BYTES]
            if self._decoder is not None:
                self._write(self._text(piece, False))
            else:
                self._write_bytes(piece)

    def _write_bytes(self, piece: memoryview) -> None:
        while piece:
            written = self._write(piece if self._takes_buffers else bytes(piece))
            if written is None and not self._is_raw:
                # What is made by others may not say how much it took: all of it.
                return
            # An unbuffered file may take a part only, also where it is wrapped.
            if not isinstance(written, int) or written <= 0:
                raise BlockingIOError(
                    f"expected a file that waits until it has room, got one whose write() took {written} "
                    f"of {len(piece)} bytes"
                )
            piece = piece[written:]

    def finish(self) -> None:
        """Write what is left, and let the file hand over what it holds: only then the value is written."""
        if self._decoder is not None:
            self._write(self._text(b"", True))
        if self._flush is not None:
            self._flush()

    def _text(self, piece: Any, final: bool) -> str:
        assert self._decoder is not None
        try:
            return self._decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            raise _refused(
                f"expected a value in UTF-8 for a file of text, got other bytes ({error.reason}); "
                "open the file as binary, with mode 'wb'"
            ) from error


def storing(workspace: _native.Workspace, varName: str, fobj: Any, n: int) -> Plan:
    """Store what a file has as one value; where that fails, or the file has nothing, nothing is stored."""
    store = workspace.begin_long(varName)
    count = 0
    try:
        left = pieces(fobj, n)
        while piece := (yield lambda: next(left, b"")):
            yield store.push(piece)
            count += len(piece)
        if count:
            yield store.store()
    except BaseException:
        store.forget()
        raise
    return count


def writing(target: Target, value: _native.LongValue) -> Plan:
    """Write a value and be done with it; where that fails it goes back to its place."""
    try:
        target.check(value)
        while (part := (yield value.part())) is not None:
            yield partial(target.write, part)
        yield target.finish
        yield value.done()
    except BaseException:
        value.release()
        raise
    return value.len_bytes


def fetching(
    workspace: _native.Workspace, varName: str, fobj: Any, take: bool, timeout: float | None, trying: bool
) -> Plan:
    """Fetch or find a value and write it to a file."""
    target = yield lambda: Target(fobj)
    value = yield workspace.retrieve_long(varName, take, timeout, trying)
    return 0 if value is None else (yield from writing(target, value))


def done(plan: Plan) -> Any:
    """Do what the plan says on this thread, and return what it returns."""
    outcome: Any = None
    try:
        while True:
            try:
                doing = plan.send(outcome)
            except StopIteration as end:
                return end.value
            outcome = doing() if callable(doing) else doing.wait()
    finally:
        plan.close()


def _of_a_file(fobj: Any, method: str) -> Any:
    found = getattr(fobj, method, None)
    if found is None:
        what = type(fobj).__name__
        raise AttributeError(
            f"expected a file, which has a method {method!r}, got {what}; of a socket, give its makefile()"
        )
    return found


def _refused(message: str) -> NwsOperationException:
    error = NwsOperationException(message)
    error.slug = "not-for-a-file"
    return error
