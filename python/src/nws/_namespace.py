"""Where functions that came by value find their global names.

A function that travels by value is given, in the process that it comes to, one lasting dictionary of global names for
each module that such functions come from. So one function's `global x` is seen by the next one of the same module.

What the sender's function refers to is merged into that dictionary. A name that this process bound itself, or bound
anew, keeps the value that it has here; so does one whose value the sender sends unchanged, as it may have been filled
here. Every other name is given the value that was sent.
"""

import functools
import importlib
import marshal
import os
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

__all__ = [
    "ORIGIN",
    "Key",
    "Merge",
    "become_worker",
    "digests",
    "importable",
    "is_worker",
    "key_of",
    "main_is_clean",
    "namespace",
]

# Names this process in what it sends. A forked child keeps it: it has the same modules.
ORIGIN = os.urandom(16).hex()

CACHED = type(functools.lru_cache(lambda: None))
"""The type of what `functools.lru_cache` makes."""

_TOKEN = "__nws_namespace__"
_MISSING = object()
# Values of these types cannot change in place; that they came unchanged means nothing.
_FIXED = (type(None), bool, int, float, complex, str, bytes, type, types.FunctionType, types.ModuleType)


class Key(NamedTuple):
    """Which dictionary of global names a function has.

    `token` tells dictionaries of one name apart that are no module's, such as those of doctests; `imported` says that
    the receiver is to import the module rather than to be sent its names.
    """

    origin: str
    module: str
    token: str
    imported: bool


class Merge:
    """One namespace and what was put into it from outside."""

    def __init__(self, names: dict[str, Any]) -> None:
        """Keep the book of what is merged into `names`."""
        self.names = names
        self._sent: dict[str, tuple[object, bytes | None]] = {}

    def wanted(self, sent: Mapping[str, Any], digest_of: Mapping[str, bytes]) -> dict[str, Any]:
        """Return the part of `sent` that is to be bound here."""
        wanted = {}
        for name, value in sent.items():
            here = self.names.get(name, _MISSING)
            before, digest = self._sent.get(name, (_MISSING, None))
            own = here is not _MISSING and here is not before
            unchanged = here is not _MISSING and digest is not None and digest == digest_of.get(name)
            if not own and not unchanged:
                wanted[name] = value
        return wanted

    def bound(self, names: Iterable[str], digest_of: Mapping[str, bytes]) -> None:
        """Remember that these names have been bound to what was sent."""
        for name in names:
            if name in self.names:
                self._sent[name] = (self.names[name], digest_of.get(name))

    def update(self, sent: Mapping[str, Any], digest_of: Mapping[str, bytes]) -> None:
        """Bind what of `sent` is to be bound."""
        wanted = self.wanted(sent, digest_of)
        self.names.update(wanted)
        self.bound(wanted, digest_of)

    def came_from_outside(self, name: str) -> bool:
        """Whether this name has the value that was sent last."""
        return name in self._sent and self.names.get(name, _MISSING) is self._sent[name][0]


_merges: dict[tuple[str, str, str], Merge] = {}
_worker_main: Merge | None = None


def become_worker() -> types.ModuleType:
    """Give this process a new, empty `__main__`, which is the namespace of functions of other processes' `__main__`."""
    global _worker_main
    main = types.ModuleType("__main__")
    # Left to the first function that comes: relative imports within it need it.
    del main.__dict__["__package__"]
    sys.modules["__main__"] = main
    _worker_main = Merge(main.__dict__)
    return main


def namespace(key: Key) -> Merge | dict[str, Any]:
    """Return the dictionary of global names for functions with this key; a `Merge` where names are to be sent to it."""
    if key.imported:
        return importlib.import_module(key.module).__dict__
    if key.origin == ORIGIN and not key.token and key.module in sys.modules:
        return sys.modules[key.module].__dict__
    if _worker_main is not None and key.module == "__main__" and not key.token:
        return _worker_main
    # A worker has one namespace a module, whoever sends; elsewhere senders do not get into each other's way.
    place = ("" if _worker_main is not None else key.origin, key.module, key.token)
    if place not in _merges:
        _merges[place] = Merge({"__name__": key.module})
    return _merges[place]


def is_worker() -> bool:
    """Whether this process is a worker, or a child that one forked."""
    return _worker_main is not None


def main_is_clean() -> bool:
    """Whether every function and class in this worker's `__main__` came from outside: then its names mean the same."""
    if _worker_main is None:
        return False
    return all(
        _worker_main.came_from_outside(name)
        for name, value in list(_worker_main.names.items())
        if isinstance(value, type | types.FunctionType) and value.__module__ == "__main__"
    )


def key_of(names: dict[str, Any], by_value: Callable[[str], bool]) -> Key:
    """Return the key of the dictionary of global names of a function here.

    `by_value` tells of a module whether the user wants it by value although it could be imported.
    """
    module = names.get("__name__")
    module = module if isinstance(module, str) else ""
    # Some programs that run a script (profilers) give it a `__main__` that is not the one in `sys.modules`.
    if module == "__main__":
        return Key(ORIGIN, module, "", False)
    if getattr(sys.modules.get(module), "__dict__", None) is names:
        return Key(ORIGIN, module, "", importable(module) and not by_value(module))
    return Key(ORIGIN, module, names.setdefault(_TOKEN, os.urandom(16).hex()), False)


_importable: dict[str, bool] = {}


def importable(module: str) -> bool:
    """Whether another process with this one's path can be expected to import this module."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return True
    if top not in _importable:
        _importable[top] = top not in ("__main__", "__mp_main__") and _found(top)
    return _importable[top]


def _found(module: str) -> bool:
    # Asked of the finders, not of `sys.modules`: a module may have been put there without a file that can be found.
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        try:
            if find is not None and find(module, None) is not None:
                return True
        except Exception:
            continue
    return False


def digests(names: Mapping[str, Any]) -> dict[str, bytes]:
    """Return a digest of each value that can change in place and can be pickled."""
    import hashlib  # here, as receivers do not need it

    found = {}
    for name, value in names.items():
        if not isinstance(value, _FIXED):
            try:
                found[name] = hashlib.blake2b(_content(value), digest_size=16).digest()
            except Exception:
                continue  # without a digest the value counts as changed
    return found


def _content(value: Any) -> bytes:
    # What a cache of results holds stays where it is, as long as its function is the same.
    return marshal.dumps(value.__wrapped__.__code__) if isinstance(value, CACHED) else pickle.dumps(value, 5)
