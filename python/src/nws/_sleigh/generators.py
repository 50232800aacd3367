"""The generators of a worker that are seeded for a task when it first uses them."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import ModuleType
from typing import Any

from nws import _native

__all__ = ["Generator", "generator_of"]

Seed = Callable[[ModuleType], None]
"""Seeds what a module draws from, for the task that runs."""


def generator_of(module: ModuleType, seed: Seed, used: Callable[[], None]) -> "Generator":
    """Return the generator of `random` or of `numpy.random`, which calls `used` when a seed was needed, or was not."""
    if module.__name__ == "random":
        return _Random(module, seed, used)
    return _Numpy(module, seed, used) if hasattr(module, "set_bit_generator") else _Other(module, seed, used)


class Generator(ABC):
    """A generator that all functions of a module draw from."""

    def __init__(self, module: ModuleType, seed: Seed, used: Callable[[], None]) -> None:
        """Have it seeded when it is first used after it was made due."""
        self.module = module
        self._seed = seed
        self._used = used
        self._due = False
        self._lock = threading.RLock()
        self._seeding = False

    def settle(self) -> None:
        """Seed it if that is due. Whoever draws meanwhile, on another thread, waits."""
        with self._lock:
            if self.due and not self._seeding:
                self._seeding = True
                try:
                    self._seed(self.module)
                finally:
                    self._seeding = False
                    self._settled()

    def forget(self) -> None:
        """It has got another state: no seed is due."""
        with self._lock:
            if not self._seeding:
                self._settled()

    def _settled(self) -> None:
        self.due = False
        self._used()

    @property
    def due(self) -> bool:
        """Whether it is to be seeded before it is used."""
        return self._due

    @due.setter
    def due(self, due: bool) -> None:
        self._due = due
        self._changed(due)

    @abstractmethod
    def _changed(self, due: bool) -> None:
        """See to it that `settle` is called when it is used while a seed is due."""


class _Random(Generator):
    """That of `random`: all its functions draw by `random` and `getrandbits` of one object."""

    def __init__(self, module: ModuleType, seed: Seed, used: Callable[[], None]) -> None:
        super().__init__(module, seed, used)
        made: Any = module._inst
        self._made = made
        self._draws = _native.SeededDraws(self.settle, made.random, made.getrandbits)
        # Here and in the object: others may have been imported from here before a seed is due.
        self._replace("random", self._draws.random)
        self._replace("getrandbits", self._draws.getrandbits)
        for name, before in (("seed", self.forget), ("setstate", self.forget), ("getstate", self.settle)):
            changed = _after(before, getattr(made, name))
            self._replace(name, changed)
            setattr(made, name, changed)

    def _replace(self, name: str, by: Any) -> None:
        setattr(self.module, name, by)

    def _changed(self, due: bool) -> None:
        self._draws.due = due
        # What is not due costs nothing: the object's own methods are those of its class again.
        if due:
            self._made.random, self._made.getrandbits = self._draws.random, self._draws.getrandbits
            # Half of a pair that an earlier task has drawn.
            self._made.gauss_next = None
        else:
            for name in ("random", "getrandbits"):
                self._made.__dict__.pop(name, None)


class _Numpy(Generator):
    """That of `numpy.random`'s functions, and of libraries that draw from it: all take its lock."""

    def __init__(self, module: ModuleType, seed: Seed, used: Callable[[], None]) -> None:
        super().__init__(module, seed, used)
        generator = self

        # The name is in the states that numpy saves and loads.
        class MT19937(module.MT19937):  # type: ignore[misc, name-defined]
            @property
            def lock(self) -> _native.SeededLock:
                return generator._taken

            @property
            def state(self) -> Any:
                generator.settle()
                return module.MT19937.state.__get__(self)

            @state.setter
            def state(self, value: Any) -> None:
                generator.forget()
                module.MT19937.state.__set__(self, value)

            def random_raw(self, *arguments: Any, **named: Any) -> Any:
                generator.settle()
                return super().random_raw(*arguments, **named)

        self._bits = MT19937()
        self._taken = _native.SeededLock(self.settle, module.MT19937.lock.__get__(self._bits))
        module.set_bit_generator(self._bits)

    def _changed(self, due: bool) -> None:
        self._taken.due = due
        if due and self.module.get_bit_generator() is not self._bits:
            # A task has put another in its place.
            self.settle()


class _Other(Generator):
    """One of which nobody can tell when it is used: that of numpy before 1.24."""

    def _changed(self, due: bool) -> None:
        if due:
            self.settle()


def _after(before: Callable[[], None], method: Callable[..., Any]) -> Callable[..., Any]:
    def changed(*arguments: Any, **named: Any) -> Any:
        before()
        return method(*arguments, **named)

    changed.__name__ = changed.__qualname__ = method.__name__
    changed.__module__, changed.__doc__ = "random", method.__doc__
    return changed
