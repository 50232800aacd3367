"""Workers whose instructions are declared as a footprint, by the library `footprints`."""

import logging
from collections.abc import Mapping
from typing import Any

# The library gives the root logger a handler and another level, which are the user's to choose.
_before = (logging.root.handlers[:], logging.root.level)
from footprints import FootprintBase, FootprintBaseMeta, collectors, priorities, reporting  # noqa: E402

logging.root.handlers[:], logging.root.level = _before

from nws.taylorism import _fields  # noqa: E402
from nws.taylorism._registry import Fit  # noqa: E402

__all__ = ["DEFAULT_PRIORITY", "Base", "ByFootprint", "discard"]

DEFAULT_PRIORITY: int = priorities.top.DEFAULT.rank


class ByFootprint:
    """The style of a class that has a footprint; what fits it is for the library to say."""

    def __init__(self, cls: Any) -> None:
        """Ask this class."""
        self._cls = cls

    def fit(self, instructions: Mapping[str, Any]) -> Fit | None:
        """Return how a worker with these instructions is made; None where they do not fit."""
        resolved, taken = self._cls.footprint_couldbe(dict(instructions))
        if not resolved:
            return None
        return Fit(self._cls.footprint_weight(len(taken)), lambda: self._cls(resolved, checked=True))

    def lacks(self, instructions: Mapping[str, Any]) -> str:
        """Say which attributes do not fit, and why."""
        log = reporting.FootprintLog(weak=False)
        log.add(collector=collectors.get(tag="worker"))
        self._cls.footprint_couldbe(dict(instructions), report=log)
        told = [
            f"{attribute}: {entry.get('why', '')}{_argument(entry.get('args'))}"
            for found in log.last.as_dict().values()
            for attribute, entry in found.items()
            if isinstance(entry, dict)
        ]
        return ", ".join(told) or "its footprint does not match"


def _argument(value: object) -> str:
    return "" if value is None else f" ({value!r})"


class Meta(FootprintBaseMeta):  # type: ignore[misc]  # footprints has no types
    """Makes classes of workers: with a footprint as the library does, with annotated fields past it.

    A class that came by value is made empty, and filled afterwards; it is not entered anywhere before that.
    """

    def __new__(meta, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        """Find out how this class declares its instructions, and let the library make it."""
        style = namespace.setdefault("_declared_by", _style(name, bases, namespace))
        if style != "footprint":
            namespace["_base_only"] = namespace.get("_abstract", False)
            # The library wants nothing more of a class that it takes for an abstract one.
            namespace["_abstract"] = True
            if "name" in namespace:
                namespace["_default_name"] = namespace.pop("name")
        return super().__new__(meta, name, bases, namespace)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        """Enter the class where workers are looked for."""
        super().__init__(name, bases, namespace)
        if _fields.is_whole(namespace) and hasattr(cls, "_enter"):
            cls._enter()


def _style(name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> str | None:
    inherited = {style for base in bases if (style := getattr(base, "_declared_by", None))}
    if "_footprint" in namespace:
        inherited.add("footprint")
    elif _fields.declares(namespace) and "footprint" not in inherited:
        inherited.add("fields")
    if len(inherited) > 1:
        raise TypeError(
            f"the class {name} declares its instructions by a footprint and its bases do so by annotated fields, "
            "or the other way round; choose one of the two"
        )
    return inherited.pop() if inherited else None


def discard(cls: type) -> None:
    """Take a class that was defined anew out of the library's collector."""
    collectors.get(tag="worker").discard(cls)


class Base(FootprintBase, metaclass=Meta):  # type: ignore[misc]  # footprints has no types
    """What all workers are, for the library: things with a name, in the collector `worker`."""

    _declared_by = None
    _collector = ("worker",)
    _footprint = {  # noqa: RUF012 (the library's own way)
        "attr": {"name": {"info": "What the worker is called.", "optional": True, "default": None, "access": "rwx"}}
    }
