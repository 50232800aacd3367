"""A bar that shows how far a run is."""

import sys
import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TextIO

__all__ = ["Progress"]

# How long a call goes on before it gets a bar that nobody asked for, in seconds.
_DELAY_S = 1.0
# How often a bar is drawn anew where nothing moves but the time, in seconds.
_TURN_S = 0.5


class Progress:
    """A bar after the first second on a terminal or in a notebook; at once where it was asked for; else none."""

    def __init__(self, wanted: bool | None, total: int | None) -> None:
        """Show progress towards so many tasks, or towards no known number."""
        self._asked = bool(wanted)
        self.shown = self._asked or (wanted is None and (_is_terminal() or _is_notebook()))
        """Whether `move` is to be called."""
        self._total = total
        self._began_s = self._drawn_s = time.monotonic()
        self._bar: Any = None
        if self._asked:
            self._make()

    def move(self, done: int) -> None:
        """Show that so many tasks are done."""
        now_s = time.monotonic()
        if self._bar is None:
            if not self.shown or now_s - self._began_s < _DELAY_S:
                return
            self._make()
        self._bar.update(done - self._bar.n)
        if now_s - self._drawn_s >= _TURN_S:
            self._drawn_s = now_s
            self._bar.refresh()

    def _make(self) -> None:
        # Not before it is needed: it takes a while.
        with warnings.catch_warnings():
            # A notebook without its widgets gets a bar of characters.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self._total, unit=" tasks", leave=self._asked, dynamic_ncols=True)
        self._bar.start_t -= time.monotonic() - self._began_s

    def aside(self, stream: TextIO) -> AbstractContextManager[Any]:
        """Return a context in which something else is written, where the bar is not in its way."""
        if self._bar is None:
            return nullcontext()
        made: AbstractContextManager[Any] = self._bar.external_write_mode(file=stream)
        return made

    def close(self) -> None:
        """Take the bar away, or leave it as it ended."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self.shown = None, False


def _is_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def _is_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
