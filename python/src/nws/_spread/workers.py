"""Threads that each hold one connection: for connections of the user's own kind."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from nws import _native
from nws._spread.answers import Answer, CannotCreateConnection, JunkError, NoResponse, RemoteException, TooBusy, checked
from nws._spread.connections import Connection
from nws._spread.job import Told
from nws._spread.past import Memory, Record, order

__all__ = ["Done", "Gone", "workers_c"]

_MOST_ENDS = 3
# How often a resting worker looks whether the queue has emptied.
_LOOK_S = 0.05
# How long connections that are ended may take for that.
_STOP_S = 2.0


class Done(NamedTuple):
    """On the oqueue: a task has its result, or has failed (`value` is a `RemoteException` then)."""

    task: int
    value: Any


class Gone(NamedTuple):
    """On the oqueue: a worker has ended, and takes no more tasks."""

    worker: int
    message: str
    started: bool


class workers_c:
    """A group of worker threads that take tasks from `iqueue` and put the answers on `oqueue`.

    Each holds a connection to one of the commands, which `connection_factory` makes of its argument list. On the iqueue
    are pairs of an index and a task; None ends the worker that takes it, so `close` puts one for each. On the oqueue
    come `Done(index, value)` for each task, and `Gone(worker, message, started)` for a worker that ends before it is
    told to. A task whose worker is too busy, dies or sends junk is put back on the iqueue.
    """

    __module__ = "nws.spread_jobs"

    def __init__(
        self,
        connection_factory: Callable[[list[str]], Connection],
        list_of_args: Sequence[Sequence[str]],
        iqueue: "queue.Queue[tuple[int, Any] | None]",
        oqueue: "queue.Queue[Done | Gone]",
        stdin: Iterable[Any] | None = None,
        verbose: bool = False,
        timing_callback: Callable[[float, float], object] | None = None,
        tail_callback: Callable[[list[str], list[str]], object] | None = None,
        past_performance: Memory | None = None,
    ) -> None:
        self._factory, self._stdin = connection_factory, list(stdin or ())
        self._told = Told(list_of_args, verbose, timing_callback, tail_callback)
        self._iqueue, self._oqueue = iqueue, oqueue
        self._connections: list[Connection | None] = [None for _ in list_of_args]
        self.tails: list[list[str]] = [[] for _ in list_of_args]
        self._keys: list[Any] = [tuple(args) for args in list_of_args]
        self._memory, self.record = past_performance, Record(self._keys)
        # One at a time calls back, prints and counts.
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(worker,), name=f"spread-{worker}", daemon=True)
            for worker in order(past_performance, self._keys)
        ]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        return len(self._threads)

    def close(self) -> None:
        """Let each worker end when the iqueue has been worked off."""
        for _ in self._threads:
            self._iqueue.put(None)

    def join(self) -> list[list[str]]:
        """Wait until all workers have ended; returns what their commands wrote after their last answers."""
        for thread in self._threads:
            thread.join()
        self.record.remember(self._memory)
        return self.tails

    def stop(self) -> None:
        """End all connections now."""
        self._over.set()
        self.close()
        with self._lock:
            left = [connection for connection in self._connections if connection is not None]
        for connection in left:
            connection.kill()
        # Who waits for something of the user's own may go on waiting.
        deadline = time.monotonic() + _STOP_S
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _work(self, worker: int) -> None:
        ends, last, started = 0, "", False
        while ends < _MOST_ENDS and not self._over.is_set():
            try:
                connection = self._connect(worker)
                started = True
            except CannotCreateConnection as error:
                last = str(error)
                break
            answered = False
            try:
                while (item := self._iqueue.get()) is not None:
                    try:
                        self._do(worker, connection, *item)
                    except BaseException:
                        self._iqueue.put(item)
                        raise
                    answered = True
                self._finish(worker, connection)
                return
            except Exception as error:  # of any class: the connection is the user's
                last = str(error) if isinstance(error, NoResponse | JunkError) else f"{type(error).__name__}: {error}"
                connection.kill()
                with self._lock:
                    self._told.event(worker, last)
            ends = 0 if answered else ends + 1
        self._oqueue.put(Gone(worker, last, started))

    def _connect(self, worker: int) -> Connection:
        connection = self._factory(list(self._told.list_of_args[worker]))
        with self._lock:
            self._connections[worker] = connection
            self._keys[worker] = connection.performance_key()
        for item in self._stdin:
            connection.send(item)
        return connection

    def _do(self, worker: int, connection: Connection, index: int, task: Any) -> None:
        """Have a task done, at the end perhaps by another."""
        start = time.time()
        connection.send(task)
        answer: Answer = checked(tuple(connection.get()))
        with self._lock:
            self._told.lines(answer.stdout, answer.stderr)
            self._told.times(start, time.time())
            if not isinstance(answer.value, TooBusy):
                self.record.answered(worker, time.time() - start)
        if isinstance(answer.value, TooBusy):
            self._iqueue.put((index, task))
            self._rest(worker, answer.value.delay)
            return
        if isinstance(answer.value, RemoteException):
            answer.value.index, answer.value.arglist = index, self._told.list_of_args[worker]
            answer.value.stdout, answer.value.stderr = list(answer.stdout or ()), list(answer.stderr or ())
        self._refusals[worker] = self._refusals.get(worker, 0) // 2
        self._oqueue.put(Done(index, answer.value))

    @property
    def _refusals(self) -> dict[int, int]:
        return self.__dict__.setdefault("_counted_refusals", {})  # type: ignore[no-any-return]

    def _rest(self, worker: int, delay_s: float) -> None:
        """Leave a busy worker alone, longer the busier it has been, shorter as the queue empties."""
        refusals = self._refusals[worker] = self._refusals.get(worker, 0) + 1
        since = time.monotonic()
        while not self._over.is_set():
            rest_s = _native.rest_s(delay_s, refusals, self._iqueue.qsize(), len(self))
            left_s = since + rest_s - time.monotonic()
            if left_s <= 0 or self._over.wait(min(left_s, _LOOK_S)):
                return

    def _finish(self, worker: int, connection: Connection) -> None:
        connection.close()
        lines = connection.wait()
        with self._lock:
            self.tails[worker] = lines
            self._told.tail(worker, lines)
