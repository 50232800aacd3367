"""How long instructions took in earlier runs, kept in a file."""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

__all__ = ["Durations"]

# The oldest are forgotten beyond this.
_MOST = 100_000


class Durations:
    """Seconds by instructions; the file is JSON, and any number of Bosses may share it.

    Another kind of file is refused and left alone: it is somebody's who has named the wrong one.
    """

    def __init__(self, path: str) -> None:
        """Use this file; it need not be there, and is read again when it is first needed.

        Raises `ValueError` where it is another kind of file, `OSError` where it cannot be read.
        """
        self._path = path
        self._read()
        self._known: dict[str, float] | None = None
        self._new: dict[str, float] = {}

    def of(self, instructions: Mapping[str, Any]) -> float | None:
        """Return how long these instructions took the last time; None if that is not known."""
        if self._known is None:
            self._known = self._read()
        return self._known.get(_key(instructions))

    def note(self, instructions: Mapping[str, Any], seconds: float) -> None:
        """Remember how long these instructions took."""
        self._new[_key(instructions)] = round(seconds, 6)

    def write(self) -> None:
        """Add what was noted to the file, as a whole or not at all.

        Raises `OSError` where it cannot be written, `ValueError` where it is another kind of file by now.
        """
        if not self._new:
            return
        import tempfile  # a Boss that remembers nothing starts without it

        with open(f"{self._path}.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self._read()
            for key, seconds in self._new.items():
                known.pop(key, None)
                known[key] = seconds
            kept = dict(list(known.items())[-_MOST:])
            folder, name = os.path.split(self._path)
            descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
            try:
                with open(descriptor, "w") as file:
                    json.dump({"seconds": kept}, file)
                os.replace(temporary, self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
        self._new.clear()

    def _read(self) -> dict[str, float]:
        try:
            with open(self._path, "rb") as file:
                text = file.read()
        except FileNotFoundError:
            return {}
        try:
            told = json.loads(text)["seconds"] if text else {}
            return {str(key): float(seconds) for key, seconds in told.items()}
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"expected remembered durations in {self._path}: {type(error).__name__}: {error}; "
                "remove it to begin anew, or name another file"
            ) from None


def _key(instructions: Mapping[str, Any]) -> str:
    """What identifies instructions in later runs: all of them but the worker's name, by their text."""
    text = repr(sorted((name, value) for name, value in _shown(instructions).items() if name != "name"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _shown(instructions: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): repr(value) for name, value in instructions.items()}
