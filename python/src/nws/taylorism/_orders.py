"""What the Boss does: with what the master says, with what workers report, with what the scheduler chooses."""

import errno
import os
import pickle
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from nws._pickle import dumps_result
from nws.taylorism import _shared, _wire, schedulers
from nws.taylorism._choice import checked_choice
from nws.taylorism._crew import Crew
from nws.taylorism._failures import Failure, failed
from nws.taylorism._job import Job
from nws.taylorism._wire import Frame, Wire
from nws.taylorism._worker import registry

__all__ = ["Orders"]

# How often a scheduler that may change its mind by itself is asked.
_ASKED_AGAIN_S = 0.05
_FIRST = struct.Struct("<Q")


class Reports(Sequence[dict[str, Any]]):
    """What schedulers see of the reports; each is unpickled when it is looked at."""

    def __init__(self) -> None:
        """Begin with none."""
        self._pickled: list[tuple[str, bytearray]] = []

    def add(self, name: str, data: bytearray) -> None:
        """Add the report of the worker `name`, pickled."""
        self._pickled.append((name, data))

    def __len__(self) -> int:
        return len(self._pickled)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        name, data = self._pickled[index]
        return {"name": name, "report": pickle.loads(data)}


class Orders:
    """The Boss's state; `turn` moves it on."""

    def __init__(self, wire: Wire) -> None:
        """Answer through this."""
        self.heard: deque[Frame] = deque()
        self.crew = Crew(wire.close)
        self._wire = wire
        self._pending: list[dict[str, Any]] = []
        # The master's number of instructions that the scheduler has left as they are. Holding them keeps their ids.
        self._numbers: dict[int, tuple[int, dict[str, Any]]] = {}
        self._interrupted: list[dict[str, Any]] = []
        self._reports = Reports()
        self._scheduler: Any = None
        self._is_ours = False
        self._name: str | None = None
        self._verbose = False
        self._halted = True
        self._told_halted = False
        # What is pending is the last; nothing is begun any more; workers are not listened to.
        self._ending = False
        self._stopping = False
        self._deaf = False
        self._failure: tuple[Failure, str | None, dict[str, Any] | None] | None = None
        self._told_all = False

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done."""
        return self._told_all and not self.crew.workers

    def timeout_s(self) -> float | None:
        """How long until `turn` has something to do although nothing has come."""
        if self.heard:
            return 0.0
        times = [self.crew.timeout_s()]
        if self._may_begin() and not self._is_ours:
            times.append(_ASKED_AGAIN_S)
        return min((one for one in times if one is not None), default=None)

    def turn(self) -> None:
        """Hear one message of the master, take what workers report, begin what may be begun, end where that is due."""
        try:
            if self.heard:
                self._hear(self.heard.popleft())
            for job in self.crew.ended():
                self._take(job)
            if self._may_begin():
                self._begin()
        except Exception as error:
            self._fail(failed(error))
        # After a failure, too: where no worker is left, nothing else would ever move the Boss on.
        try:
            self._end_if_due()
        except Exception as error:
            # Instructions that cannot be told: the failure is, without them.
            failure, name, _ = self._failure or (failed(error), None, None)
            self._failure = (failure, name, None)
            self.crew.stop_all()
            self._end_if_due()

    def _may_begin(self) -> bool:
        return bool(self._pending) and not (self._halted or self._stopping or self._failure)

    def _hear(self, frame: Frame) -> None:
        if frame.kind == _wire.SIGNAL:
            self._obey(bytes(frame.payload).decode())
        elif frame.kind == _wire.START:
            self._name, self._verbose, scheduler = pickle.loads(frame.payload)
            self._scheduler = pickle.loads(scheduler)
            self._is_ours = type(self._scheduler).launchable.__module__ == schedulers.__name__
        elif frame.kind == _wire.ARRAY:
            if frame.descriptor is None:
                raise OSError(errno.EMFILE, f"{os.strerror(errno.EMFILE)}: a shared array cannot be had in the Boss")
            key, shape, dtype = pickle.loads(frame.payload)
            _shared.attach(key, shape, dtype, frame.descriptor)
        elif frame.kind == _wire.CLASSES:
            for name, data, why_not in pickle.loads(frame.payload):
                _know(name, data, why_not)
        elif frame.kind == _wire.WORKER:
            self.crew.hire(pickle.loads(frame.payload), self._scheduler.binded)
        elif frame.kind == _wire.INSTRUCTIONS:
            (first,) = _FIRST.unpack_from(frame.payload)
            for number, instructions in enumerate(pickle.loads(memoryview(frame.payload)[_FIRST.size :]), first):
                self._numbers[id(instructions)] = (number, instructions)
                self._pending.append(instructions)

    def _obey(self, signal: str) -> None:
        if signal == "HALT":
            self._halted = True
        elif signal == "RESUME":
            self._halted = self._told_halted = False
        elif signal == "SEND_REPORT":
            self._wire.send(_wire.INTERIM)
        else:
            self._ending = True
            self._stopping |= signal != "END"
            self._deaf |= signal == "STOP_LISTENING"
            if signal == "STOP_RIGHTNOW":
                self.crew.stop_all()

    def _begin(self) -> None:
        # The scheduler may change the list that it is given.
        before = self._pending if self._is_ours else self._pending.copy()
        answer = self._scheduler.launchable(
            self._pending, workers=MappingProxyType(self.crew.workers), report=self._reports
        )
        launchable, self._pending = answer if self._is_ours else checked_choice(self._scheduler, answer, before)
        for instructions in launchable:
            try:
                worker = registry.hire(instructions)
                worker._instructions = instructions
                self.crew.hire(worker, self._scheduler.binded)
            except Exception as error:
                self._fail(failed(error), None, instructions)
                return
            self._say(f"worker {worker.name} started")

    def _take(self, job: Job) -> None:
        """Take what a worker leaves whose process has ended."""
        outcome, instructions = job.outcome(), job.worker._instructions
        if self._deaf:
            return
        if isinstance(outcome, Failure):
            if job.stopped:
                self._interrupted.append(instructions)
            else:
                self._fail(outcome, job.worker.name, instructions)
            return
        name = job.worker.name.encode()
        number, _ = self._numbers.pop(id(instructions), (-1, None))
        self._wire.send(_wire.REPORT, struct.pack("<Iq", len(name), number), name, outcome)
        if not self._is_ours:
            self._reports.add(job.worker.name, outcome)
        if self._verbose:
            self._say(f"worker {job.worker.name} reports {pickle.loads(outcome)!r}")
        self._scheduler.finished(instructions, time.monotonic() - job.began)

    def _say(self, text: str) -> None:
        if self._verbose:
            print(f"{self._name or 'Boss'}: {text}", file=sys.stderr, flush=True)

    def _fail(self, failure: Failure, name: str | None = None, instructions: dict[str, Any] | None = None) -> None:
        """Stop all others; the master hears of it when they have ended."""
        if self._failure is None and not self._told_all:
            self._failure = (failure, name, instructions)
            self.crew.stop_all()

    def _end_if_due(self) -> None:
        if self._told_all:
            return
        busy = bool(self.crew.workers)
        if self._failure is not None:
            if not busy:
                self._tell_failure(*self._failure)
        elif self._deaf or (self._stopping and not busy) or (self._ending and not busy and not self._pending):
            left = [self._left(one) for one in (*self._interrupted, *self._pending)]
            self._end_scheduler()
            self._tell(_wire.END_OF_WORK, left)
        elif self._ending and self._halted and not busy and not self._told_halted:
            self._told_halted = True
            self._wire.send(_wire.HALTED)

    def _end_scheduler(self) -> None:
        """Let the scheduler write what it remembers. Where it cannot, the work is done all the same."""
        if self._scheduler is None:
            return
        try:
            self._scheduler.end()
        except Exception as error:
            name = type(self._scheduler).__qualname__
            print(f"nws: warning: {name}.end: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

    def _tell_failure(self, failure: Failure, name: str | None, instructions: dict[str, Any] | None) -> None:
        self._tell(_wire.ERROR, (failure, name, None if instructions is None else self._left(instructions)))

    def _tell(self, kind: bytes, told: object) -> None:
        self._told_all = True
        self._wire.send(kind, pickle.dumps(told))

    def _left(self, instructions: dict[str, Any]) -> int | bytes:
        """Name instructions to the master: by its own number, or as they are where the scheduler has changed them."""
        number, _ = self._numbers.get(id(instructions), (None, None))
        return dumps_result(instructions) if number is None else number


def _know(name: str, data: bytes, why_not: str) -> None:
    """Make a class that the master sent known; what cannot be had is told where no other class fits."""
    before = set(registry)
    try:
        if not why_not:
            pickle.loads(data)._enter()
    except Exception as error:
        why_not = f"it cannot be had in the Boss: {type(error).__name__}: {error}"
        # A module that fails may have made classes before, which would miss what comes after them there.
        for cls in registry:
            if cls not in before:
                registry.discard(cls)
    if why_not:
        registry.left_out[name] = why_not
