"""What a worker is: its instructions, and what it does with them."""

import os
import uuid
from typing import TYPE_CHECKING, Any, Protocol

from nws.taylorism import _fields
from nws.taylorism._registry import Registry

# The part that is there where the library `footprints` is.
_footprints: Any = None
try:
    from nws.taylorism import _footprints as _found
except ModuleNotFoundError as absent:
    if absent.name != "footprints":
        raise
else:
    _footprints = _found

__all__ = ["Employer", "Worker", "registry"]


class Employer(Protocol):
    """Who starts a worker's process, and ends it."""

    def start(self, worker: "Worker") -> None:
        """Start its process."""

    def wait_for(self, worker: "Worker") -> None:
        """Return when its process has ended."""

    def stop(self, worker: "Worker") -> None:
        """End its process."""


registry = Registry()
"""The worker classes that this process knows."""


class _Plain(type):
    """Does for classes of workers what the library's metaclass does where it is installed."""

    def __new__(meta, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        inherited = any(getattr(base, "_declared_by", None) for base in bases)
        if "_footprint" in namespace:
            raise TypeError(
                f"the class {name} declares a footprint, which takes the library footprints: "
                'pip install "networkspaces[footprints]", or declare its instructions as annotated fields'
            )
        namespace.setdefault("_declared_by", "fields" if inherited or _fields.declares(namespace) else None)
        namespace["_base_only"] = namespace.get("_abstract", False)
        if "name" in namespace:
            namespace["_default_name"] = namespace.pop("name")
        return super().__new__(meta, name, bases, namespace)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        if _fields.is_whole(namespace) and hasattr(cls, "_enter"):
            cls._enter()


_PRIORITY = 0 if _footprints is None else _footprints.DEFAULT_PRIORITY

if TYPE_CHECKING or _footprints is None:

    class _Base(metaclass=_Plain):
        _declared_by: str | None = None
else:
    _Base = _footprints.Base


class Worker(_Base):
    """A task with its instructions; each worker does its task in a process of its own.

    A subclass declares the instructions, and does the work in `_task`; what that returns is the worker's report. The
    instructions are annotated fields, with defaults for those that may be left out:

        >>> from nws.taylorism import Worker
        >>> class Sleeper(Worker):
        ...     seconds: float
        ...     says: str = "Good morning"
        ...
        ...     def _task(self):
        ...         time.sleep(self.seconds)
        ...         return self.says

    or, where the library `footprints` is installed, a `_footprint`. A Boss finds by itself which class its instructions
    are for. A class with `_abstract = True` is only there for others to inherit from.

    `name` is a unique text where the instructions give none.
    """

    __module__ = "nws.taylorism"
    _declared_by: str | None = None
    _abstract = True
    _default_name: str | None = None
    _base_only = True
    _employer: Employer | None = None
    _instructions: dict[str, Any]
    if TYPE_CHECKING:
        name: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the instructions, by keyword.

        Raises `TypeError` where one is missing, unknown or of another type; by footprint, what `footprints` raises.
        """
        if type(self)._declared_by == "footprint":
            super().__init__(*args, **kwargs)
        else:
            self._take(args, kwargs)
        self._instructions = {}
        if getattr(self, "name", None) is None:
            self.name = str(uuid.uuid4())

    def _take(self, args: tuple[Any, ...], instructions: dict[str, Any]) -> None:
        """Make the instructions attributes."""
        cls = type(self)
        if cls is Worker or cls._base_only:
            raise TypeError(f"{cls.__qualname__} is only there to be inherited from")
        if args:
            raise TypeError(f"expected the instructions of {cls.__qualname__} by keyword, got {args[0]!r} without one")
        # What the library's own __init__ would make.
        self._attributes: dict[str, Any] = {}
        self._puredict = None
        self._observer: Any = None
        wrong = _fields.refused(_fields.fields_of(cls, Worker), instructions)
        if wrong:
            raise TypeError(f"{cls.__qualname__}: {wrong}")
        self.name = instructions.pop("name", cls._default_name)
        for name, value in instructions.items():
            setattr(self, name, value)

    def _task(self, **kwargs: Any) -> Any:
        """Do the work, in the worker's own process, and return the report; subclasses say how."""
        raise NotImplementedError(f"{type(self).__qualname__} has no _task: define it, to say what this worker does")

    def work(self) -> None:
        """Send the worker to its work: its process starts, and this returns at once.

        A Boss calls this. A worker that was made by hand may be sent to work, too; its report goes nowhere.
        """
        self._employer_of().start(self)

    def bye(self) -> None:
        """Wait until the worker has done its work. To be called by others, never by the worker itself.

        Raises `RuntimeError` in the worker's own process, where it would wait for ever, and where it was not sent to
        work; what the worker has failed with, where it was made by hand.
        """
        self._employer_of().wait_for(self)

    def stop_working(self) -> None:
        """Make the worker stop: its process gets SIGTERM, which unwinds its task, and two seconds later SIGKILL."""
        self._employer_of().stop(self)

    def binding(self) -> set[int]:
        """Return the numbers of the cores that this process may run on."""
        return os.sched_getaffinity(0)

    def _employer_of(self) -> Employer:
        if self._employer is None:
            from nws.taylorism._boss import Alone  # which needs this module

            self._employer = Alone()
        return self._employer

    @classmethod
    def _enter(cls) -> None:
        """Make this class known to those who look for one that fits instructions."""
        if cls._declared_by == "footprint":
            if cls._abstract:
                return
            old = registry.add(cls, _footprints.ByFootprint(cls))
        elif cls._declared_by == "fields" and not cls._base_only:
            old = registry.add(cls, _fields.ByFields(cls, Worker, _PRIORITY))
        else:
            return
        if old is not None and _footprints is not None:
            _footprints.discard(old)
