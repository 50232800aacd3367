"""What each command has achieved in earlier jobs."""

import json
import os
from collections.abc import Hashable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["PastPerformance", "Record", "order"]

_KIND = "nws.spread_jobs past performance"


class PastPerformance(dict[tuple[str, ...], tuple[float, float]]):
    """The memory of which commands, or machines, were more successful, so that these start first.

    A key is what `Connection.performance_key` gives, usually the arguments; its value is how many tasks were answered
    in how many seconds of work. Each new job counts as much as all earlier ones together. With a `path`, what the file
    holds is known from the beginning, and each job ends with writing it:

        memory = PastPerformance("~/.cache/my-workers.json")
        main(tasks, commands, past_performance=memory)
    """

    __module__ = "nws.spread_jobs"

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self.path = None if path is None else Path(path).expanduser()
        if self.path is not None and self.path.exists():
            self._load(self.path)

    def _load(self, path: Path) -> None:
        try:
            told: Any = json.loads(path.read_text())
            if told["is"] != _KIND:
                raise ValueError(f"it is {told['is']!r}")
            for key, answers, seconds in told["commands"]:
                self[tuple(map(str, key))] = (float(answers), float(seconds))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{path}: expected what PastPerformance wrote, got something else ({error}); "
                "remove the file, or name another"
            ) from error

    def score(self, key: Hashable) -> float | None:
        """Tasks a second of work; None for who is not known."""
        return _score(self, key)

    def save(self) -> None:
        """Write the file, where there is one; it is replaced as a whole."""
        if self.path is None:
            return
        rows = [[list(key), answers, seconds] for key, (answers, seconds) in self.items()]
        written = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            written.write_text(json.dumps({"is": _KIND, "commands": rows}, indent=1) + "\n")
            written.replace(self.path)
        finally:
            written.unlink(missing_ok=True)


Memory = MutableMapping[Any, tuple[float, float]]


def _score(memory: Memory, key: Hashable) -> float | None:
    known = memory.get(key)
    if known is None:
        return None
    answers, seconds = known
    return answers / max(seconds, 1e-6)


def order(memory: Memory | None, keys: Sequence[Hashable]) -> list[int]:
    """Who starts first: the successful, the unknown, those without any success; else as they are listed."""
    if memory is None:
        return list(range(len(keys)))

    def rank(index: int) -> tuple[int, float]:
        score = _score(memory, keys[index])
        if score is None:
            return 1, 0.0
        return (0, -score) if score > 0 else (2, 0.0)

    return sorted(range(len(keys)), key=rank)


class Record:
    """What the commands of one job achieve."""

    def __init__(self, keys: Sequence[Hashable]) -> None:
        self._keys = keys
        self._achieved: list[tuple[float, float]] = [(0.0, 0.0) for _ in keys]
        self._tried = [False for _ in keys]

    def tried(self, worker: int) -> None:
        """A task was given to it, whatever became of that."""
        self._tried[worker] = True

    def answered(self, worker: int, seconds: float, count: int = 1) -> None:
        """It has brought results, in so many seconds of work."""
        if count:
            answers, worked = self._achieved[worker]
            self._achieved[worker] = (answers + count, worked + seconds)
            self._tried[worker] = True

    def remember(self, memory: Memory | None) -> None:
        """Adds it to what is known."""
        if memory is None:
            return
        sums: dict[Hashable, tuple[float, float]] = {}
        for key, (answers, seconds), tried in zip(self._keys, self._achieved, self._tried, strict=True):
            if tried:
                before = sums.get(key, (0.0, 0.0))
                sums[key] = (before[0] + answers, before[1] + seconds)
        for key, (answers, seconds) in sums.items():
            old_answers, old_seconds = memory.get(key, (0.0, 0.0))
            # Halved, so that what was long ago fades.
            memory[key] = (old_answers / 2 + answers, old_seconds / 2 + seconds)
        if isinstance(memory, PastPerformance):
            memory.save()
