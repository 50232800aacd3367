"""The workers of a Boss: a process for each, started by fork, watched to its end."""

import contextlib
import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from nws._pickle import dumps_result
from nws.taylorism._failures import Failure, died, failed
from nws.taylorism._machine import LOOKS_EVERY_S, STOPPED_S, Stopped, out_of_memory_kills
from nws.taylorism._worker import Worker
from nws.taylorism.interrupt import SignalInterruptError, SignalInterruptHandler

__all__ = ["GRACE_S", "Crew", "Job"]

# How long who is told to stop has, to unwind.
GRACE_S = 1.0

_HEAD = struct.Struct("<cQ")
_REPORT, _FAILURE = b"R", b"X"
_TURN_BYTES = 1 << 20


class Job:
    """One worker at work: its process, and its report as it comes."""

    def __init__(self, worker: Worker, pid: int, pipe: int, core: int | None) -> None:
        """Watch this process, which writes its report into this pipe."""
        self.worker = worker
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.pipe = pipe
        self.core = core
        self.began = time.monotonic()
        self.status: int | None = None
        self.stopped = False
        self.frozen = False
        self._watch = Stopped(pid)
        self.kills_before = out_of_memory_kills()
        self._data = bytearray()
        self._filled = 0
        self._wanted: int | None = None

    def read(self) -> None:
        """Take what the pipe holds."""
        with contextlib.suppress(BlockingIOError):
            while not self._is_whole():
                if self._wanted is None:
                    data = os.read(self.pipe, _HEAD.size - len(self._data))
                    if not data:
                        return
                    self._data += data
                    if len(self._data) == _HEAD.size:
                        self._kind, self._wanted = _HEAD.unpack(self._data)
                        self._data = bytearray(self._wanted)
                    continue
                with memoryview(self._data) as whole, whole[self._filled : self._filled + _TURN_BYTES] as part:
                    count = os.readv(self.pipe, [part])
                if not count:
                    return
                self._filled += count

    def _is_whole(self) -> bool:
        return self._wanted is not None and self._filled == self._wanted

    def outcome(self) -> bytearray | Failure:
        """Return the report, pickled, or what went wrong; to be called when the process has ended."""
        if self._is_whole():
            if self._kind == _REPORT:
                return self._data
            import pickle

            failure = pickle.loads(self._data)
            assert isinstance(failure, Failure)
            return failure
        assert self.status is not None
        if self.frozen:
            return Failure(
                "",
                f"the worker was stopped by SIGSTOP or the like, and ended as it did not go on for {STOPPED_S:g} s",
                ended={"signal": signal.SIGSTOP, "outOfMemory": False},
            )
        return died(self.status, self._out_of_memory())

    def _out_of_memory(self) -> bool | None:
        if self.status != -signal.SIGKILL:
            return False
        now = out_of_memory_kills()
        return None if now is None or self.kills_before is None else now > self.kills_before

    def look(self, now: float) -> None:
        """End the process where it is stopped and does not go on."""
        if not self.frozen and self._watch.for_too_long(now):
            self.frozen = True
            self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send a signal to the process and to those that it started in its session."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)
        if number == signal.SIGKILL:
            self._end_group()

    def _end_group(self) -> None:
        # Its id is the pid, which nobody else can have before the process is waited for.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def reap(self, stopped: bool) -> None:
        """Take the end of the process, and of its group where it was stopped; close what is left."""
        self.stopped = stopped
        if stopped:
            self._end_group()
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        self.read()
        os.close(self.pidfd)
        os.close(self.pipe)


class Crew:
    """All workers at work, by name; it is their employer."""

    def __init__(self, close_in_child: Callable[[], None]) -> None:
        """Begin with none; a worker's process first closes what is the Boss's alone."""
        self._close_in_child = close_in_child
        self._jobs: dict[str, Job] = {}
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, str] = {}
        self.workers: dict[str, Worker] = {}
        self._cores: dict[str, int] = {}
        self._stopping: dict[str, float] = {}
        self._look_at = 0.0

    def fileno(self) -> int:
        """Return a descriptor that is readable when `ended` has something to do."""
        return self._epoll.fileno()

    def hire(self, worker: Worker, binded: bool) -> None:
        """Give a worker its place, and send it to work."""
        worker._employer = self
        key, count = worker.name, 1
        while key in self.workers:
            count += 1
            key = f"{worker.name} ({count})"
        self.workers[key] = worker
        core = self._core() if binded else None
        if core is not None:
            self._cores[key] = core
        worker.work()

    def _core(self) -> int:
        """Return the core that the fewest workers are bound to."""
        taken = list(self._cores.values())
        return min(sorted(os.sched_getaffinity(0)), key=taken.count)

    def _key_of(self, worker: Worker) -> str:
        return next(key for key, one in self.workers.items() if one is worker)

    def start(self, worker: Worker) -> None:
        """Start the process of a worker."""
        key = self._key_of(worker)
        core = self._cores.get(key)
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        sys.stdout.flush()
        sys.stderr.flush()
        dumps_result(None)  # what it finds out about the modules here, workers need not find out again
        pid = os.fork()
        if pid == 0:
            _work(worker, theirs, core, self._leave_behind)
        os.close(theirs)
        os.set_blocking(ours, False)
        job = Job(worker, pid, ours, core)
        self._jobs[key] = job
        for descriptor in (job.pipe, job.pidfd):
            self._by_descriptor[descriptor] = key
            self._epoll.register(descriptor, select.EPOLLIN)

    def _leave_behind(self) -> None:
        self._close_in_child()
        self._epoll.close()
        for descriptor in self._by_descriptor:
            os.close(descriptor)

    def wait_for(self, worker: Worker) -> None:
        """Return when the process of a worker has ended; its report waits for `ended`."""
        job = self._jobs[self._key_of(worker)]
        poll = select.poll()
        poll.register(job.pipe, select.POLLIN)
        poll.register(job.pidfd, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            job.read()
            if job.pidfd in ready:
                return
            if ready.get(job.pipe, 0) & select.POLLHUP:
                poll.unregister(job.pipe)

    def stop(self, worker: Worker) -> None:
        """End the process of a worker: SIGTERM now, SIGKILL after a moment."""
        key = self._key_of(worker)
        if key in self._jobs and key not in self._stopping:
            self._stopping[key] = time.monotonic() + GRACE_S
            self._jobs[key].signal(signal.SIGTERM)

    def stop_all(self) -> None:
        """End the processes of all workers."""
        for worker in list(self.workers.values()):
            worker.stop_working()

    def kill_all(self) -> None:
        """End all processes now."""
        for job in self._jobs.values():
            job.signal(signal.SIGKILL)

    def timeout_s(self) -> float | None:
        """How long until `ended` has something to do by itself."""
        if not self._jobs:
            return None
        return max(0.0, min([self._look_at, *self._stopping.values()]) - time.monotonic())

    def ended(self) -> Iterator[Job]:
        """Yield those whose processes have ended since the last call."""
        over: list[str] = []
        for descriptor, event in self._epoll.poll(0):
            key = self._by_descriptor[descriptor]
            job = self._jobs[key]
            if descriptor == job.pidfd:
                over.append(key)
                continue
            job.read()
            if event & select.EPOLLHUP:
                self._epoll.unregister(descriptor)
        now = time.monotonic()
        for key, deadline in self._stopping.items():
            if deadline <= now:
                self._jobs[key].signal(signal.SIGKILL)
                self._stopping[key] = float("inf")
        if now >= self._look_at:
            self._look_at = now + LOOKS_EVERY_S
            for job in self._jobs.values():
                job.look(now)
        for key in over:
            yield self._dismiss(key)

    def _dismiss(self, key: str) -> Job:
        job = self._jobs.pop(key)
        for descriptor in (job.pipe, job.pidfd):
            del self._by_descriptor[descriptor]
            # By hand: a child that was forked just now may still have it, so closing it here does not do that.
            with contextlib.suppress(FileNotFoundError):
                self._epoll.unregister(descriptor)
        stopped = self._stopping.pop(key, None) is not None
        job.reap(stopped)
        self._cores.pop(key, None)
        del self.workers[key]
        return job


class _Itself:
    """The employer of a worker in that worker's own process."""

    def start(self, worker: Worker) -> None:
        raise RuntimeError(f"the worker {worker.name} is at work already")

    def wait_for(self, worker: Worker) -> None:
        raise RuntimeError(f"the worker {worker.name} would wait for its own end, and so for ever")

    def stop(self, worker: Worker) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def _work(worker: Worker, pipe: int, core: int | None, leave_behind: Callable[[], None]) -> NoReturn:
    """Do what a worker's process does, from its first moment to its last."""
    status = 70  # a failure of this function itself
    try:
        os.setsid()
        leave_behind()
        if core is not None:
            os.sched_setaffinity(0, {core})
        worker._employer = _Itself()
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            numpy.random.seed()  # a fork's random numbers would be those of its siblings
        with SignalInterruptHandler(emitlogs=False):
            kind, data = _outcome_of(worker)
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            _write(pipe, _HEAD.pack(kind, len(data)))
            _write(pipe, data)
        status = 0
    except SignalInterruptError as error:
        os.kill(os.getpid(), error.signal)  # the block above has put the usual ending back
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _outcome_of(worker: Worker) -> tuple[bytes, bytes]:
    try:
        report = worker._task()
    except SignalInterruptError as error:
        failure = died(-error.signal, None)
    except KeyboardInterrupt:
        failure = died(-signal.SIGINT, None)
    except SystemExit as error:
        failure = died(_exit_code(error), None)
    except BaseException as error:
        failure = failed(error)
    else:
        try:
            return _REPORT, dumps_result(report)
        except Exception as error:
            failure = failed(error)
            failure.message = f"the report cannot be pickled: {failure.message}"
            failure.pickled = None
    return _FAILURE, dumps_result(failure)


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else 1


def _write(pipe: int, data: bytes) -> None:
    view: Any = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]
