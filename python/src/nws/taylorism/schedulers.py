"""Which instructions are to be worked on next: schedulers for a Boss.

A scheduler of one's own is a subclass of `BaseScheduler`:

    >>> from nws.taylorism.schedulers import BaseScheduler
    >>> class OneAfterTheOther(BaseScheduler):
    ...     def launchable(self, pending_instructions, workers, report):
    ...         if workers:
    ...             return [], pending_instructions
    ...         return pending_instructions[:1], pending_instructions[1:]
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nws._native import fitting_workers
from nws.taylorism._durations import Durations
from nws.taylorism._failures import shown
from nws.taylorism._machine import memory_mib

__all__ = [
    "BaseScheduler",
    "LaxistScheduler",
    "LongerFirstScheduler",
    "MaxMemoryScheduler",
    "MaxThreadsScheduler",
    "SingleOpenFileScheduler",
]

Instructions = dict[str, Any]
Choice = tuple[list[Instructions], list[Instructions]]
_Room = Callable[[Instructions], bool]
# How many paths are known before all of them are looked up again.
_MOST_PATHS = 100_000


class BaseScheduler:
    """What a Boss asks which instructions to hand out next. Subclasses define `launchable`.

    It is pickled, and asked in the Boss's process: whenever instructions or reports have come, and some twenty times a
    second while instructions are pending. Where `binded` is true, each worker is bound to a core of its own, as far as
    there are enough of them.
    """

    binded: bool = False

    def launchable(
        self, pending_instructions: list[Instructions], workers: Mapping[str, Any], report: Sequence[dict[str, Any]]
    ) -> Choice:
        """Return two lists: the instructions to hand out now, and those that stay pending.

        Each of the pending instructions has to be in one of the two: the Boss ends with a `ValueError` rather than lose
        some, with a `TypeError` where it gets something else than two lists.

        `workers` are those that work, by name; `report` is what those that have finished reported, each as a dict with
        `name` and `report`.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no launchable: define it, to say what is to be done")

    def finished(self, instructions: Instructions, seconds: float) -> None:
        """Take notice of how long a worker took; called after each that gave its report."""

    def end(self) -> None:
        """Take notice that the Boss ends; called once."""


class _Limited(BaseScheduler):
    """Hands out what there is room for, in the order of `_ordered`. What does not fit lets smaller ones pass."""

    def __init__(self, binded: bool) -> None:
        self.binded = bool(binded)

    def launchable(
        self, pending_instructions: list[Instructions], workers: Mapping[str, Any], report: Sequence[dict[str, Any]]
    ) -> Choice:
        """Return the instructions to hand out now, and those that stay pending."""
        running = [worker._instructions for worker in workers.values()]
        room = self._room(running)
        chosen: list[Instructions] = []
        later: list[Instructions] = []
        pending = self._ordered(pending_instructions)
        most = self._most()
        for position, instructions in enumerate(pending):
            if most is not None and len(running) + len(chosen) >= most:
                later += pending[position:]
                break
            (chosen if room(instructions) else later).append(instructions)
        return chosen, later

    def _most(self) -> int | None:
        """How many workers may work at a time; None for any number."""
        return None

    def _ordered(self, pending: list[Instructions]) -> list[Instructions]:
        """Return what is pending, the most urgent first."""
        return pending

    def _room(self, running: list[Instructions]) -> _Room:
        """Return what says whether there is room for instructions, and counts those for which it said so."""
        return lambda instructions: True


class LaxistScheduler(_Limited):
    """Hands out everything at once, without a limit."""

    def __init__(self, binded: bool = False) -> None:
        super().__init__(binded)


class MaxThreadsScheduler(_Limited):
    """Lets at most `max_threads` workers work at a time: by default (0 or None) as many as the machine has cores.

    Cores that this process may not use (its affinity, the limit of its container) do not count.
    """

    def __init__(self, max_threads: int | None = 0, binded: bool = False) -> None:
        super().__init__(binded)
        if max_threads is not None and (not isinstance(max_threads, int) or isinstance(max_threads, bool)):
            raise TypeError(f"max_threads: expected a number of workers, got {max_threads!r}")
        if max_threads is not None and max_threads < 0:
            raise ValueError(f"max_threads: expected a number of workers, or 0 for one a core, got {max_threads}")
        self._told = max_threads or 0

    @property
    def max_threads(self) -> int:
        """How many workers may work at a time."""
        return self._told or fitting_workers()

    def _most(self) -> int | None:
        return self.max_threads


class MaxMemoryScheduler(_Limited):
    """Lets so many workers work at a time that what they need fits into memory.

    Each instruction set says its need as `memory`, in MiB; one that does not is taken to need `memory_per_task`, and
    refused where that is not given. The limit is `max_memory_percentage`, a share from 0 to 1, of the machine's memory
    (or its container's), or of `total_system_memory` in MiB.

    In the Boss, `launchable` raises `ValueError` for a need beyond the limit, which could never be met.
    """

    def __init__(
        self,
        max_memory_percentage: float = 0.75,
        total_system_memory: float | None = None,
        memory_per_task: float | None = None,
        binded: bool = False,
    ) -> None:
        super().__init__(binded)
        if not 0 < max_memory_percentage <= 1:
            raise ValueError(
                f"max_memory_percentage: expected a share above 0 and up to 1, got {max_memory_percentage}"
            )
        total = memory_mib() if total_system_memory is None else total_system_memory
        if not total > 0:
            raise ValueError(f"total_system_memory: expected MiB above 0, got {total_system_memory}")
        self.max_memory = total * max_memory_percentage
        self.memory_per_task = memory_per_task

    def _room(self, running: list[Instructions]) -> _Room:
        return _room_in_memory(running, self.max_memory, self.memory_per_task)


class LongerFirstScheduler(MaxThreadsScheduler):
    """Hands out first what takes longest, to at most `max_threads` workers at a time.

    How long a set of instructions takes is told by its `expected_time` in seconds. Where it has none, it is what the
    same instructions took in an earlier run, where `remembered` names the file in which that is kept; what was never
    seen goes first. With `max_memory_percentage` memory is a limit as well, as for `MaxMemoryScheduler`; instructions
    that do not say their need are then taken to need nothing.

    Raises `ValueError` where `remembered` is a file of another kind, which is left as it is.
    """

    def __init__(
        self,
        max_threads: int | None = 0,
        remembered: str | os.PathLike[str] | None = None,
        max_memory_percentage: float | None = None,
        total_system_memory: float | None = None,
        binded: bool = False,
    ) -> None:
        super().__init__(max_threads, binded)
        self._durations = None if remembered is None else Durations(os.path.abspath(remembered))
        self._memory = (
            None
            if max_memory_percentage is None
            else MaxMemoryScheduler(max_memory_percentage, total_system_memory, memory_per_task=0)
        )
        # What it returned last as pending is in order already.
        self._last: tuple[list[Instructions], int] | None = None

    def launchable(
        self, pending_instructions: list[Instructions], workers: Mapping[str, Any], report: Sequence[dict[str, Any]]
    ) -> Choice:
        """Return the instructions to hand out now, and those that stay pending."""
        chosen, later = super().launchable(pending_instructions, workers, report)
        self._last = (later, len(later))
        return chosen, later

    def _ordered(self, pending: list[Instructions]) -> list[Instructions]:
        if self._last is not None and pending is self._last[0] and len(pending) == self._last[1]:
            return pending
        return sorted(pending, key=self._seconds, reverse=True)

    def _seconds(self, instructions: Instructions) -> float:
        declared = instructions.get("expected_time")
        if declared is not None:
            return float(declared)
        known = None if self._durations is None else self._durations.of(instructions)
        return float("inf") if known is None else known

    def _room(self, running: list[Instructions]) -> _Room:
        return super()._room(running) if self._memory is None else self._memory._room(running)

    def finished(self, instructions: Instructions, seconds: float) -> None:
        """Remember how long these instructions took."""
        if self._durations is not None:
            self._durations.note(instructions, seconds)

    def end(self) -> None:
        """Write what was remembered."""
        if self._durations is not None:
            self._durations.write()


class SingleOpenFileScheduler(MaxThreadsScheduler):
    """Lets no two workers have the same file at a time, and at most `max_threads` of them work.

    Which files a set of instructions has is told by those of its instructions whose names are in `files`; each is a
    path, or several of them. A file is the same under any of its paths, each of which is looked up once.
    """

    def __init__(
        self,
        max_threads: int | None = 0,
        files: Sequence[str] = ("file", "files", "fileA", "fileB"),
        binded: bool = False,
    ) -> None:
        super().__init__(max_threads, binded)
        self.files = (files,) if isinstance(files, str) else tuple(files)
        # The one path of each: a file system may be slow, and the scheduler is asked often.
        self._known: dict[str, str] = {}

    def _room(self, running: list[Instructions]) -> _Room:
        if len(self._known) > _MOST_PATHS:
            self._known.clear()
        opened = {path for instructions in running for path in self._paths(instructions)}

        def room(instructions: Instructions) -> bool:
            paths = set(self._paths(instructions))
            if paths & opened:
                return False
            opened.update(paths)
            return True

        return room

    def _paths(self, instructions: Instructions) -> Iterator[str]:
        for name in self.files:
            value = instructions.get(name)
            if value is None:
                continue
            several = (value,) if isinstance(value, str | bytes | os.PathLike) else value
            for path in several:
                told = os.fsdecode(path)
                if told not in self._known:
                    self._known[told] = os.path.realpath(told)
                yield self._known[told]


def _room_in_memory(running: list[Instructions], limit_mib: float, each_mib: float | None) -> _Room:
    def need(instructions: Instructions) -> float:
        told = instructions.get("memory", each_mib)
        if told is None:
            raise ValueError(
                "expected 'memory' among the instructions, the MiB that they need, or memory_per_task:\n"
                + shown(instructions)
            )
        if told > limit_mib:
            raise ValueError(
                f"instructions need {told:g} MiB, and the limit is {limit_mib:g} MiB:\n{shown(instructions)}"
            )
        return float(told)

    taken = sum(need(instructions) for instructions in running)

    def room(instructions: Instructions) -> bool:
        nonlocal taken
        wanted = need(instructions)
        if taken + wanted > limit_mib:
            return False
        taken += wanted
        return True

    return room
