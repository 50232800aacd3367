"""A job whose commands are processes of this machine: the engine moves the bytes, this reads them."""

import pickle
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nws import _native
from nws._binary import binary_path
from nws._spread.answers import (
    ONE_TOO_MANY,
    CannotCreateConnection,
    JunkError,
    NoResponse,
    RemoteException,
    TooBusy,
    begins_with_answer,
    checked,
    notComputed,
    reader,
    writer,
    written,
)
from nws._spread.past import Record

__all__ = ["Job", "Told"]


class Told:
    """What a job tells while it goes on: lines, times, and, with `verbose`, what happens."""

    def __init__(
        self,
        list_of_args: Sequence[Sequence[str]],
        verbose: bool,
        timing_callback: Callable[[float, float], object] | None,
        tail_callback: Callable[[list[str], list[str]], object] | None,
    ) -> None:
        self.list_of_args = [list(args) for args in list_of_args]
        self._verbose = verbose
        self._timing, self._tail = timing_callback, tail_callback

    @property
    def wants_each(self) -> bool:
        """Whether something is told of every answer."""
        return self._verbose or self._timing is not None

    def lines(self, stdout: Iterable[str] | None, stderr: Iterable[str] | None) -> None:
        """Print what came with an answer."""
        for stream, lines in ((sys.stdout, stdout), (sys.stderr, stderr)):
            for line in lines or ():
                print(line, end="" if line.endswith("\n") else "\n", file=stream)

    def times(self, start: float, end: float) -> None:
        """An answer took so long."""
        if self._timing is not None:
            self._timing(start, end)

    def tail(self, worker: int, lines: list[str]) -> None:
        """What a process wrote at its end."""
        if self._tail is not None:
            self._tail(self.list_of_args[worker], lines)

    def event(self, worker: int, text: str) -> None:
        """Something that only the curious want to know."""
        if self._verbose:
            print(f"spread_jobs: {self.list_of_args[worker]}: {text}", file=sys.stderr)

    def left_out(self, worker: int, message: str) -> None:
        """A command cannot be started."""
        _warn(f"spread_jobs goes on without {self.list_of_args[worker]}: {message}")

    def given_up(self, worker: int, message: str) -> None:
        """A command is not started again, and others are left."""
        _warn(
            f"spread_jobs goes on without {self.list_of_args[worker]}, which has ended three times in a row without an "
            f"answer: {message}"
        )

    def misbehaved(self, worker: int, message: str) -> None:
        """A command does not keep to the protocol, but the job goes on."""
        _warn(f"spread_jobs: {self.list_of_args[worker]}: {message}; each task has one answer, and nothing else")

    def one_too_many(self, worker: int, answers: int) -> None:
        """A process has given so many answers, and one more in the end; raises `NoResponse` for those that count."""
        if answers == 1:
            # Nothing came before that could have been taken for it.
            self.misbehaved(worker, ONE_TOO_MANY)
            return
        raise NoResponse(
            f"{self.list_of_args[worker]}: {ONE_TOO_MANY}: its results may be those of other tasks; see that it gives "
            "each task one answer"
        )

    def tail_lost(self, worker: int, message: str) -> None:
        """The tasks are done, but the end of a connection failed."""
        _warn(f"spread_jobs has no last lines of {self.list_of_args[worker]}: {message}")


def _warn(text: str) -> None:
    """Warn of something, at the line of the user's that called us."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "nws":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RuntimeWarning, stacklevel=level)


def lines_of(output: bytes) -> list[str]:
    """As `readlines` would give them."""
    return output.decode("utf-8", "surrogateescape").splitlines(keepends=True)


class Job:
    """One call of `main`."""

    def __init__(
        self,
        todo: Iterable[Any],
        told: Told,
        record: Record,
        *,
        order: Sequence[int],
        stdin: Iterable[Any],
        encoding: str,
        timeout: float | None,
        limit_bytes: int,
    ) -> None:
        self._told, self._record = told, record
        self._encoding, self._read, self._write = encoding, reader(encoding), writer(encoding)
        # Without it every answer is looked at here.
        self._loads = pickle.loads if encoding == "pickle" and not told.wants_each else None
        self._todo = iter(todo)
        self.results: list[Any] = []
        self.tails: list[list[str]] = [[] for _ in told.list_of_args]
        self._ends: dict[int, str] = {}
        self._started = self._left = len(told.list_of_args)
        self._timeout, self._limit = timeout, limit_bytes
        self._core = _native.SpreadCore(
            binary=binary_path(),
            commands=told.list_of_args,
            order=order,
            prelude=b"".join(written(self._write, item, index) for index, item in enumerate(stdin)),
            framing=encoding,
            timeout_s=timeout,
            limit_bytes=limit_bytes,
        )

    def _submit(self) -> bool:
        """Send what there is room for; whether there may be more."""
        return self._core.submit(self._todo, self._write, self.results, notComputed)

    def run(self) -> None:
        """Work until all is done; whatever ends it, no process is left."""
        try:
            more = self._submit()
            while not self._take():
                if more:
                    more = self._submit()
        except (RemoteException, NoResponse, CannotCreateConnection) as error:
            error.results = self.results
            raise
        finally:
            self._core.stop()
            for worker, (count, seconds) in enumerate(self._core.tally()):
                self._record.answered(worker, seconds, count)

    def _take(self) -> bool:
        """Deal with what has come; whether all is done."""
        for arrival in self._core.take(self.results, self._loads):
            if isinstance(arrival, _native.SpreadAnswer):
                self._answer(arrival)
            elif self._happened(arrival):
                return True
        return False

    def _answer(self, arrival: _native.SpreadAnswer) -> None:
        worker, index = arrival.worker, arrival.task
        try:
            read = arrival.read()
            value, stdout, stderr = self._read(arrival.payload) if read is None else checked(read)
            del read
        except JunkError as error:
            self._core.reject(arrival, str(error))
            return
        start, end = arrival.times
        self._told.lines(stdout, stderr)
        self._told.times(start, end)
        if isinstance(value, TooBusy):
            self._core.refuse(arrival, value.delay)
            self._record.tried(worker)
            self._told.event(worker, f"too busy for task {index}")
        elif isinstance(value, RemoteException):
            value.index, value.arglist = index, self._told.list_of_args[worker]
            value.stdout, value.stderr = list(stdout or ()), list(stderr or ())
            try:
                raise value
            finally:
                # Else the error would hold this frame, and the frame the error.
                del value
        else:
            self.results[index] = value
            self._record.answered(worker, max(end - start, 0.0))
            self._told.event(worker, f"has done task {index}")

    def _happened(self, event: _native.SpreadEvent) -> bool:
        worker = event.worker if event.worker is not None else 0
        match event.kind:
            case "not_started":
                self._ends[worker] = event.message or ""
                self._started -= 1
                self._left -= 1
                self._told.left_out(worker, event.message or "")
            case "ended":
                self._ends[worker] = str(event.cause)
                self._record.tried(worker)
                self._told.event(worker, f"{event.cause}{'; it is given up' if event.given_up else ''}")
                self._left -= event.given_up
                if event.given_up and self._left > 0:
                    self._told.given_up(worker, str(event.cause))
            case "misbehaved":
                self._told.misbehaved(worker, event.message or "")
            case "output":
                self.tails[worker] = lines_of(event.output or b"")
                self._told.tail(worker, self.tails[worker])
                if event.answers and begins_with_answer(event.output or b"", self._encoding):
                    self._told.one_too_many(worker, event.answers)
            case "done" if self._started > 0:
                return True
            case _:
                raise self._failure(event)
        return False

    def _failure(self, event: _native.SpreadEvent) -> NoResponse | CannotCreateConnection:
        args = self._told.list_of_args
        if event.kind == "timed_out":
            times = f"within {self._timeout} s for the third time"
            return NoResponse(f"task {event.task} was not answered {times}; a longer timeout, or none, may help")
        if event.kind == "too_much_output":
            command = args[event.worker or 0]
            return NoResponse(f"{command} wrote more than {self._limit} bytes after its last answer (limit_bytes)")
        if event.kind == "host_died":
            return NoResponse(f"the process that starts and watches the commands has ended: {event.cause}")
        ends = "".join(f"\n  {args[worker]}: {text}" for worker, text in self._ends.items())
        if self._started <= 0:
            return CannotCreateConnection(f"expected commands that can be started, got none:{ends}")
        left = sum(result is notComputed for result in self.results)
        error = NoResponse(
            f"no command is left, and {left} of the tasks begun are not done; each was given up after three ends in a "
            f"row without an answer, and the last was:{ends}"
        )
        error.ends = [(args[worker], text) for worker, text in self._ends.items()]
        return error
