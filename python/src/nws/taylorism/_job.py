"""One worker at work, as its Boss sees it: a process, and a report that comes through a pipe."""

import contextlib
import os
import pickle
import signal
import struct
import time

from nws.taylorism._failures import Failure, died
from nws.taylorism._machine import STOPPED_S, Stopped, out_of_memory_kills
from nws.taylorism._worker import Worker

__all__ = ["FAILURE", "HEAD", "REPORT", "Job"]

# What comes through the pipe: which of the two it is, its length, and it itself, pickled.
HEAD = struct.Struct("<cQ")
REPORT, FAILURE = b"R", b"X"
_TURN_BYTES = 1 << 20


class Job:
    """One worker at work: its process, and its report as it comes."""

    def __init__(self, worker: Worker, pid: int, pipe: int) -> None:
        """Watch this process, which writes its report into this pipe."""
        self.worker = worker
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.pipe = pipe
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
                    data = os.read(self.pipe, HEAD.size - len(self._data))
                    if not data:
                        return
                    self._data += data
                    if len(self._data) == HEAD.size:
                        self._kind, self._wanted = HEAD.unpack(self._data)
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
            if self._kind == REPORT:
                return self._data
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
