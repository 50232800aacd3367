"""Threads that each hold one connection: for connections of the user's own kind."""

import contextlib
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

# How often a resting worker looks whether the queue has emptied.
_LOOK_S = 0.05
# How long connections that are ended may take for that.
_STOP_S = 2.0


class Done(NamedTuple):
    """On the oqueue: a task has its result, or has failed (`value` is a `RemoteException` then)."""

    task: int
    value: Any


class Gone(NamedTuple):
    """On the oqueue: a worker has ended, and takes no more tasks.

    `finished`: it had been told to, so that only what its command wrote at its end is lost.
    """

    worker: int
    message: str
    started: bool
    finished: bool = False


def _told(error: BaseException) -> str:
    ours = isinstance(error, NoResponse | JunkError | CannotCreateConnection)
    return str(error) if ours else f"{type(error).__name__}: {error}"


def _kill(connection: Connection) -> None:
    """End it, as well as that goes: it is given up anyway, and its own failure must not hide the reason."""
    with contextlib.suppress(Exception):
        connection.kill()


class workers_c:
    """A group of worker threads that take tasks from `iqueue` and put the answers on `oqueue`.

    Each holds a connection to one of the commands, which `connection_factory` makes of its argument list. On the iqueue
    are pairs of an index and a task; None ends the worker that takes it once no task is left, so `close` puts one for
    each. On the oqueue come `Done(index, value)` for each task, and `Gone(worker, message, started, finished)` for a
    worker that ends before it is told to, or whose end fails. A task whose worker is too busy, dies or sends junk is
    put back on the iqueue.
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
        # How often each was too busy, less for each result.
        self._refusals = [0 for _ in list_of_args]
        # One at a time takes from the iqueue, and counts what it took before another looks.
        self._taking = threading.Lock()
        self._changed = threading.Condition()
        # Tasks that were taken, and are neither done nor put back.
        self._open = 0
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
        with self._changed:
            self._changed.notify_all()
        self.close()
        with self._lock:
            left = [connection for connection in self._connections if connection is not None]
        for connection in left:
            _kill(connection)
        # Who waits for something of the user's own may go on waiting.
        deadline = time.monotonic() + _STOP_S
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _work(self, worker: int) -> None:
        """A thread: however it ends, that is told, as somebody waits for it."""
        gone: Gone | None = Gone(worker, "its thread was ended", True)
        try:
            gone = self._live(worker)
        except BaseException as error:
            gone = Gone(worker, _told(error), True)
            with self._lock:
                connection = self._connections[worker]
            if connection is not None:
                _kill(connection)
        finally:
            if gone is not None:
                self._oqueue.put(gone)

    def _live(self, worker: int) -> Gone | None:
        """Do tasks over one connection after the other; why no more are done, None where that is as it should be."""
        ends, last, started = 0, "", False
        while ends < _native.MOST_ENDS and not self._over.is_set():
            connection, answered, finishing = None, False, False
            try:
                connection = self._factory(list(self._told.list_of_args[worker]))
                started = True
                self._greet(worker, connection)
                while (item := self._take()) is not None:
                    self._do_or_put_back(worker, connection, item)
                    answered = True
                finishing = True
                self._finish(worker, connection)
                return None
            except Exception as error:  # of any class: the connection is the user's
                last = _told(error)
                if connection is not None:
                    _kill(connection)
                with self._lock:
                    self._told.event(worker, last)
                if finishing:
                    return Gone(worker, last, started, finished=True)
                if connection is None and isinstance(error, CannotCreateConnection):
                    break
            ends = 0 if answered else ends + 1
        return Gone(worker, last, started)

    def _greet(self, worker: int, connection: Connection) -> None:
        with self._lock:
            self._connections[worker] = connection
            self._keys[worker] = connection.performance_key()
        for item in self._stdin:
            connection.send(item)

    def _take(self) -> tuple[int, Any] | None:
        """Wait for a task; None to end, once no task is left that may come back."""
        while True:
            with self._taking:
                item = self._iqueue.get()
                if item is not None:
                    with self._changed:
                        self._open += 1
                    return item
            with self._changed:
                self._changed.wait_for(lambda: self._over.is_set() or not self._open or self._are_tasks_left())
                if self._over.is_set() or not self._are_tasks_left():
                    return None
                # A task came back behind the ends: this end goes behind the task.
                self._iqueue.put(None)

    def _are_tasks_left(self) -> bool:
        with self._iqueue.mutex:
            return any(item is not None for item in self._iqueue.queue)

    def _do_or_put_back(self, worker: int, connection: Connection, item: tuple[int, Any]) -> None:
        delay_s, is_done = None, False
        try:
            delay_s = self._do(worker, connection, *item)
            is_done = delay_s is None
        finally:
            with self._changed:
                if not is_done:
                    self._iqueue.put(item)
                self._open -= 1
                self._changed.notify_all()
        if delay_s is not None:
            self._rest(worker, delay_s)

    def _do(self, worker: int, connection: Connection, index: int, task: Any) -> float | None:
        """Have a task done; where the worker is too busy for it, for how long."""
        start = time.time()
        connection.send(task)
        answer: Answer = checked(tuple(connection.get()))
        with self._lock:
            self._told.lines(answer.stdout, answer.stderr)
            self._told.times(start, time.time())
            if isinstance(answer.value, TooBusy):
                return answer.value.delay
            self.record.answered(worker, time.time() - start)
        if isinstance(answer.value, RemoteException):
            answer.value.index, answer.value.arglist = index, self._told.list_of_args[worker]
            answer.value.stdout, answer.value.stderr = list(answer.stdout or ()), list(answer.stderr or ())
        self._refusals[worker] //= 2
        self._oqueue.put(Done(index, answer.value))
        return None

    def _rest(self, worker: int, delay_s: float) -> None:
        """Leave a busy worker alone, longer the busier it has been, shorter as the queue empties."""
        self._refusals[worker] += 1
        since = time.monotonic()
        while not self._over.is_set():
            rest_s = _native.rest_s(delay_s, self._refusals[worker], self._iqueue.qsize(), len(self))
            left_s = since + rest_s - time.monotonic()
            if left_s <= 0 or self._over.wait(min(left_s, _LOOK_S)):
                return

    def _finish(self, worker: int, connection: Connection) -> None:
        connection.close()
        lines = connection.wait()
        with self._lock:
            self.tails[worker] = lines
            self._told.tail(worker, lines)
