"""Results of `imap` and `starmap`, one by one."""

from collections import deque
from collections.abc import Iterator
from typing import Any, Self

from nws._sleigh.run import Run

__all__ = ["SleighResultIterator"]

# How many tasks a worker the window has at first where no load factor was given, and what it may grow to.
_FIRST_A_WORKER = 10
_MOST_A_WORKER = 8192


class Ordered:
    """Keeps results that have come until those before them were taken."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.indexes: list[int] | None = []
        self.next_index = 0
        self._ready: deque[Any] = deque()
        self._early: dict[int, Any] = {}

    def flush(self) -> None:
        """Sort in what has come."""
        early, indexes = self._early, self.indexes or []
        early.update(zip(indexes, self.results, strict=True))
        self.results, self.indexes = [], []
        while self.next_index in early:
            self._ready.append(early.pop(self.next_index))
            self.next_index += 1

    def value(self) -> Any:
        """Nothing is left to return."""

    def __len__(self) -> int:
        return len(self._ready) + len(self._early)

    @property
    def ready(self) -> int:
        """How many can be taken now."""
        return len(self._ready)

    def pop(self) -> Any:
        """Take the next."""
        return self._ready.popleft()

    def clear(self) -> None:
        """Forget all."""
        self._ready.clear()
        self._early.clear()


class SleighResultIterator(Iterator[Any]):
    """The results of `imap` or `starmap`, in order. A failed task is a `SleighTaskException` among them.

    Tasks are taken from the input as results are consumed: never more than a window ahead, which is `loadFactor` tasks
    a worker, or else ten a worker and more while the workers run out of tasks. The sleigh is occupied until the
    iterator has ended.
    """

    __module__ = "nws.sleigh"

    def __init__(
        self, run: Run, into: Ordered, rows: Iterator[Any], worker_count: int, load_factor: int | None
    ) -> None:
        """For `Sleigh` alone."""
        self._run = run
        self._into = into
        self._rows = rows
        self._window = worker_count * (_FIRST_A_WORKER if load_factor is None else load_factor)
        self._most = worker_count * (_MOST_A_WORKER if load_factor is None else load_factor)
        self._more = True
        self._returned = 0
        self._fill()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._run.cancelled:
            self._end(None)
        if self.stopped:
            raise StopIteration
        try:
            self._fill()
            if not self._into.ready:
                self._wait()
        except BaseException as error:
            self._end(error)
            raise
        if not self._into.ready:
            self._end(None)
            raise StopIteration
        self._returned += 1
        return self._into.pop()

    next = __next__

    def _fill(self) -> None:
        """Submit tasks up to the window, many at a time."""
        free = self._window - (self._run.submitted - self._returned)
        if self._more and free > 0 and (free * 2 >= self._window or not self._run.outstanding):
            try:
                self._more = self._run.submit(self._rows, free)
            except BaseException as error:
                self._end(error)
                raise

    def _wait(self) -> None:
        if self._more and self._run.outstanding * 4 <= self._window < self._most:
            # The workers run out of tasks: there is room for more between them and the consumer.
            self._window = min(self._window * 2, self._most)
            self._fill()
        self._run.look()
        while not self._into.ready and self._run.outstanding:
            self._run.wait_until(self._run.outstanding - 1)

    def _end(self, error: BaseException | None) -> None:
        self._more = False
        self._into.clear()
        self._run.end(error)

    def shutdown(self) -> None:
        """Submit nothing more; what was submitted can still be retrieved, and occupies the sleigh until it is."""
        self._more = False

    def stop(self, *, finish: bool = False) -> None:
        """Give up what is outstanding, and free the sleigh.

        Tasks that run are ended with all that they started; with `finish` they come to their end first. Results that
        were not returned yet are lost.
        """
        if self.stopped:
            return
        try:
            if finish:
                self._more = False
                self._run.cancel(finish)
                self._run.wait_until(0)
        finally:
            self._end(None)

    close = stop

    @property
    def returned(self) -> int:
        """How many results were returned."""
        return self._returned

    @property
    def buffered(self) -> int:
        """How many results have come and were not returned yet."""
        return len(self._into)

    @property
    def submitted(self) -> int:
        """How many tasks were submitted."""
        return self._run.submitted

    @property
    def stopped(self) -> bool:
        """Whether the iterator has ended."""
        return self._run.over

    def __del__(self) -> None:
        # An iterator that nobody holds any more would occupy its sleigh for ever.
        if hasattr(self, "_run"):
            self.stop()

    def __str__(self) -> str:
        return f"SleighResultIterator: {self.returned} returned, {self.buffered} buffered, {self.submitted} submitted"
