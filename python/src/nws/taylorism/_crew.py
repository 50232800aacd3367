"""The workers of a Boss: a process for each, started by fork, watched to its end."""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator

from nws._pickle import dumps_result
from nws.taylorism._at_work import work
from nws.taylorism._job import Job
from nws.taylorism._machine import LOOKS_EVERY_S
from nws.taylorism._worker import Worker

__all__ = ["Crew"]

# How long who is told to stop has, to unwind.
_GRACE_S = 2.0


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
        """Give a worker its place, and send it to work.

        Raises `OSError` where its process cannot be started; then nothing is left of it.
        """
        worker._employer = self
        key, count = worker.name, 1
        while key in self.workers:
            count += 1
            key = f"{worker.name} ({count})"
        self.workers[key] = worker
        core = self._core() if binded else None
        if core is not None:
            self._cores[key] = core
        try:
            worker.work()
        except BaseException:
            # Who never began would never end, and the Boss would wait for it.
            self._cores.pop(key, None)
            del self.workers[key]
            raise

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
        try:
            pid = os.fork()
            if pid == 0:
                work(worker, theirs, core, self._leave_behind)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        os.set_blocking(ours, False)
        try:
            job = Job(worker, pid, ours)
        except OSError:
            # Nobody could hear of its end.
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(ours)
            raise
        self._watch(key, job)

    def _watch(self, key: str, job: Job) -> None:
        self._jobs[key] = job
        try:
            for descriptor in (job.pipe, job.pidfd):
                self._by_descriptor[descriptor] = key
                self._epoll.register(descriptor, select.EPOLLIN)
        except OSError:
            job.signal(signal.SIGKILL)
            self._forget(key, stopped=True)
            raise

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
            self._stopping[key] = time.monotonic() + _GRACE_S
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
        job = self._forget(key, self._stopping.pop(key, None) is not None)
        self._cores.pop(key, None)
        del self.workers[key]
        return job

    def _forget(self, key: str, stopped: bool) -> Job:
        """Watch a process no more, whose end is there or on its way; take it."""
        job = self._jobs.pop(key)
        for descriptor in (job.pipe, job.pidfd):
            self._by_descriptor.pop(descriptor, None)
            # By hand: a child that was forked just now may still have it, so closing it here does not do that.
            with contextlib.suppress(FileNotFoundError):
                self._epoll.unregister(descriptor)
        job.reap(stopped)
        return job
