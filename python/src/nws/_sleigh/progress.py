"""A bar that shows how far a run is."""

import sys
from typing import Any

__all__ = ["Progress"]

_DELAY_S = 1.0


class Progress:
    """A bar after the first second on a terminal; at once where it was asked for; none where that was refused."""

    def __init__(self, wanted: bool | None, total: int | None) -> None:
        self._bar: Any = None
        if wanted or (wanted is None and _is_terminal()):
            from tqdm.auto import tqdm

            delay = 0.0 if wanted else _DELAY_S
            self._bar = tqdm(total=total, unit=" tasks", delay=delay, leave=bool(wanted), dynamic_ncols=True)

    @property
    def shown(self) -> bool:
        """Whether there is a bar to move."""
        return self._bar is not None

    def move(self, done: int) -> None:
        """Show that so many tasks are done."""
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the bar away, or leave it as it ended."""
        if self._bar is not None:
            self._bar.close()


def _is_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False
