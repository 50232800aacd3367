"""How objects that are not plain become bytes, and back.

The C pickler does it where it can. What it cannot do, or would do by referring to a module that other processes cannot
import (`__main__` above all), goes by value: see `_byvalue`.
"""

import json
import pickle
import sys
import types
from collections.abc import Callable, Iterable

from nws._namespace import become_worker, importable, main_is_clean

__all__ = [
    "Shipment",
    "become_worker",
    "dumps",
    "dumps_function",
    "dumps_result",
    "dumps_with_buffers",
    "explain",
    "json_text",
    "loads",
]

PROTOCOL = 5
# A buffer from this size on goes beside the pickle, from where it lies; a smaller one is cheaper to copy.
BUFFER_BYTES = 32 * 1024

loads = pickle.loads


def explain(obj: object, exc: BaseException) -> str:
    """Say which part of `obj` cannot be pickled: see `nws._explain.explain`."""
    from nws._explain import explain

    return explain(obj, exc)


_Keep = Callable[[pickle.PickleBuffer], bool]


def _dumps_by_value(obj: object, reply: bool = False, keep: _Keep | None = None) -> bytes:
    # Imported when needed: it takes longer than all else that a worker imports.
    from nws._byvalue import dumps_by_value

    return dumps_by_value(obj, reply, keep)


_marks: tuple[bytes, ...] = (b"__main__",)
_marks_hold_for: tuple[int, int] = (-1, -1)


def _local_modules() -> tuple[bytes, ...]:
    """Return the names of the modules here that others cannot import; what contains one is pickled with more care."""
    global _marks, _marks_hold_for
    cloudpickle = sys.modules.get("cloudpickle.cloudpickle")
    by_value: set[str] = cloudpickle.list_registry_pickle_by_value() if cloudpickle is not None else set()
    now = (len(sys.modules), len(by_value))
    if now != _marks_hold_for:
        local = {name for name, module in list(sys.modules.items()) if _is_local(name, module)}
        _marks = tuple(name.encode() for name in sorted(local | by_value | {"__main__"}))
        _marks_hold_for = now
    return _marks


def _is_local(name: str, module: object) -> bool:
    # Modules within a package are judged with it.
    return "." not in name and isinstance(module, types.ModuleType) and not importable(name)


def dumps(obj: object) -> bytes:
    """Pickle `obj` for any other process that has the same modules installed."""
    try:
        data = pickle.dumps(obj, PROTOCOL)
    except Exception:  # the by-value pickler can more, and where it cannot, its error is the one to raise
        return _dumps_by_value(obj)
    return _dumps_by_value(obj) if any(mark in data for mark in _local_modules()) else data


def dumps_with_buffers(obj: object) -> tuple[bytes, list[memoryview]]:
    """Pickle `obj` as `dumps` does, without its large buffers (numpy's arrays have some): they follow in a list."""
    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < BUFFER_BYTES:
            return True
        buffers.append(raw)
        return False

    try:
        data = pickle.dumps(obj, PROTOCOL, buffer_callback=keep)
    except Exception:  # as in `dumps`
        marked = True
    else:
        marked = any(mark in data for mark in _local_modules())
    if marked:
        buffers.clear()
        data = _dumps_by_value(obj, keep=keep)
    return data, buffers


def json_text(obj: object) -> str:
    """Write `obj` as JSON; what JSON cannot say, such as NaN, is a `ValueError` or `TypeError`."""
    return json.dumps(obj, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def dumps_function(fun: object) -> bytes:
    """Pickle a function, or what holds functions, for a worker."""
    return _dumps_by_value(fun)


class Shipment:
    """A function and what belongs to it for workers, as `data`; `dumps` pickles values for who has loaded it.

    Classes that cannot be imported, and that `samples` are of, go with the function rather than with each value.
    """

    def __init__(self, parts: object, samples: Iterable[object] = ()) -> None:
        """Pickle `parts`, as `dumps_function` would."""
        from nws._byvalue import Shipment

        self._shipment = Shipment(parts, samples)
        self.data = self._shipment.data

    def dumps(self, obj: object) -> bytes:
        """Pickle a value."""
        try:
            data = pickle.dumps(obj, PROTOCOL)
        except Exception:
            return self._shipment.dumps(obj)
        return self._shipment.dumps(obj) if any(mark in data for mark in _local_modules()) else data


def dumps_result(obj: object) -> bytes:
    """Pickle, in a worker, what a task gave, for the process that the task's function came from.

    Instances of that process's own classes come back to it as such.
    """
    try:
        data = pickle.dumps(obj, PROTOCOL)
    except Exception:
        return _dumps_by_value(obj, reply=True)
    marked = [mark for mark in _local_modules() if mark in data]
    if not marked or (marked == [b"__main__"] and main_is_clean()):
        return data
    return _dumps_by_value(obj, reply=True)
