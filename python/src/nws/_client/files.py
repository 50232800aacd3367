"""Values that come from files and go to files.

What is read from a file is stored as bytes; of a file that was opened as text, the UTF-8 of its text. Values that are
bytes or strings go to a binary file as they are, and to a text file as the text that their UTF-8 says.
"""

from collections.abc import Callable
from typing import Any

from nws import _native
from nws._errors import NwsOperationException

# The most that one `read` is asked for: some files make room for all that they are asked for.
_READ_BYTES = 16 << 20


def read_bytes(fobj: Any, n: int) -> bytes:
    """Read at most `n` bytes from a file, or all of it where `n` is 0; no bytes are its end.

    Of a text file come whole characters, as many as surely fit `n` bytes, and at least one.
    """
    if n < 0:
        raise ValueError(f"expected the most bytes to read from the file, or 0 for all, got {n}")
    if n == 0:
        return _bytes_of(fobj.read())
    is_text = isinstance(fobj.read(0), str)
    pieces: list[bytes] = []
    left = n
    while left > 0:
        # A character of UTF-8 has up to four bytes.
        want = max(left // 4, 0 if pieces else 1) if is_text else left
        piece = _bytes_of(fobj.read(min(want, _READ_BYTES))) if want else b""
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _bytes_of(piece: Any) -> bytes:
    if piece is None:
        raise BlockingIOError("expected a file that waits for its data, got one that does not")
    return piece.encode() if isinstance(piece, str) else bytes(piece)


class Target:
    """A file that one value is written to.

    Making it finds out whether the file can be written to, and whether it takes text, before a value is taken for it.
    """

    def __init__(self, fobj: Any) -> None:
        """Try the file, without writing anything."""
        self._write: Callable[[Any], Any] = fobj.write
        try:
            self._write(b"")
            self._is_text = False
        except TypeError:
            self._write("")
            self._is_text = True

    def write(self, stored: _native.Stored) -> int:
        """Write the value and return the number of its bytes.

        Raises `NwsOperationException` for a value that is neither bytes nor a string.
        """
        if not stored.is_string:
            what = "a pickled Python object" if stored.kind == "pickle" else f"a value of the encoding {stored.kind!r}"
            raise _refused(f"expected a value that is bytes or a string, got {what}; fetch or find gives it")
        data = stored.view()
        if self._is_text:
            try:
                self._write(str(data, "utf-8"))
            except UnicodeDecodeError as error:
                raise _refused(
                    f"expected a value in UTF-8 for a file of text, got other bytes ({error.reason} at {error.start}); "
                    "open the file as binary, with mode 'wb'"
                ) from error
            return data.nbytes
        rest = data
        while rest:
            written = self._write(rest)
            # Unbuffered files may take a part only; others need not say how much they took.
            rest = rest[written:] if isinstance(written, int) and 0 < written < len(rest) else rest[:0]
        return data.nbytes


def _refused(message: str) -> NwsOperationException:
    error = NwsOperationException(message)
    error.slug = "not-for-a-file"
    return error
