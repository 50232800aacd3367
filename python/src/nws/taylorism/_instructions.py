"""What goes to a Boss, in the form in which it goes, and what comes back."""

import pickle
from collections.abc import Mapping, Sequence, Sized
from typing import Any

from nws import _pickle
from nws.taylorism._failures import UnevenInstructions

__all__ = ["loaded", "pickled", "sets", "told"]


def sets(common: Mapping[str, Any], individual: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return the instructions of each worker."""
    for which, given in (("common", common), ("individual", individual)):
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise TypeError(f"{which}_instructions: expected a dict with names of instructions, got {given!r}")
    for name, values in individual.items():
        if isinstance(values, str | bytes | Mapping | set | frozenset) or not isinstance(values, Sized):
            raise TypeError(
                f"individual_instructions[{name!r}]: expected a list with an item for each worker, "
                f"got a {type(values).__name__}"
            )
    lengths = {name: len(values) for name, values in individual.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise UnevenInstructions(f"individual_instructions: expected lists of one length, but {told}")
    count = next(iter(lengths.values()), 0)
    return [{**common, **{name: values[index] for name, values in individual.items()}} for index in range(count)]


def pickled(value: object, what: str) -> bytes:
    try:
        return _pickle.dumps(value)
    except Exception as error:
        raise TypeError(f"{what} cannot be sent to the Boss's process: {_pickle.explain(value, error)}") from error


def told(cls: type) -> tuple[str, bytes, str]:
    """Return what the Boss is told of a class of workers."""
    try:
        return cls.__qualname__, _pickle.dumps_function(cls), ""
    except Exception as error:
        return cls.__qualname__, b"", f"it cannot be sent to the Boss: {_pickle.explain(cls, error)}"


def loaded(name: str, report: memoryview) -> Any:
    try:
        return pickle.loads(report)
    except Exception as error:
        error.add_note(f"the report of the worker {name} came, but cannot be unpickled here")
        raise
