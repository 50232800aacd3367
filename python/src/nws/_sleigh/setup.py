"""What every worker of a sleigh is prepared with before it gets tasks, those that replace others as well."""

import pickle
import sys
from functools import partial

from nws import _native, _pickle
from nws._sleigh.failures import story_of
from nws._sleigh.functions import Function, name_of
from nws._sleigh.spaces import explained, regroup_here

__all__ = ["SetUp", "SetUpFailed", "label_of", "set_up"]

# In the sleigh's workspace: the pickled list of what workers run first.
_VARIABLE = "set-up"
_FIRST = "initializer"


class SetUp:
    """The master's side: an initializer, if there is one, and the definitions of `type='define'`."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[str, bytes]] = {}
        self._core: _native.SleighCore | None = None
        self._workspace: _native.Workspace | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether a worker must not begin without what will be stored."""
        return _FIRST in self._parts

    def initialize(self, name: str, data: bytes) -> None:
        """Have this run first."""
        self._parts[_FIRST] = (f"the initializer {name}", data)

    def define(self, name: str, data: bytes) -> None:
        """Have this definition run as well, in the place of an earlier one of this name."""
        self._parts[f"define {name}"] = (f"the definition of {name}", data)
        self._store()

    def regroup(self, group: list[int]) -> None:
        """Have workers that replace others count by what is left of the group, from their initializer on."""
        data = _pickle.Shipment((partial(regroup_here, group),), []).data
        self._parts = {"group": ("the group of workers", data), **self._parts}
        self._store()

    def open(self, core: _native.SleighCore) -> None:
        """Make it known to the workers of this sleigh."""
        self._core = core
        with explained(core):
            self._workspace = core.connection().open(core.workspace, False, False, False).wait()
        if self._parts:
            self._store()

    def _store(self) -> None:
        if self._core is not None and self._workspace is not None:
            with explained(self._core):
                self._workspace.declare(_VARIABLE, "single").wait()
                self._workspace.store(_VARIABLE, pickle.dumps(list(self._parts.values()))).wait()


class SetUpFailed(Exception):
    """A worker could not be prepared; says what failed."""


def set_up(loop: _native.WorkerLoop, awaited: bool) -> None:
    """Prepare this worker. Raises `SetUpFailed`, when the traceback has been printed."""
    workspace = loop.connection().open(loop.workspace, False, False, False).wait()
    stored = workspace.retrieve(_VARIABLE, False, None, not awaited, None).wait()
    if stored is None:
        return
    for what, data in pickle.loads(stored):
        try:
            function, *_ = _pickle.loads(data)
            function()
        except BaseException as error:
            kind, message, trace = story_of(error)
            print(trace.rstrip(), file=sys.stderr, flush=True)
            raise SetUpFailed(f"{what} failed with {': '.join(filter(None, (kind, message)))}") from None


def label_of(fun: Function) -> str:
    """Return what to call an initializer in messages: its name, or the first line of its text."""
    name = name_of(fun).rpartition("<locals>.")[2]
    return name if len(name) <= 60 else f"{name[:57]}..."
