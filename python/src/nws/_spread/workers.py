"""Threads that each hold one connection: for connections of the user's own kind."""

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

from nws import _native
from nws._spread.answers import (
    Answer,
    CannotCreateConnection,
    JunkError,
    NoResponse,
    RemoteException,
    TooBusy,
    begins_with_answer,
    checked,
    writer,
)
from nws._spread.connections import Connection, Connection_subprocess
from nws._spread.job import Told
from nws._spread.past import Memory, Record, order

__all__ = ["Again", "Came", "Done", "Gone", "Misbehaved", "OneTooMany", "Unsent", "workers_c"]

# How often a resting worker looks whether the queue has emptied.
_LOOK_S = 0.05
# How long connections that are ended may take for that.
_STOP_S = 2.0
# How many of a connection's last tasks could be done again.
_KEPT_TASKS = 32
_EXCERPT_BYTES = 60


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


class Again(NamedTuple):
    """On the oqueue: a task that was done is done once more, as its result may be that of another."""

    task: int


class Unsent(NamedTuple):
    """On the oqueue: a task cannot be pickled, or something of `stdin` where it is None."""

    task: int | None
    error: Exception


class Misbehaved(NamedTuple):
    """On the oqueue: a worker does not keep to the protocol."""

    worker: int
    message: str


class OneTooMany(NamedTuple):
    """On the oqueue: after so many answers a worker has ended with one that nobody had asked for."""

    worker: int
    answers: int


Came = Done | Gone | Again | Misbehaved | OneTooMany | Unsent


class _UnsentError(Exception):
    """What is to be sent cannot be, whoever gets it."""


class _Life:
    """What one connection has done."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.answers = 0
        # The last tasks that it did, but for the first, before which nothing came that could be taken for its answer.
        self.done: deque[tuple[int, Any]] = deque(maxlen=_KEPT_TASKS)


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
    put back on the iqueue. A worker that answers more than it is asked is ended and told as `Misbehaved(worker,
    message)`; what it did last is put back as well, each told as `Again(index)`. Where that is seen only when it ends,
    it is told as `OneTooMany(worker, answers)`. A task that cannot be pickled comes as `Unsent(index, error)`.
    """

    __module__ = "nws.spread_jobs"

    def __init__(
        self,
        connection_factory: Callable[[list[str]], Connection],
        list_of_args: Sequence[Sequence[str]],
        iqueue: "queue.Queue[tuple[int, Any] | None]",
        oqueue: "queue.Queue[Came]",
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
        ends: int | None = 0
        last, started = "", False
        while ends is not None and not self._over.is_set():
            life, finishing = None, False
            try:
                connection = self._factory(list(self._told.list_of_args[worker]))
                started, life = True, _Life(connection)
                self._greet(worker, connection)
                while (item := self._take()) is not None:
                    self._do_or_put_back(worker, life, item)
                finishing = True
                self._finish(worker, life)
                return None
            except Exception as error:  # of any class: the connection is the user's
                last = _told(error)
                if life is not None:
                    _kill(life.connection)
                with self._lock:
                    self._told.event(worker, last)
                if finishing:
                    return Gone(worker, last, started, finished=True)
                if isinstance(error, _UnsentError) or (life is None and isinstance(error, CannotCreateConnection)):
                    break
            ends = _native.ends_after(ends, life is not None and life.answers > 0)
        return Gone(worker, last, started)

    def _greet(self, worker: int, connection: Connection) -> None:
        with self._lock:
            self._connections[worker] = connection
            self._keys[worker] = connection.performance_key()
        for index, item in enumerate(self._stdin):
            try:
                connection.send(item)
            except Exception as error:
                if not _is_to_blame(connection, item):
                    raise
                error.add_note(f"This is item {index} of stdin, which cannot be sent.")
                self._oqueue.put(Unsent(None, error))
                raise _UnsentError(str(error)) from error

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

    def _do_or_put_back(self, worker: int, life: _Life, item: tuple[int, Any]) -> None:
        delay_s, is_done = None, False
        try:
            delay_s = self._do(worker, life, *item)
            is_done = delay_s is None
        finally:
            with self._changed:
                if not is_done:
                    self._iqueue.put(item)
                self._open -= 1
                self._changed.notify_all()
        if delay_s is not None:
            self._rest(worker, delay_s)

    def _do(self, worker: int, life: _Life, index: int, task: Any) -> float | None:
        """Have a task done; where the worker is too busy for it, for how long."""
        connection = life.connection
        if came := connection.unasked():
            self._doubt(worker, life, f"it wrote what nobody had asked for: {came[:_EXCERPT_BYTES]!r}")
        start = time.time()
        try:
            connection.send(task)
        except Exception as error:
            if not _is_to_blame(connection, task):
                raise
            error.add_note(f"This is task {index} of todo, which cannot be sent.")
            self._oqueue.put(Unsent(index, error))
            return None
        answer: Answer = checked(tuple(connection.get()))
        if connection.unread_bytes():
            self._doubt(worker, life, "it wrote an answer before it had read the task")
        with self._lock:
            self._told.lines(answer.stdout, answer.stderr)
            self._told.times(start, time.time())
            life.answers += 1
            if isinstance(answer.value, TooBusy):
                return answer.value.delay
            self.record.answered(worker, time.time() - start)
        if isinstance(answer.value, RemoteException):
            answer.value.index, answer.value.arglist = index, self._told.list_of_args[worker]
            answer.value.stdout, answer.value.stderr = list(answer.stdout or ()), list(answer.stderr or ())
        self._refusals[worker] //= 2
        self._oqueue.put(Done(index, answer.value))
        if life.answers > 1:
            life.done.append((index, task))
        return None

    def _doubt(self, worker: int, life: _Life, why: str) -> NoReturn:
        """End a worker whose answers may be those of other tasks: they have no numbers. Its last are made again."""
        if life.answers:
            follows = "; its last results are made again" if life.done else ""
            self._oqueue.put(Misbehaved(worker, why + follows))
        for item in life.done:
            # Told before it is there for others, so that nobody believes that all is done.
            self._oqueue.put(Again(item[0]))
            with self._changed:
                self._iqueue.put(item)
        raise NoResponse(why)

    def _rest(self, worker: int, delay_s: float) -> None:
        """Leave a busy worker alone, longer the busier it has been, shorter as the queue empties."""
        self._refusals[worker] += 1
        since = time.monotonic()
        while not self._over.is_set():
            rest_s = _native.rest_s(delay_s, self._refusals[worker], self._iqueue.qsize(), len(self))
            left_s = since + rest_s - time.monotonic()
            if left_s <= 0 or self._over.wait(min(left_s, _LOOK_S)):
                return

    def _finish(self, worker: int, life: _Life) -> None:
        life.connection.close()
        lines = life.connection.wait()
        with self._lock:
            self.tails[worker] = lines
            self._told.tail(worker, lines)
        if life.answers and begins_with_answer("".join(lines).encode("utf-8", "surrogateescape"), "pickle"):
            self._oqueue.put(OneTooMany(worker, life.answers))


def _is_to_blame(connection: Connection, item: Any) -> bool:
    """Whether sending has failed because this cannot be pickled."""
    if not isinstance(connection, Connection_subprocess):
        return False
    try:
        writer("pickle")(item)
    except Exception:
        return True
    return False
