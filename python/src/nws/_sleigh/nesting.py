"""Keeps workers from starting workers without end."""

import sys
from types import FrameType

from nws._namespace import is_worker
from nws._sleigh.exceptions import SleighException

__all__ = ["module_being_imported", "refuse_while_imported"]

_IMPORT = "<frozen importlib._bootstrap>"


def refuse_while_imported() -> None:
    """Raise where a worker makes a sleigh while it imports a module.

    The workers of that sleigh would import the module as well, make a sleigh each, and so on until the machine is full.
    A sleigh that a task makes is fine: it is made once.
    """
    module = module_being_imported()
    if module is not None:
        raise SleighException(
            f"module {module!r} makes a Sleigh when it is imported, and every worker imports it; "
            "make the sleigh in a function, or below `if __name__ == '__main__':`"
        )


def module_being_imported() -> str | None:
    """Return the name of the module that this worker imports now; None where it imports none, or is no worker."""
    if not is_worker():
        return None
    frame: FrameType | None = sys._getframe(1)
    module = "?"
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            module = frame.f_globals.get("__name__", "?")
        elif frame.f_code.co_filename == _IMPORT:
            return module
        frame = frame.f_back
    return None
