"""Instructions that a worker class declares as annotated fields."""

import inspect
import numbers
import sys
import types
import typing
import weakref
from collections.abc import Mapping
from typing import Any, ClassVar, Final, NamedTuple

from nws.taylorism._registry import Fit

__all__ = ["ByFields", "Field", "declares", "fields_of", "is_whole", "refused"]

_NOTHING = object()
_known: "weakref.WeakKeyDictionary[type, dict[str, Field]]" = weakref.WeakKeyDictionary()


class Field(NamedTuple):
    """One field: the type of its values (any, where it cannot be told), and whether it may be left out."""

    kind: Any
    optional: bool


def declares(namespace: Mapping[str, Any]) -> bool:
    """Whether a class body with these names annotates something."""
    return any(name in namespace for name in ("__annotations__", "__annotate__", "__annotate_func__"))


def is_whole(namespace: Mapping[str, Any]) -> bool:
    """Whether this is the body of a class, rather than what a class that comes by value begins with."""
    return any(name in namespace for name in ("__qualname__", "_footprint", "_task")) or declares(namespace)


def fields_of(cls: type, root: type) -> dict[str, Field]:
    """Return the fields of a class and of its bases below `root`, the bases' first."""
    if cls in _known:
        return _known[cls]
    found: dict[str, Field] = {}
    for base in reversed(cls.__mro__):
        if base is root or not issubclass(base, root):
            continue
        for name, kind in _annotations(base).items():
            if name.startswith("_") or typing.get_origin(kind) is ClassVar or kind is ClassVar:
                continue
            found[name] = Field(kind, hasattr(cls, name))
        # A subclass may give a field its value, so that it is no instruction any more but may be left out.
        for name in base.__dict__.keys() & found.keys():
            found[name] = found[name]._replace(optional=True)
    _known[cls] = found
    return found


def _annotations(cls: type) -> dict[str, Any]:
    """Return what a class itself annotates; a type that cannot be found is `Any`, so that values are not checked."""
    try:
        found: dict[str, Any] = dict(inspect.get_annotations(cls))
    except NameError:  # Python 3.14 evaluates them here
        from annotationlib import Format, get_annotations  # type: ignore[import-not-found, unused-ignore]

        found = get_annotations(cls, format=Format.STRING)
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
        return {name: hints.get(name, kind) for name, kind in found.items()}
    except Exception:
        names = {**getattr(sys.modules.get(cls.__module__), "__dict__", {}), **cls.__dict__}
        return {name: _evaluated(kind, names) if isinstance(kind, str) else kind for name, kind in found.items()}


def _evaluated(kind: str, names: dict[str, Any]) -> Any:
    try:
        return eval(kind, names)
    except Exception:
        return Any  # names of a function's body cannot be found any more


class ByFields:
    """The style of a class whose instructions are annotated fields."""

    def __init__(self, cls: type, root: type, priority: int) -> None:
        """Look at the class when it is first asked for: its annotations may name what is defined after it."""
        self._cls = cls
        self._root = root
        self._priority = priority

    def fit(self, instructions: Mapping[str, Any]) -> Fit | None:
        """Return how a worker with these instructions is made; None where they do not fit."""
        if self.lacks(instructions):
            return None
        names = [*fields_of(self._cls, self._root), "name"]
        taken = {name: instructions[name] for name in names if name in instructions}
        return Fit((self._priority, len(taken)), lambda: self._cls(**taken))

    def lacks(self, instructions: Mapping[str, Any]) -> str:
        """Say which fields do not fit, and why."""
        fields = fields_of(self._cls, self._root)
        if all(field.optional for field in fields.values()):
            return "it would fit all instructions; give it a field without a default"
        return ", ".join(_missing(fields, instructions))


def refused(fields: Mapping[str, Field], instructions: Mapping[str, Any]) -> str:
    """Say what keeps a worker with these fields from taking all of these instructions."""
    unknown = [f"{name} is no instruction of its" for name in instructions if name not in fields and name != "name"]
    return ", ".join([*_missing(fields, instructions), *unknown])


def _missing(fields: Mapping[str, Field], instructions: Mapping[str, Any]) -> typing.Iterator[str]:
    for name, field in fields.items():
        value = instructions.get(name, _NOTHING)
        if value is _NOTHING:
            if not field.optional:
                yield f"{name} is missing"
        elif not _is_of(value, field.kind):
            yield f"{name} is to be {inspect.formatannotation(field.kind)}, not {type(value).__name__}"


def _is_of(value: object, kind: Any) -> bool:
    """Whether a value is of an annotated type, as far as that can be told cheaply: contents are not looked at."""
    origin = typing.get_origin(kind)
    if kind is None:
        return value is None
    if origin in (typing.Union, types.UnionType):
        return any(_is_of(value, one) for one in typing.get_args(kind))
    if origin in (typing.Annotated, Final):
        return _is_of(value, typing.get_args(kind)[0])
    if origin is typing.Literal:
        return value in typing.get_args(kind)
    kind = {int: numbers.Integral, float: numbers.Real, complex: numbers.Complex}.get(kind, origin or kind)
    try:
        return isinstance(value, kind)
    except TypeError:
        return True  # Any, a type variable, a protocol that cannot be asked
