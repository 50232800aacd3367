"""Pickles functions and classes by value where they cannot be imported.

Built on cloudpickle, from which it differs in three things: functions of one module share one lasting namespace in the
process that they come to (see `_namespace`); a class that comes back to the process that it was defined in is that
class, untouched; and whether a module can be imported is asked of the import system rather than of `sys.modules`.
"""

import contextlib
import functools
import io
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import cloudpickle.cloudpickle as cp

from nws._namespace import CACHED, ORIGIN, Key, Merge, digests, importable, key_of, namespace

__all__ = ["Shipment", "dumps_by_value"]

# Classes that were built here from what another process sent, and what each was given.
_rebuilt: weakref.WeakKeyDictionary[type, Merge] = weakref.WeakKeyDictionary()


def dumps_by_value(
    obj: object, reply: bool = False, keep: Callable[[pickle.PickleBuffer], bool] | None = None
) -> bytes:
    """Pickle `obj`; what cannot be imported goes by value.

    With `reply`, classes that came from another process go back to it by reference. Buffers for which `keep` is false
    are left out.
    """
    with io.BytesIO() as file:
        _Pickler(file, reply, keep).dump(obj)
        return file.getvalue()


class Shipment:
    """What is sent to workers once, and values that refer to the classes in it.

    A script's own class would travel with each of its instances. Here it goes with the shipment, and instances that
    `dumps` pickles afterwards only name it, which is some fifty times as fast. The receiver must have loaded the
    shipment before.
    """

    def __init__(self, parts: object, samples: Iterable[object]) -> None:
        """Pickle `parts`, and with them the classes of `samples`; samples that cannot be pickled are passed over."""
        classes: set[type] = set()
        for sample in samples:
            with io.BytesIO() as file, contextlib.suppress(Exception):
                pickler = _Pickler(file, False)
                pickler.dump(sample)
                classes |= pickler.by_value
        with io.BytesIO() as file:
            pickler = _Pickler(file, False)
            pickler.dump(_Shipped(parts, tuple(classes)))
            self.data = file.getvalue()
        self._classes = pickler.by_value

    def dumps(self, obj: object) -> bytes:
        """Pickle `obj` for who has loaded the shipment."""
        with io.BytesIO() as file:
            try:
                _Instances(file, self._classes).dump(obj)
            except Exception:
                return dumps_by_value(obj)
            return file.getvalue()


class _Shipped(NamedTuple):
    parts: object
    classes: tuple[type, ...]

    def __reduce__(self) -> Any:
        return _unpack, (self.parts, self.classes)


# Instances that are still to come find their class only while somebody holds it.
_unpacked: set[type] = set()


def _unpack(parts: object, classes: tuple[type, ...]) -> object:
    _unpacked.update(classes)
    return parts


class _Instances(pickle.Pickler):
    def __init__(self, file: io.BytesIO, classes: set[type]) -> None:
        super().__init__(file, protocol=5)
        self._classes = classes

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type):
            if obj in self._classes:
                return _known_class, (cp._get_or_create_tracker_id(obj), obj.__module__, obj.__qualname__)
            if obj.__module__ == "builtins" or _by_reference(obj):
                return NotImplemented
        elif not isinstance(obj, types.FunctionType | types.ModuleType | CACHED) or (
            isinstance(obj, types.FunctionType) and _by_reference(obj)
        ):
            return NotImplemented
        raise pickle.PicklingError(f"{obj!r} is not in the shipment")


def _by_reference(obj: Any) -> bool:
    if not cp._should_pickle_by_reference(obj):
        return False
    module = getattr(obj, "__module__", None)
    return module is None or importable(module)


def _wanted_by_value(module: str) -> bool:
    return bool(cp._is_registered_pickle_by_value(sys.modules[module]))


class _Pickler(cp.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    def __init__(
        self, file: io.BytesIO, reply: bool, keep: Callable[[pickle.PickleBuffer], bool] | None = None
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=keep)
        self._reply = reply
        self.by_value: set[type] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType):
            return NotImplemented if _by_reference(obj) else self._reduce_function(obj)
        if issubclass(type(obj), type):
            standing_for_itself = obj in (type(None), type(Ellipsis), type(NotImplemented))
            if standing_for_itself or obj in cp._BUILTIN_TYPE_NAMES or _by_reference(obj):
                return super().reducer_override(obj)
            return self._reduce_class(obj)
        if isinstance(obj, CACHED) and not _found_by_name(obj):
            return self._reduce_cached(obj)
        return super().reducer_override(obj)

    def _reduce_function(self, func: types.FunctionType) -> Any:
        key = key_of(func.__globals__, _wanted_by_value)
        state, slots = cp._function_getstate(func)
        names = slots.pop("__globals__")
        sent: dict[str, Any] = {}
        if not key.imported:
            # Relative imports within the function need these. Not `__file__`: with it, `multiprocessing` in a worker
            # would run the script again.
            package = {name: value for name in ("__package__", "__path__") if (value := func.__globals__.get(name))}
            sent = package | names
        closure = func.__closure__
        made = (func.__code__, key, None if closure is None else len(closure))
        return _make_function, made, (state, slots, sent, digests(sent)), None, None, _fill_function

    def _reduce_cached(self, cached: Any) -> Any:
        func, parameters = cached.__wrapped__, cached.cache_parameters()
        if not isinstance(func, types.FunctionType) or _by_reference(func):
            return _make_cached, (func, parameters)
        # The function may call itself by the name that the cache has, so both are made before either is filled.
        _, made, state, _, _, _ = self._reduce_function(func)
        return _make_function_cached, (made, parameters), state, None, None, _fill_cached

    def _reduce_class(self, cls: type) -> Any:
        if self._reply and cls in _rebuilt:
            return _known_class, (cp._get_or_create_tracker_id(cls), cls.__module__, cls.__qualname__)
        self.by_value.add(cls)
        make, args, (attributes, slots), _, _, _ = cp._dynamic_class_reduce(cls)
        if make is cp._make_skeleton_class and "__slots__" in cls.__dict__ and not issubclass(cls, tuple):
            # Slots work only where the class is born with them.
            args = (*args[:3], args[3] | {"__slots__": cls.__dict__["__slots__"]}, *args[4:])
        module = sys.modules.get(cls.__module__)
        # Only a class that its name leads to here may be found by that name there.
        named = getattr(module, "__dict__", {}).get(cls.__name__) is cls and cls.__qualname__ == cls.__name__
        key = Key(ORIGIN, cls.__module__, "", False) if named else None
        return _make_class, (make, args, key), (attributes, slots, digests(attributes)), None, None, _fill_class


def _found_by_name(obj: Any) -> bool:
    module = sys.modules.get(obj.__module__)
    return importable(obj.__module__) and getattr(module, obj.__qualname__, None) is obj


def _make_cached(func: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(func)


def _make_function_cached(made: tuple[types.CodeType, Key, int | None], parameters: dict[str, Any]) -> Any:
    return _make_cached(_make_function(*made), parameters)


def _fill_cached(cached: Any, state: Any) -> None:
    _fill_function(cached.__wrapped__, state)
    functools.update_wrapper(cached, cached.__wrapped__)


def _names_of(key: Key) -> dict[str, Any]:
    found = namespace(key)
    return found.names if isinstance(found, Merge) else found


def _make_function(code: types.CodeType, key: Key, cells: int | None) -> types.FunctionType:
    names = _names_of(key)
    names.setdefault("__builtins__", __builtins__)
    closure = None if cells is None else tuple(types.CellType() for _ in range(cells))
    function = types.FunctionType(code, names, None, None, closure)
    _keys[function] = key
    return function


# Between the making of a function and its filling, which a pickle that refers to itself sets apart.
_keys: weakref.WeakKeyDictionary[types.FunctionType, Key] = weakref.WeakKeyDictionary()


def _fill_function(
    function: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, bytes]]
) -> None:
    attributes, slots, sent, digest_of = state
    target = namespace(_keys.pop(function))
    if isinstance(target, Merge):
        target.update(sent, digest_of)
    # cloudpickle's own filler merges without looking at what is there, so it is given nothing to merge.
    cp._function_setstate(function, (attributes, slots | {"__globals__": {}}))


def _make_class(make: Callable[..., type], args: tuple[Any, ...], key: Key | None) -> type:
    tracker = args[-2]
    known = cp._DYNAMIC_CLASS_TRACKER_BY_ID.get(tracker)
    if known is not None:
        cls: type = known
    else:
        cls = make(*args)
        _rebuilt[cls] = Merge({})
    if key is not None and cls in _rebuilt:
        target = namespace(key)
        if isinstance(target, Merge):
            target.update({cls.__name__: cls}, {})
    return cls


def _fill_class(cls: type, state: tuple[dict[str, Any], dict[str, Any], dict[str, bytes]]) -> None:
    merge = _rebuilt.get(cls)
    if merge is None:  # it is this process's own class
        return
    attributes, slots, digest_of = state
    merge.names = dict(cls.__dict__) if merge.names else {}
    wanted = merge.wanted(attributes, digest_of)
    cp._class_setstate(cls, (wanted, slots))
    # Read back: a metaclass may have made something else of what it was given.
    merge.names = dict(cls.__dict__)
    merge.bound(wanted, digest_of)


def _known_class(tracker: str, module: str, qualname: str) -> type:
    known = cp._DYNAMIC_CLASS_TRACKER_BY_ID.get(tracker)
    if known is None:
        known = sys.modules.get(module)
        for name in qualname.split("."):
            known = getattr(known, name, None)
    if not isinstance(known, type):
        raise pickle.UnpicklingError(
            f"expected the class {module}.{qualname}, which this process sent; it does not exist any more"
        )
    return known
