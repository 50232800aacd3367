"""Random numbers that follow from a seed and the task's index, whichever worker runs it and whatever it ran before.

In the task with index `i` of a call with `seed=s` the generators are as after

- `random.seed(f"{s} {i}")`,
- `numpy.random.seed(SeedSequence(s, spawn_key=(i,)).generate_state(4))`,
- and the `k`-th `numpy.random.default_rng()` without a seed is `default_rng(SeedSequence(s, spawn_key=(i, k)))`.

Of a sleigh's own seed the number of the call, from 0, comes before `i` in each of them.
"""

import functools
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from nws import _native

__all__ = ["Key", "Seeder"]

Key = tuple[int, ...]
"""The seed, and the number of the call where the seed is the sleigh's."""

_RANDOM, _NUMPY = "random", "numpy.random"


class Seeder:
    """Seeds the generators of this worker before each task of a call that has a seed.

    It costs a task nothing before a module with generators has been imported; these are seeded when they are.
    """

    def __init__(self, loop: _native.WorkerLoop) -> None:
        """Watch for generators from now on."""
        self._loop = loop
        self._key: Key | None = None
        self._index: int | None = None
        self._generators = 0
        sys.meta_path.insert(0, _Watch(self._imported))
        for name in (_RANDOM, _NUMPY):
            if name in sys.modules:
                self._imported(sys.modules[name])

    def begin(self, key: Key | None) -> "Seeder | None":
        """A call begins: returns what is to be called before each of its tasks, if anything."""
        before, self._key = self._key, key
        self._index = None
        if key is None and before is not None:
            # What follows from the last task's seed would be the same on every worker that ran it.
            for name in (_RANDOM, _NUMPY):
                if name in sys.modules:
                    sys.modules[name].seed()
        return None if key is None else self

    def __call__(self, index: int) -> None:
        """The task with this index begins."""
        self._index, self._generators = index, 0
        for name in (_RANDOM, _NUMPY):
            module = sys.modules.get(name)
            if module is not None:
                self._seed(module)

    def _seed(self, module: ModuleType) -> None:
        if self._key is None or self._index is None:
            return
        if module.__name__ == _RANDOM:
            module.seed(" ".join(map(str, (*self._key, self._index))))
        else:
            module.seed(self._sequence(module).generate_state(4))

    def _sequence(self, module: ModuleType, *more: int) -> Any:
        seed, *call = self._key or (0,)
        return module.SeedSequence(seed, spawn_key=(*call, self._index, *more))

    def _imported(self, module: ModuleType) -> None:
        """A module with generators is there."""
        self._loop.generators_are_there()
        if module.__name__ == _NUMPY:
            self._replace_default_rng(module)
        if self._key is not None:
            self._index = self._loop.index
            self._seed(module)

    def _replace_default_rng(self, module: ModuleType) -> None:
        original = module.default_rng

        @functools.wraps(original)
        def default_rng(seed: Any = None) -> Any:
            if seed is None and self._key is not None and self._index is not None:
                seed = self._sequence(module, self._generators)
                self._generators += 1
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
