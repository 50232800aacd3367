"""Parallel programming with a group of workers.

A `Sleigh` starts workers and runs functions on them: `eachElem` for every element of a list, `eachWorker` once on every
worker. Nothing is to be started by hand, and no `if __name__ == "__main__"` is needed:

    >>> from nws.sleigh import Sleigh
    >>> with Sleigh(workerCount=2) as s:
    ...     s.eachElem(lambda x: x**3, range(5))
    [0, 1, 8, 27, 64]
"""

import atexit
import json
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from nws import _native, _pickle
from nws._sleigh import arguments, checks
from nws._sleigh.accumulators import Accumulator, Receiver, receiver
from nws._sleigh.events import EventLog
from nws._sleigh.exceptions import (
    SleighException,
    SleighGatheredException,
    SleighIllegalValueException,
    SleighJoinException,
    SleighNwsException,
    SleighOccupiedException,
    SleighPicklingException,
    SleighScriptException,
    SleighStoppedException,
    SleighTaskException,
)
from nws._sleigh.functions import Define, Function, name_of, prepare
from nws._sleigh.iterator import Ordered, SleighResultIterator
from nws._sleigh.nesting import refuse_while_imported
from nws._sleigh.options import Options, defaultSleighOptions
from nws._sleigh.pending import SleighPending
from nws._sleigh.run import Run
from nws._sleigh.said import Said, SleighOutput, TaskOutput, levels
from nws._sleigh.setup import SetUp, label_of
from nws._sleigh.spaces import describe_worker, make_user_space, master_spaces
from nws._sleigh.starting import start

if TYPE_CHECKING:
    from nws.client import NetWorkSpace

__all__ = [
    "Sleigh",
    "SleighException",
    "SleighGatheredException",
    "SleighIllegalValueException",
    "SleighJoinException",
    "SleighNwsException",
    "SleighOccupiedException",
    "SleighOutput",
    "SleighPending",
    "SleighPicklingException",
    "SleighResultIterator",
    "SleighScriptException",
    "SleighStoppedException",
    "SleighTaskException",
    "TaskOutput",
    "defaultSleighOptions",
]

# The defaults as documented: no elements, and no fixed arguments.
_NO_ELEMENTS: list[Any] = [[]]
_NO_ARGUMENTS: list[Any] = []

_living: "weakref.WeakSet[Sleigh]" = weakref.WeakSet()


class Sleigh:
    """A group of worker processes that run functions.

    The workers start with the object and end with `stop`, with the `with` block, or with this process, however it ends.
    Keyword arguments; `defaultSleighOptions` has the values of those that are left out:
    - `launch`: `'local'`, the one launcher of this version.
    - `workerCount`: how many workers; 3 by default. `'auto'`: one for each core that this process may use.
    - `nwsHost`, `nwsPort`: a server to use (`NWS_URL`, `PythonSleighNwsHost` and `PythonSleighNwsPort` name one as
      well). Where none is named the sleigh brings its own.
    - `nwsHostRemote`, `nwsPortRemote`: where workers reach the server that was named; by default as the master does.
    - `workingDir`: the workers' working directory; this process's by default.
    - `modulePath`: a folder that the workers find modules in, before any other. They also find what this process finds.
    - `python`: the Python that workers run; this process's by default.
    - `outfile`: a file to which what workers print is appended; by default it goes where this process's output goes.
    - `logDir`: a folder in which each worker writes a log of its own, with the tracebacks of failed tasks.
    - `verbose`: master and workers tell on standard error what they do, and each worker logs every task, to a file in
      `logDir` or else in its working directory. Off by default.
    - `initializer`, `initargs`: a function that each worker calls with these arguments before its first task, or
      statements; a worker that replaces another does so as well. A worker whose initializer fails is given up.
    - `output`: what tasks write is kept for each task and shown as it comes, `'show'`; with worker and task before each
      line, `'prefix'`; or not shown, `'keep'`. `'inherit'`, which is the default with `outfile`: it is not captured.
    - `outputLimit`: how many bytes of a task's standard output are kept and shown, and as many of standard error;
      1 MiB by default.
    - `threadsPerWorker`: how many threads OpenMP, BLAS and the like may start in each worker. `'auto'`, the default:
      the worker's share of the cores, unless the environment says otherwise; `None`: whatever they like.
    - `wsNameTemplate`: a format string for the name of the sleigh's workspace; `'sleigh_ride_%04d'` by default.
    - `userWsNameTemplate`: the same for the workspace `userNws`; `'sleigh_user_%04d'` by default.
    - `userNwsName`: the name of a workspace to use as `userNws`, which may be there already.
    - `seed`: random numbers of tasks follow from it, from the number of the call, and from the task's index.
    - `memoryLimit`: how much memory a worker may hold, with what it started: bytes, or `'2GiB'`. A task that takes it
      beyond that fails alone. No limit by default.
    - `retries`: how often a task is run again after a worker died of it; 1 by default.
    - `progress`: show a progress bar; by default after the first second where standard error is a terminal.
    - `events`: a file to which one JSON object a line is appended for all that happens; `nws.timeline` draws it.
    - `nodeList`, `scriptExec`, `scriptDir`, `scriptName`, `user`: for launchers that reach other machines. They are
      checked, and mean nothing to `'local'`.

    Raises `TypeError` for an unknown option, `SleighIllegalValueException` for a value that an option cannot have,
    `SleighNwsException` where the server cannot be reached or nothing can be started.
    """

    def __init__(self, *deprecated: Any, **options: Any) -> None:
        self._core: _native.SleighCore | None = None
        refuse_while_imported()
        self._options = Options.checked(_named(deprecated, options))
        self._set_up = _set_up_of(self._options)
        self._said = Said(self._options.captured())
        self._busy = threading.Lock()
        self._calls = 0
        self._current: Callable[[], Run | None] = lambda: None
        self._owner_pid = os.getpid()
        self._failure: SleighNwsException | None = None
        self._events = EventLog(self._options.events) if self._options.events else None
        # The ranks of the workers that count, where the group was closed before all had joined.
        self._group: list[int] | None = None
        self._core = start(self._options, self._set_up.is_awaited)
        self._set_up.open(self._core)
        self._user_space = make_user_space(self._core, self._options.userWsNameTemplate, self._options.userNwsName)
        self._opened: tuple[NetWorkSpace, NetWorkSpace] | None = None
        _living.add(self)
        self._debug(f"{self} has started")

    @property
    def workerCount(self) -> int:
        """How many workers there are; fewer than were asked for where `status` closed the group early."""
        return self._options.workerCount if self._group is None else len(self._group)

    @property
    def output(self) -> SleighOutput:
        """What the tasks of the last call wrote to standard output and error, by index: `s.output[3].stdout`."""
        return self._said.output

    @property
    def nodeList(self) -> list[str]:
        """The host of each worker."""
        return ["localhost"] * self.workerCount

    @property
    def nws(self) -> "NetWorkSpace":
        """The sleigh's own workspace, through which its tasks travel. Workers see it as `SleighNws`."""
        return self._spaces()[0]

    @property
    def userNws(self) -> "NetWorkSpace":
        """A workspace for the program and its tasks, which goes with the sleigh. Workers see it as `SleighUserNws`."""
        return self._spaces()[1]

    def _spaces(self) -> tuple["NetWorkSpace", "NetWorkSpace"]:
        core = self._usable()
        if self._opened is None:
            self._opened = master_spaces(core, self._user_space)
        return self._opened

    def eachElem(
        self,
        fun: Function,
        elementArgs: Any = _NO_ELEMENTS,
        fixedArgs: Any = _NO_ARGUMENTS,
        *,
        type: str | None = None,
        blocking: bool = True,
        argPermute: Any = None,
        loadFactor: int | None = None,
        accumulator: Accumulator | None = None,
        chunkSize: int | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        seed: int | None = None,
    ) -> Any:
        """Run `fun` once for each element, on whichever workers are free, and return the results in order.

        `elementArgs` holds the arguments that vary: a *list* whose first item is iterable (a string is) is a list of
        columns, one for each varying argument; anything else is one column. `fixedArgs` are appended to each task's
        arguments: a list of them, or one that is no list. `argPermute` lists indexes into varying and fixed arguments
        together: which to pass, in which order. `loadFactor` is the most tasks a worker that are under way at one time;
        by default all. A worker takes tasks by chunks of `chunkSize`, several at a time while they are short; how many
        it takes follows else from how long they are alone. `retries` overrides the sleigh's. A task that takes
        longer than `timeout` seconds is ended with its worker and fails alone. With `seed` the random numbers of a task
        follow from that and its index, on whichever worker it runs.

        `fun` is a function, or an expression or statements in a string, which see their arguments as the list
        `SleighArguments`; statements give what they assign to `SleighValue`. `type` is `'invoke'` for functions and
        `'eval'` for strings; with `'define'` a function is not called but made known on the workers under its name (a
        lambda as `SleighFunction`).

        An `accumulator` gets the results as they come, as a list of values and a list of indexes: it is a function, or
        an object with `result(values, indexes)`, and where it likes `error(values, indexes)` for failed tasks and
        `value()` for what this call shall return. With `blocking` false the call returns a `SleighPending` as soon as
        all tasks are submitted, and `loadFactor` is ignored.

        A task that fails leaves a `SleighTaskException` in the place of its result; the others go on.

            >>> with Sleigh(workerCount=2) as s:
            ...     s.eachElem(pow, [[2, 3, 4], [5, 2, 1]])
            [32, 9, 4]

        Raises `SleighIllegalValueException` for arguments that do not fit together, `SleighPicklingException` for what
        cannot be sent to a worker, `SleighNwsException` where the server or all workers are lost.
        """
        columns = arguments.columns_of(elementArgs)
        fixed = arguments.fixed_of(fixedArgs)
        permutation = arguments.checked_permutation(argPermute, len(columns) + len(fixed))
        factor = None if loadFactor is None else checks.checked_count("loadFactor", loadFactor)
        chunk = None if chunkSize is None else checks.checked_count("chunkSize", chunkSize)
        rows, total = arguments.rows_of(columns)
        what = (prepare(fun, type, fixed, permutation), len(columns) > 1, chunk)
        run = self._begin(
            fun, what, arguments.samples_of(columns), receiver(accumulator), total, retries, timeout, seed
        )
        with _ended_by_errors(run):
            run.submit_all(rows, None if factor is None or not blocking else factor * self.workerCount)
        return SleighPending(run).wait() if blocking else SleighPending(run)

    def eachWorker(
        self,
        fun: Function,
        *workerArgs: Any,
        type: str | None = None,
        blocking: bool = True,
        accumulator: Accumulator | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        seed: int | None = None,
    ) -> Any:
        """Run `fun(*workerArgs)` once on every worker and return the results in order of rank.

        What it defines (globals of its module, imports) stays with the workers and is seen by later tasks. `type`,
        `blocking`, `accumulator`, `retries`, `timeout` and `seed` are as for `eachElem`.

            >>> with Sleigh(workerCount=2) as s:
            ...     s.eachWorker("SleighRank")
            [0, 1]
        """
        what = (prepare(fun, type, workerArgs, None), True, 1)
        run = self._begin(fun, what, [], receiver(accumulator), self.workerCount, retries, timeout, seed)
        with _ended_by_errors(run):
            run.submit_to_each()
        return SleighPending(run).wait() if blocking else SleighPending(run)

    def imap(
        self,
        fun: Function,
        *iterables: Iterable[Any],
        type: str | None = None,
        loadFactor: int | None = None,
        chunkSize: int | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        seed: int | None = None,
    ) -> SleighResultIterator:
        """Run `fun` for the items of the iterables, as `map` does, and return an iterator over the results in order.

        The iterables may be endless: they are read no further ahead than `loadFactor` tasks a worker beyond what was
        consumed. By default that is ten, and more while tasks are so short that the workers run out of them. A failed
        task is a `SleighTaskException` among the results.

            >>> import itertools
            >>> with Sleigh(workerCount=2) as s:
            ...     list(itertools.islice(s.imap(pow, itertools.count(), itertools.repeat(2)), 5))
            [0, 1, 4, 9, 16]
        """
        if not iterables:
            raise TypeError("imap: expected at least one iterable")
        rows = zip(*iterables, strict=False)
        return self._stream(fun, rows, type, loadFactor, chunkSize, retries, timeout, seed)

    def starmap(
        self,
        fun: Function,
        iterable: Iterable[Iterable[Any]],
        *,
        type: str | None = None,
        loadFactor: int | None = None,
        chunkSize: int | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        seed: int | None = None,
    ) -> SleighResultIterator:
        """As `imap`, for one iterable whose items are the arguments of a task each.

        >>> with Sleigh(workerCount=2) as s:
        ...     list(s.starmap(pow, [(2, 5), (3, 2)]))
        [32, 9]
        """
        return self._stream(fun, map(tuple, iterable), type, loadFactor, chunkSize, retries, timeout, seed)

    def _stream(
        self,
        fun: Function,
        rows: Iterator[tuple[Any, ...]],
        type: str | None,
        load_factor: int | None,
        chunk_size: int | None,
        retries: int | None,
        timeout: float | None,
        seed: int | None,
    ) -> SleighResultIterator:
        factor = None if load_factor is None else checks.checked_count("loadFactor", load_factor)
        chunk = None if chunk_size is None else checks.checked_count("chunkSize", chunk_size)
        into = Ordered()
        run = self._begin(fun, (prepare(fun, type, (), None), True, chunk), [], into, None, retries, timeout, seed)
        return SleighResultIterator(run, into, rows, self.workerCount, factor)

    def status(self, closeGroup: bool = False, timeout: float = 0.0) -> tuple[int, bool]:
        """Return how many workers have joined so far, and whether the group is closed: nobody else can join.

        The group closes by itself when all workers have joined; this waits for that, at most `timeout` seconds. With
        `closeGroup` it is closed then in any case: whoever comes later is turned away by a `SleighJoinException`, and
        the sleigh goes on with those that are there, whose ranks are counted anew.

            >>> with Sleigh(workerCount=2) as s:
            ...     s.status(timeout=60)
            (2, True)

        Raises `SleighNwsException` where the sleigh has ended.
        """
        close = checks.flag("closeGroup", closeGroup)
        timeout_s = checks.seconds("timeout", timeout)
        core = self._usable()
        joined, closed = core.group(timeout_s)
        if close and not closed:
            joined, closed = core.close_group(), True
            if len(joined) < self._options.workerCount:
                self._group = joined
                self._set_up.regroup(joined)
                self._debug(f"the group was closed with workers {joined}")
        return len(joined), closed

    def workerInfo(self) -> list[dict[str, Any]]:
        """Return a dictionary for each worker, in order of rank: host, os, pid, python, nws, rank, logfile."""
        info: list[dict[str, Any]] = self.eachWorker(describe_worker)
        return info

    def cancel(self, finish: bool = False) -> bool:
        """Cancel the call that goes on, from another thread or a signal handler; says whether there was one.

        Its tasks that have not begun are dropped, those that run are ended with all that they started, or with `finish`
        come to their end. The call returns what has come so far, and for each other task a `SleighTaskException` of
        type `'Cancelled'`; a `SleighResultIterator` ends.
        """
        run = self._current()
        if run is None or run.over:
            return False
        run.cancel(finish)
        return True

    def stop(self) -> None:
        """End the workers and all that they started, and the server that the sleigh brought. May be called again."""
        core, self._core = self._core, None
        _living.discard(self)
        if core is not None:
            self._debug(f"sleigh {core.workspace!r} is stopped")
        if core is not None and os.getpid() == self._owner_pid:
            self._hear_the_rest(core)
            core.stop()
            self._failure = None
        if self._events is not None:
            for rank in self._group if self._group is not None else range(self.workerCount):
                self._events.write("worker_left", rank=rank, pid=0, cause="the sleigh was stopped")
            self._events.flush()
            self._events = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __del__(self) -> None:
        if getattr(self, "_core", None) is not None:
            self.stop()

    def __reduce__(self) -> Any:
        raise TypeError(
            "cannot pickle a Sleigh: its workers belong to this process; keep it out of what tasks are given and use"
        )

    def __str__(self) -> str:
        if self._core is None:
            return "Sleigh (stopped)"
        return f"Sleigh {self._core.workspace!r} with {self.workerCount} workers"

    def _begin(
        self,
        fun: Function,
        what: tuple[Any, ...],
        samples: list[Any],
        into: Receiver,
        total: int | None,
        retries: int | None,
        timeout: float | None,
        seed: int | None,
    ) -> Run:
        often = self._options.retries if retries is None else checks.checked_count("retries", retries, 0)
        timeout_ms = None if timeout is None else checks.checked_timeout_ms("timeout", timeout)
        core = self._usable()
        if not self.workerCount:
            raise SleighNwsException("the group was closed before any worker had joined; make another sleigh")
        if not self._busy.acquire(blocking=False):
            raise SleighOccupiedException("this sleigh is busy with another call; wait for it, or make another sleigh")
        try:
            shipment = _shipment(fun, (*what, self._group, self._levels(), self._seed(seed)), samples)
            if isinstance(what[0], Define):
                self._set_up.define(what[0].name, shipment.data)
            self._debug(f"begins a call of {name_of(fun)}")
            run = Run(self, core.begin_run(shipment.data, often, timeout_ms, what[2]), shipment, total, into)
            self._current = weakref.ref(run)
            self._calls += 1
            return run
        except BaseException as error:
            self._release(error)
            raise

    def _seed(self, seed: int | None) -> tuple[int, ...] | None:
        """Return what the random numbers of a call follow from."""
        if seed is not None:
            return (checks.seed("seed", seed),)
        return None if self._options.seed is None else (self._options.seed, self._calls)

    def _levels(self) -> dict[str, int] | None:
        return None if self._options.captured() == "inherit" else levels()

    @property
    def _was_stopped(self) -> bool:
        return self._core is None and self._failure is None

    def _usable(self) -> _native.SleighCore:
        if os.getpid() != self._owner_pid:
            raise SleighNwsException("this sleigh was made before a fork and is its parent's; make another one here")
        if self._failure is not None:
            raise SleighNwsException(str(self._failure))
        if self._core is None:
            raise SleighStoppedException("this sleigh was stopped; make another one")
        return self._core

    def _heard(self, message: dict[str, Any]) -> None:
        """Take in what the host said."""
        if self._events is not None:
            self._events.heard(message)

    def _hear_the_rest(self, core: _native.SleighCore) -> None:
        """Tell in the events what the host said since the last call."""
        if self._events is not None:
            try:
                for message in core.messages():
                    self._heard(json.loads(message))
            except SleighNwsException:
                pass  # The sleigh has ended: whoever calls it is told why.

    def _rank_of(self, seat: int) -> int:
        """Return the rank that the worker in this seat has for tasks."""
        return self._group.index(seat) if self._group is not None and seat in self._group else seat

    def _debug(self, what: str) -> None:
        if self._options.verbose:
            print(f"nws: {what}", file=sys.stderr, flush=True)

    def _release(self, error: BaseException | None) -> None:
        """A call is over. What ended the sleigh is remembered: every further call says why."""
        self._busy.release()
        self._debug("the call is over" if error is None else f"the call has ended: {error}")
        if isinstance(error, SleighNwsException) and self._failure is None:
            core, self._core = self._core, None
            self._failure = error
            _living.discard(self)
            if core is not None:
                core.stop()


@contextmanager
def _ended_by_errors(run: Run) -> Iterator[None]:
    """End the run where its tasks cannot be submitted; else that is for whoever gathers its results."""
    try:
        yield
    except BaseException as error:
        run.end(error)
        raise


def _set_up_of(options: Options) -> SetUp:
    """Pickle what workers begin with, before any of them is started for nothing."""
    made = SetUp()
    if options.initargs and options.initializer is None:
        raise SleighIllegalValueException("initargs: expected an initializer to give them to, got none")
    if options.initializer is not None:
        function = prepare(options.initializer, None, options.initargs, None)
        made.initialize(label_of(options.initializer), _shipment(options.initializer, (function,), []).data)
    return made


def _shipment(fun: Function, what: tuple[Any, ...], samples: list[Any]) -> _pickle.Shipment:
    try:
        return _pickle.Shipment(what, samples)
    except Exception as error:
        why = _pickle.explain(what[0], error)
        raise SleighPicklingException(
            f"{name_of(fun)} with its fixed arguments cannot be sent to a worker: {why}"
        ) from error


def _named(deprecated: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with what old programs pass by position: the list of nodes."""
    if not deprecated:
        return options
    if len(deprecated) > 1 or "nodeList" in options:
        raise TypeError(f"Sleigh: expected options by name, got {len(deprecated)} by position")
    warnings.warn("Sleigh: options by position are deprecated; write nodeList=", DeprecationWarning, stacklevel=3)
    return {"nodeList": deprecated[0], **options}


@atexit.register
def _stop_all() -> None:
    for sleigh in list(_living):
        sleigh.stop()
