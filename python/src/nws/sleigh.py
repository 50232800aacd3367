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
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from nws import _native, _pickle
from nws._binary import binary_path
from nws._sleigh import arguments
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
from nws._sleigh.failures import restore
from nws._sleigh.options import Options, checked_count
from nws._sleigh.progress import Progress

__all__ = [
    "Sleigh",
    "SleighException",
    "SleighGatheredException",
    "SleighIllegalValueException",
    "SleighJoinException",
    "SleighNwsException",
    "SleighOccupiedException",
    "SleighPicklingException",
    "SleighScriptException",
    "SleighStoppedException",
    "SleighTaskException",
]

# How often a waiting call looks at its progress bar and its events, in seconds.
_TURN_S = 0.2
# How many tasks are submitted between two looks at what came back.
_SUBMIT_TASKS = 8192

_living: "weakref.WeakSet[Sleigh]" = weakref.WeakSet()


class Sleigh:
    """A group of worker processes that run functions.

    The workers start with the object and end with `stop`, with the `with` block, or with this process, however it ends.
    Keyword arguments:
    - `workerCount`: how many workers; 3 by default.
    - `nwsHost`, `nwsPort`: a server to use (`NWS_URL`, `PythonSleighNwsHost` and `PythonSleighNwsPort` name one as
      well). Where none is named the sleigh brings its own.
    - `workingDir`: the workers' working directory; this process's by default.
    - `modulePath`: a folder that the workers find modules in, before any other. They also find what this process finds.
    - `verbose`: workers tell on standard error when they come and go; off by default.
    - `retries`: how often a task is run again after a worker died of it; 1 by default.
    - `progress`: show a progress bar; by default after the first second where standard error is a terminal.
    - `events`: a file to which one JSON object a line is appended for all that happens; `nws.timeline` draws it.
    - `python`: the Python that workers run; this process's by default.
    - `wsNameTemplate`: a format string for the name of the sleigh's workspace; `'sleigh_ride_%04d'` by default.
    - `launch`: `'local'`, the one launcher of this version.

    Raises `TypeError` for an unknown option, `SleighIllegalValueException` for a value that an option cannot have,
    `SleighNwsException` where the server cannot be reached or nothing can be started.
    """

    def __init__(self, **options: Any) -> None:
        self._core: _native.SleighCore | None = None
        self._options = Options.checked(options)
        self._busy = threading.Lock()
        self._owner_pid = os.getpid()
        self._failure: SleighNwsException | None = None
        self._events = EventLog(self._options.events) if self._options.events else None
        try:
            binary = binary_path()
        except FileNotFoundError as error:
            raise SleighScriptException(str(error)) from None
        self._core = _native.SleighCore(
            binary=str(binary),
            template=self._options.wsNameTemplate,
            server=self._options.server(),
            worker_count=self._options.workerCount,
            program=self._options.python,
            args=_worker_arguments(self._options.python),
            env=[],
            cwd=self._options.workingDir or os.getcwd(),
            settings=json.dumps(self._settings()),
        )
        _living.add(self)

    def _settings(self) -> dict[str, Any]:
        path = [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]
        if self._options.modulePath:
            path.insert(0, self._options.modulePath)
        return {
            "argv": [argument for argument in sys.argv if isinstance(argument, str)],
            "path": path,
            "verbose": self._options.verbose,
            "faulthandler": True,
        }

    @property
    def workerCount(self) -> int:
        """How many workers there are."""
        return self._options.workerCount

    def eachElem(
        self,
        fun: Callable[..., Any],
        elementArgs: Any = (),
        fixedArgs: Any = None,
        *,
        argPermute: Any = None,
        loadFactor: int | None = None,
        chunkSize: int | None = None,
        retries: int | None = None,
    ) -> list[Any]:
        """Run `fun` once for each element, on whichever workers are free, and return the results in order.

        `elementArgs` holds the arguments that vary: a *list* whose first item is iterable (a string is) is a list of
        columns, one for each varying argument; anything else is one column. `fixedArgs` are appended to each task's
        arguments: a list of them, or one that is no list. `argPermute` lists indexes into varying and fixed arguments
        together: which to pass, in which order. `loadFactor` is the most tasks a worker that are under way at one time;
        by default all. `chunkSize` fixes how many tasks travel together, which by default follows from how long they
        take. `retries` overrides the sleigh's.

        A task that fails leaves a `SleighTaskException` in the place of its result; the others go on.

            >>> with Sleigh(workerCount=2) as s:
            ...     s.eachElem(pow, [[2, 3, 4], [5, 2, 1]])
            [32, 9, 4]

        Raises `SleighIllegalValueException` for arguments that do not fit together, `SleighPicklingException` for what
        cannot be sent to a worker, `SleighNwsException` where the server or all workers are lost.
        """
        columns = arguments.columns_of(elementArgs)
        fixed = [] if fixedArgs is None else arguments.fixed_of(fixedArgs)
        permutation = arguments.checked_permutation(argPermute, len(columns) + len(fixed))
        most = None if loadFactor is None else checked_count("loadFactor", loadFactor) * self.workerCount
        chunk = None if chunkSize is None else checked_count("chunkSize", chunkSize)
        rows, total = arguments.rows_of(columns)
        arranged = _arranged(fun, fixed, permutation)
        shipment = _shipment(fun, (arranged, len(columns) > 1, chunk), arguments.samples_of(columns))
        with self._run(shipment.data, retries, total) as run:
            return run.elements(rows, most, shipment)

    def eachWorker(self, fun: Callable[..., Any], *workerArgs: Any, retries: int | None = None) -> list[Any]:
        """Run `fun(*workerArgs)` once on every worker and return the results in order of rank.

        What it defines (globals of its module, imports) stays with the workers and is seen by later tasks.

            >>> with Sleigh(workerCount=2) as s:
            ...     len(set(s.eachWorker(__import__("os").getpid)))
            2
        """
        shipment = _shipment(fun, (_arranged(fun, workerArgs, None), True, 1), [])
        with self._run(shipment.data, retries, self.workerCount) as run:
            return run.workers()

    def stop(self) -> None:
        """End the workers and all that they started, and the server that the sleigh brought. May be called again."""
        core, self._core = self._core, None
        _living.discard(self)
        if core is not None and os.getpid() == self._owner_pid:
            core.stop()
            self._failure = None
        if self._events is not None:
            for rank in range(self.workerCount):
                self._events.write("worker_left", rank=rank, pid=0, cause="the sleigh was stopped")
            self._events.close()
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

    def __str__(self) -> str:
        if self._core is None:
            return "Sleigh (stopped)"
        return f"Sleigh {self._core.workspace!r} with {self.workerCount} workers"

    def _run(self, definition: bytes, retries: int | None, total: int | None) -> "_Run":
        if os.getpid() != self._owner_pid:
            raise SleighNwsException("this sleigh was made before a fork and is its parent's; make another one here")
        if self._failure is not None:
            raise SleighNwsException(str(self._failure))
        if self._core is None:
            raise SleighStoppedException("this sleigh was stopped; make another one")
        if not self._busy.acquire(blocking=False):
            raise SleighOccupiedException("this sleigh is busy with another call; wait for it, or make another sleigh")
        try:
            often = self._options.retries if retries is None else checked_count("retries", retries, 0)
            return _Run(self, self._core.begin_run(definition, often), total)
        except BaseException as error:
            self._busy.release()
            self._note(error)
            raise

    def _note(self, error: BaseException | None) -> None:
        """Remember what ended the sleigh: it cannot be used again, and every further call says why."""
        if isinstance(error, SleighNwsException) and self._failure is None:
            core, self._core = self._core, None
            self._failure = error
            _living.discard(self)
            if core is not None:
                core.stop()


class _Run:
    """One call of `eachElem` or `eachWorker` while it goes on; as a context it ends or gives up the run."""

    def __init__(self, sleigh: Sleigh, run: _native.Run, total: int | None) -> None:
        self._sleigh = sleigh
        self._run = run
        self._events = sleigh._events
        self._timeline: list[tuple[int, int, int, int, bool]] | None = [] if self._events else None
        self._results: list[Any] = []
        self._progress = Progress(sleigh._options.progress, total)
        if self._events:
            self._events.write("run_began", run=run.number, tasks=total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._progress.close()
            if error is None:
                self._run.end()
            elif not isinstance(error, SleighNwsException):
                self._run.give_up()
            if self._events:
                self._look([])
                self._events.write("run_done", run=self._run.number, tasks=self._run.submitted)
                self._events.flush()
        finally:
            self._sleigh._busy.release()
            self._sleigh._note(error)

    def elements(self, rows: Iterator[Any], most: int | None, shipment: _pickle.Shipment) -> list[Any]:
        def dumps(argument: Any) -> bytes:
            try:
                return shipment.dumps(argument)
            except Exception as error:
                raise _Unpicklable(argument, error) from error

        step = _SUBMIT_TASKS if most is None else most
        more = True
        while more:
            free = step if most is None else most - self._run.outstanding
            try:
                more = self._run.submit(rows, free, dumps)
            except _Unpicklable as problem:
                what = _pickle.explain(problem.argument, problem.error)
                raise SleighPicklingException(
                    f"the arguments of task {self._run.submitted} cannot be sent to a worker: {what}"
                ) from problem.error
            if most is not None:
                self._collect(most - 1)
            else:
                self._collect_what_came()
        self._collect(0)
        return self._results

    def workers(self) -> list[Any]:
        self._run.submit_to_each((), _pickle.dumps)
        self._collect(0)
        return self._results

    def _collect(self, until: int) -> None:
        while self._run.outstanding > until:
            self._take(until, _TURN_S)

    def _collect_what_came(self) -> None:
        if self._run.outstanding:
            self._take(self._run.outstanding - 1, 0.0)

    def _take(self, until: int, timeout_s: float) -> None:
        messages = self._run.collect(self._results, until, timeout_s, _pickle.loads, restore, self._timeline)
        self._look(messages)
        if self._progress.shown:
            self._progress.move(self._run.submitted - self._run.outstanding)

    def _look(self, messages: list[str]) -> None:
        if self._events is None or self._timeline is None:
            return
        for message in messages:
            self._events.heard(json.loads(message))
        self._events.tasks(self._run.number, self._timeline)


class _Unpicklable(Exception):
    """An argument that cannot be pickled, on its way out of the native module."""

    def __init__(self, argument: Any, error: Exception) -> None:
        super().__init__(error)
        self.argument = argument
        self.error = error


def _arranged(fun: Callable[..., Any], fixed: Any, permutation: tuple[int, ...] | None) -> Callable[..., Any]:
    if not callable(fun):
        raise TypeError(f"fun: expected something that can be called, got {type(fun).__name__}")
    return arguments.Arrange(fun, fixed, permutation) if fixed or permutation is not None else fun


def _shipment(fun: Callable[..., Any], parts: tuple[Any, ...], samples: list[Any]) -> _pickle.Shipment:
    try:
        return _pickle.Shipment(parts, samples)
    except Exception as error:
        what = _pickle.explain(parts[0], error)
        name = getattr(fun, "__qualname__", repr(fun))
        raise SleighPicklingException(f"{name} with its fixed arguments cannot be sent to a worker: {what}") from error


def _worker_arguments(python: str) -> list[str]:
    """Return the arguments of the Python that becomes a worker."""
    if python != sys.executable:
        return ["-c", "from nws._worker import main; main()"]
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

    # The same Python finds this package where this process found it, however that was.
    place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    find = f"import sys; sys.path.insert(0, {place!r}); from nws._worker import main; main()"
    return [*_args_from_interpreter_flags(), "-c", find]


@atexit.register
def _stop_all() -> None:
    for sleigh in list(_living):
        sleigh.stop()
