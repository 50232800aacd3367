"""One call while it goes on: tasks out, results in."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from nws import _native, _pickle
from nws._sleigh.accumulators import Receiver
from nws._sleigh.exceptions import (
    SleighNwsException,
    SleighPicklingException,
    SleighStoppedException,
    SleighTaskException,
)
from nws._sleigh.failures import restore
from nws._sleigh.progress import Progress

if TYPE_CHECKING:
    from nws.sleigh import Sleigh

__all__ = ["Run"]

# How often a waiting call looks at its progress bar, its events and its accumulator, in seconds.
_TURN_S = 0.2
# How many tasks are submitted between two looks at what came back, first and at most.
_FIRST_TASKS, _SUBMIT_TASKS = 512, 8192
# How long the first result is waited for before more is submitted, in seconds: tasks of unknown length cost more.
_FIRST_S = 0.005


class Run:
    """A run of a sleigh. As a context it ends the run, or gives it up where an exception leaves the block."""

    def __init__(
        self, sleigh: "Sleigh", run: _native.Run, shipment: _pickle.Shipment, total: int | None, into: Receiver
    ) -> None:
        self._sleigh = sleigh
        self._run = run
        self._shipment = shipment
        self.into = into
        self._events = sleigh._events
        self._said = sleigh._said
        self._said.output.clear()
        self._progress = Progress(sleigh._options.progress, total)
        self._said.aside = self._progress.aside
        self._total = total
        self._turn = threading.Lock()
        self._cancel: str | None = None
        self.cancelled = False
        self.over = False
        if self._events:
            self._events.write("run_began", run=run.number, tasks=total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    def end(self, error: BaseException | None = None) -> None:
        """End the run: as done, or for this error. The sleigh is free afterwards."""
        if self.over:
            return
        self.over = True
        try:
            self._progress.close()
            if error is None and self._run.outstanding == 0:
                self._run.end()
            elif not isinstance(error, SleighNwsException | SleighStoppedException):
                self._run.give_up()
            if self._events:
                self._events.write("run_done", run=self._run.number, tasks=self._run.submitted)
                self._events.flush()
        finally:
            self._sleigh._release(error)

    @property
    def submitted(self) -> int:
        """How many tasks were submitted."""
        return self._run.submitted

    @property
    def outstanding(self) -> int:
        """How many of them have no result yet."""
        return self._run.outstanding

    def submit(self, rows: Iterator[Any], most: int) -> bool:
        """Submit up to `most` tasks; says whether there may be more."""
        try:
            return self._run.submit(rows, most, self._dumps)
        except _Unpicklable as problem:
            what = _pickle.explain(problem.argument, problem.error)
            raise SleighPicklingException(
                f"the arguments of task {self._run.submitted} cannot be sent to a worker: {what}"
            ) from problem.error

    def submit_all(self, rows: Iterator[Any], most: int | None) -> None:
        """Submit everything, with at most `most` tasks under way at a time."""
        more, count = True, _FIRST_TASKS
        while more and not self.cancelled:
            more = self.submit(rows, count if most is None else most - self._run.outstanding)
            if most is None:
                # What came back tells how long tasks are, and so how many of the next share a lease.
                if more and self._run.submitted == self._run.outstanding:
                    self._take(self._run.outstanding - 1, _FIRST_S)
                count = min(2 * count, _SUBMIT_TASKS)
                self.look()
            else:
                self.wait_until(most - 1)

    def submit_to_each(self) -> None:
        """Submit one task without arguments to every worker."""
        self._run.submit_to_each((), _pickle.dumps)

    def cancel(self, finish: bool) -> None:
        """Drop the tasks that have not begun, and end those that run, or let them finish.

        May be called on any thread and in signal handlers: a call that waits for results does it at its next turn.
        """
        if not self.over:
            self._cancel = "end" if self._cancel == "end" or not finish else "finish"
            if self._turn.acquire(blocking=False):
                try:
                    self._obey()
                finally:
                    self._turn.release()

    def _obey(self) -> None:
        """Do what was asked for by `cancel`. Results that have come so far are there already."""
        wish = self._cancel
        if wish is None or self.over:
            return
        self.cancelled = True
        if wish == "finish":
            self._fail(self._run.withdraw(), "before this task had begun")
        else:
            self._collect(0, 0.0)
            self._fail(self._run.abandon(), "before this task was done")
        if self._total is not None:
            self._fail(range(self._run.submitted, self._total), "before this task had begun")
            self._total = None
        self.into.flush()
        if self._cancel == wish:
            self._cancel = None

    def _fail(self, indexes: Iterable[int], when: str) -> None:
        results, places = self.into.results, self.into.indexes
        for index in indexes:
            made = SleighTaskException(f"the call was cancelled {when}", type="Cancelled", index=index)
            made.output = self._said.output[index]
            if places is None:
                results.extend([None] * (index + 1 - len(results)))
                results[index] = made
            else:
                results.append(made)
                places.append(index)

    def look(self) -> None:
        """Take in what has come, without waiting."""
        self._take(0, 0.0)

    def wait_until(self, outstanding: int) -> None:
        """Take in results until no more than so many are outstanding."""
        while self._run.outstanding > outstanding:
            self._take(outstanding, _TURN_S)

    def _take(self, until: int, timeout_s: float) -> None:
        with self._turn:
            self._obey()
            self._collect(until, timeout_s)
            self._obey()
        self.into.flush()
        if self._progress.shown:
            self._progress.move(self._run.submitted - self._run.outstanding)

    def _collect(self, until: int, timeout_s: float) -> None:
        into = self.into
        events = self._events.tasks if self._events else None
        try:
            messages = self._run.collect(
                into.results,
                into.indexes,
                until,
                timeout_s,
                _pickle.loads,
                self._restore,
                self._hear,
                events,
            )
        except SleighNwsException:
            if self._sleigh._was_stopped:
                raise SleighStoppedException("the sleigh was stopped while this call went on") from None
            raise
        self._look(messages)

    def _look(self, messages: list[str]) -> None:
        for message in messages:
            self._sleigh._heard(json.loads(message))

    def _restore(self, failure: bytes | BaseException, index: int, rank: int) -> SleighTaskException:
        made = restore(failure, index, self._sleigh._rank_of(rank))
        # What the task wrote came before its result.
        made.output = self._said.output[index]
        return made

    def _hear(self, kind: int, index: int | None, rank: int, data: bytes) -> None:
        self._said.hear(kind, index, self._sleigh._rank_of(rank), data)

    @property
    def _dumps(self) -> Callable[[Any], bytes]:
        def dumps(argument: Any) -> bytes:
            try:
                return self._shipment.dumps(argument)
            except Exception as error:
                raise _Unpicklable(argument, error) from error

        return dumps


class _Unpicklable(Exception):
    """An argument that cannot be pickled, on its way out of the native module."""

    def __init__(self, argument: Any, error: Exception) -> None:
        super().__init__(error)
        self.argument = argument
        self.error = error
