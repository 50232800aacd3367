"""Random numbers that follow from a seed and the task's index, whichever worker runs it and whatever it ran before.

In the task with index `i` of a call with `seed=s` the generators are as after

- `random.seed(f"{s} {i}")`,
- `numpy.random.seed(SeedSequence(s, spawn_key=(i,)).generate_state(4))`,
- and the `k`-th `numpy.random.default_rng()` without a seed is `default_rng(SeedSequence(s, spawn_key=(i, k)))`.

Of a sleigh's own seed the number of the call, from 0, comes before `i` in each of them.
"""

import functools
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from nws import _native
from nws._sleigh.generators import Generator, generator_of

__all__ = ["Key", "Seeder"]

Key = tuple[int, ...]
"""The seed, and the number of the call where the seed is the sleigh's."""

_RANDOM, _NUMPY = "random", "numpy.random"


class Seeder:
    """Has the generators of this worker seeded for each task of a call that has a seed.

    That is done when a task first draws from one, so it costs nothing where none is used.
    """

    def __init__(self, loop: _native.WorkerLoop) -> None:
        """Watch for modules with generators from now on."""
        self._loop = loop
        self._key: Key | None = None
        self._generators: list[Generator] = []
        self._drawn: int | None = None
        self._made = 0
        self._forked: int | None = None
        self._is_child = False
        sys.meta_path.insert(0, _Watch(self._imported))
        for name in (_RANDOM, _NUMPY):
            if name in sys.modules:
                self._imported(sys.modules[name])
        os.register_at_fork(before=self._fork, after_in_child=self._become_child)

    def begin(self, key: Key | None) -> Callable[[], None] | None:
        """A call begins: returns what is to be called before a task if the one before has drawn, if anything."""
        before, self._key = self._key, key
        self._drawn = None
        if key is not None:
            self._renew()
            return self._renew
        for generator in self._generators:
            generator.forget()
            if before is not None:
                # What follows from the last task's seed would be the same on every worker that ran it.
                generator.module.seed()
        return None

    def _renew(self) -> None:
        """Another task begins than the one that was seeded."""
        self._drawn = None
        for generator in self._generators:
            generator.due = True

    def _fork(self) -> None:
        """Have a child of the task go on with what its parent has: it may live when other tasks run."""
        self._forked = self._loop.index
        for generator in self._generators:
            generator.settle()

    def _become_child(self) -> None:
        self._is_child = True

    def _index(self) -> int | None:
        return self._forked if self._is_child else self._loop.index

    def _seed(self, module: ModuleType) -> None:
        index = self._index()
        if self._key is None or index is None:
            return
        if module.__name__ == _RANDOM:
            module.seed(" ".join(map(str, (*self._key, index))))
        else:
            module.seed(self._sequence(module, index).generate_state(4))

    def _sequence(self, module: ModuleType, *more: int) -> Any:
        seed, *call = self._key or (0,)
        return module.SeedSequence(seed, spawn_key=(*call, *more))

    def _imported(self, module: ModuleType) -> None:
        """A module with generators is there."""
        generator = generator_of(module, self._seed, self._loop.seed_next)
        self._generators.append(generator)
        if module.__name__ == _NUMPY:
            self._replace_default_rng(module)
        generator.due = self._key is not None

    def _replace_default_rng(self, module: ModuleType) -> None:
        original = module.default_rng

        @functools.wraps(original)
        def default_rng(seed: Any = None) -> Any:
            index = self._index()
            if seed is None and self._key is not None and index is not None:
                if self._drawn != index:
                    self._drawn, self._made = index, 0
                seed = self._sequence(module, index, self._made)
                self._made += 1
            return original(seed)

        # Where pickle looks for it.
        default_rng.__module__ = _NUMPY
        module.default_rng = default_rng  # type: ignore[attr-defined]


class _Watch:
    """Tells of the import of modules with generators."""

    def __init__(self, imported: Callable[[ModuleType], None]) -> None:
        self._imported = imported

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find the module as others would, and have its end of import told."""
        if name not in (_RANDOM, _NUMPY):
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self._imported(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
