"""Says which part of an object it is that cannot be pickled."""

import functools
import types
from collections.abc import Iterator
from typing import Any

from nws._byvalue import dumps_by_value

__all__ = ["explain"]

_DEPTH = 20
# Most parts that are tried: each try costs a pickling.
_TRIES = 20_000
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def explain(obj: object, exc: BaseException) -> str:
    """Return the path from `obj` to the part of it that cannot be pickled, and that part's type.

    `exc` is what pickling `obj` raised; it is given in full where no part can be blamed.
    """
    tries = [_TRIES]
    path: list[str] = []
    seen: set[int] = set()
    blamed, cause = obj, exc
    while len(path) < _DEPTH:
        seen.add(id(blamed))
        found = _first_bad_part(blamed, seen, tries)
        if found is None:
            break
        label, blamed, cause = found
        path.append(label)
    path.append(f"{_type_name(blamed)} ({_one_line(cause)})")
    return ": ".join(path)


def _first_bad_part(obj: object, seen: set[int], tries: list[int]) -> tuple[str, Any, BaseException] | None:
    for label, part in _parts(obj):
        if isinstance(part, _PLAIN) or id(part) in seen:
            continue
        tries[0] -= 1
        if tries[0] < 0:
            return None
        try:
            dumps_by_value(part)
        except Exception as exc:
            return label, part, exc
    return None


def _parts(obj: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(obj, dict):
        for key, value in list(obj.items()):
            yield f"item {_short(key)} of the {_type_name(obj)}", value
            yield f"key {_short(key)} of the {_type_name(obj)}", key
    elif isinstance(obj, list | tuple):
        for at, item in enumerate(obj):
            yield f"item {at} of the {_type_name(obj)}", item
    elif isinstance(obj, set | frozenset):
        for item in obj:
            yield f"item {_short(item)} of the {_type_name(obj)}", item
    elif isinstance(obj, types.FunctionType):
        yield from _function_parts(obj)
    elif isinstance(obj, types.MethodType):
        yield f"the object of the method {obj.__func__.__qualname__}", obj.__self__
        yield f"the function of the method {obj.__func__.__qualname__}", obj.__func__
    elif isinstance(obj, functools.partial):
        yield "the function of the partial", obj.func
        yield "the arguments of the partial", obj.args
        yield "the keywords of the partial", obj.keywords
    elif isinstance(obj, type):
        for name, value in list(vars(obj).items()):
            if not isinstance(value, types.GetSetDescriptorType | types.MemberDescriptorType):
                yield f"attribute {name!r} of the class {obj.__qualname__}", value
    elif isinstance(obj, staticmethod | classmethod):
        yield "the function of the method", obj.__func__
    if not isinstance(obj, type | types.FunctionType) and not _refuses(obj):
        yield from _attributes(obj)


def _refuses(obj: Any) -> bool:
    """Whether the object's own class says that it cannot be pickled: then none of its parts is to blame."""
    if isinstance(type(obj).__reduce__, types.FunctionType):
        try:
            obj.__reduce__()
        except Exception:
            return True
    return False


def _function_parts(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    name = function.__qualname__
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f"variable {variable!r} that {name} closes over", cell.cell_contents
        except ValueError:
            continue
    for at, default in enumerate(function.__defaults__ or ()):
        yield f"default {at} of {name}", default
    for keyword, default in (function.__kwdefaults__ or {}).items():
        yield f"default of {keyword!r} of {name}", default
    for used in _names_used(function.__code__):
        if used in function.__globals__:
            yield f"global {used!r} of {name}", function.__globals__[used]
    for attribute, value in vars(function).items():
        yield f"attribute {attribute!r} of {name}", value


def _names_used(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_used(constant)
    return names


def _attributes(obj: Any) -> Iterator[tuple[str, Any]]:
    owner = _type_name(obj)
    names = dict(getattr(obj, "__dict__", None) or {})
    for cls in type(obj).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else tuple(slots):
            if hasattr(obj, slot):
                names.setdefault(slot, getattr(obj, slot))
    for name, value in names.items():
        yield f"attribute {name!r} of the {owner}", value


def _type_name(obj: object) -> str:
    cls = type(obj)
    return cls.__qualname__ if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}.{cls.__qualname__}"


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{_type_name(value)}>"
    return text if len(text) <= 60 else text[:57] + "..."


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
