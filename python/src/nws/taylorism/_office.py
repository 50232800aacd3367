"""The master's side of a Boss: its process, and a thread that hears it and sends what it is to hear.

What the user's thread has to say goes into a queue, so that Ctrl-C, which may come at any moment there, never leaves
half a message behind.
"""

import contextlib
import json
import os
import pickle
import select
import socket
import struct
import sys
import threading
import time
from collections import deque
from typing import Any

from nws import _native
from nws._binary import binary_path
from nws.taylorism import _wire
from nws.taylorism._failures import Failure
from nws.taylorism._machine import LOOKS_EVERY_S, STOPPED_S, Stopped
from nws.taylorism._wire import Frame, Wire

__all__ = ["Office"]

# How long the end of the Boss's process may be on its way when its socket has closed.
_FAREWELL_S = 5.0

_REPORT_HEAD = struct.Struct("<Iq")
_Message = tuple[bytes, tuple[bytes, ...], int | None]


class Office:
    """One Boss's process, what it has said so far, and the way to tell it something.

    `changed` guards all that is public here, and is notified where any of it changes.
    """

    def __init__(self, env: list[tuple[str, str | None]]) -> None:
        """Start the process, with these changes of the environment. Raises `OSError` where it cannot be started."""
        self.changed = threading.Condition()
        # What each set of instructions was, by its number, until its report has come.
        self.given: dict[int, dict[str, Any]] = {}
        # Names and reports; pickled until they are first looked at.
        self.reports: list[tuple[str, Any]] = []
        self.interims = 0
        self.halted = False
        # The Boss's last words: what is left of the instructions, or what went wrong, for whom, with which of them.
        self.left: list[int | bytes] | None = None
        self.failure: tuple[Failure, str | None, int | bytes | None] | None = None
        self.death: str | None = None
        self.ended = False
        self.pid: int | None = None
        self._watch: Stopped | None = None
        self._owner = os.getpid()
        self._is_closing = False
        self._outbox: deque[_Message] = deque()
        self._waker, self._woken = socket.socketpair()
        for end in (self._waker, self._woken):
            end.setblocking(False)
        ours, theirs = socket.socketpair()
        self._wire = Wire(ours)
        with theirs:
            self._host = _launch(theirs, env)
        _introduce(ours)
        self._thread = threading.Thread(target=self._serve, name="nws-boss", daemon=True)
        self._thread.start()

    def send(self, kind: bytes, *parts: bytes, descriptor: int | None = None) -> None:
        """Have a frame sent soon. Where the Boss has ended, it goes nowhere.

        Raises `RuntimeError` in a fork of the process that made the Boss.
        """
        self.expect_owner()
        self._outbox.append((kind, parts, descriptor))
        self._wake()

    def expect_owner(self) -> None:
        """Raise `RuntimeError` in a fork of the process that made the Boss, where locks may be held for ever."""
        if os.getpid() != self._owner:
            raise RuntimeError("this Boss belongs to the process that made it, of which this one is a fork")

    def close(self) -> None:
        """End the Boss and all its workers; nothing is left when this returns."""
        if os.getpid() != self._owner:
            return
        self._is_closing = True
        self._wake()
        # Where all has ended, too: the thread tells so before it ends itself.
        if threading.current_thread() is not self._thread:
            self._thread.join(_FAREWELL_S)
        # An interrupt between the taking of a lock and the block that gives it back leaves the thread waiting for it.
        self._host.stop()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._waker.send(b"!")

    def _serve(self) -> None:
        """Be the thread. However it ends, all who wait hear of it."""
        cause = "the master's thread was ended"
        try:
            cause = self._hear_and_send()
        except Exception as error:
            cause = f"the master could not go on to hear it: {type(error).__name__}: {error}"
        finally:
            self._end(cause)

    def _end(self, cause: str) -> None:
        """End what is left of the process, then tell all who wait."""
        try:
            self._host.stop()
            for end in (self._wire, self._waker, self._woken):
                end.close()
        finally:
            with self.changed:
                if self.left is None and self.failure is None:
                    self.death = cause
                self.ended = True
                self.changed.notify_all()

    def _hear_and_send(self) -> str:
        """Hear and send until the process has ended; return how it did."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        poll.register(self._host.fileno(), select.POLLIN)
        cause: str | None = None
        closed_at: float | None = None
        while cause is None:
            if closed_at is None:
                poll.register(self._wire, select.POLLIN | (select.POLLOUT if self._wire.unsent else 0))
            elif time.monotonic() - closed_at > _FAREWELL_S:
                cause = "it has closed its end of the connection"
                break
            poll.poll(1000 * LOOKS_EVERY_S if closed_at is None else 100)
            if self._is_closing:
                cause = "it was closed before its work was done"
                break
            if closed_at is None and not self._exchange():
                closed_at = time.monotonic()
                poll.unregister(self._wire)
            cause = self._events() or self._look()
        if closed_at is None and not self._is_closing:
            self._exchange()
        return cause

    def _exchange(self) -> bool:
        """Send and receive what can be; return whether the other end is there."""
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        while self._outbox:
            kind, parts, descriptor = self._outbox.popleft()
            self._wire.send(kind, *parts, descriptor=descriptor)
        there = True
        try:
            self._wire.flush()
        except OSError:
            there = False
        try:
            for frame in self._wire.receive():
                self._hear(frame)
        except EOFError:
            there = False
        return there

    def _hear(self, frame: Frame) -> None:
        with self.changed:
            if frame.kind == _wire.REPORT:
                length, number = _REPORT_HEAD.unpack_from(frame.payload)
                begin = _REPORT_HEAD.size + length
                name = frame.payload[_REPORT_HEAD.size : begin].decode()
                self.reports.append((name, memoryview(frame.payload)[begin:]))
                self.given.pop(number, None)
            elif frame.kind == _wire.INTERIM:
                self.interims += 1
            elif frame.kind == _wire.HALTED:
                self.halted = True
            elif frame.kind == _wire.END_OF_WORK:
                self.left = pickle.loads(frame.payload)
            elif frame.kind == _wire.ERROR:
                self.failure = pickle.loads(frame.payload)
            self.changed.notify_all()

    def _look(self) -> str | None:
        """Say so where the process is stopped, and does not go on."""
        if self._watch is None or not self._watch.for_too_long(time.monotonic()):
            return None
        return f"it was stopped by SIGSTOP or the like, and did not go on for {STOPPED_S:g} s"

    def _events(self) -> str | None:
        """Return how the process ended, if it has."""
        event = self._host.next_event(0)
        if event is None:
            return None
        if event.kind == "started":
            self.pid = event.pid
            self._watch = None if event.pid is None else Stopped(event.pid)
            return None
        ended = event.message or str(event.cause)
        return ended if event.kind != "host_died" else f"the process that watches it has ended: {ended}"


def _launch(end: socket.socket, env: list[tuple[str, str | None]]) -> _native.CommandHost:
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

    # The same Python finds this package where this process found it, however that was.
    place = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    begin = f"import sys; sys.path.insert(0, {place!r}); from nws._boss import main; main()"
    host = _native.CommandHost(binary_path())
    host.launch(
        [sys.executable, *_args_from_interpreter_flags(), "-c", begin],
        stdin=end.fileno(),
        stdout=_standard(1),
        stderr=_standard(2),
        env=env,
    )
    return host


def _standard(descriptor: int) -> int | None:
    """Return the descriptor where it is open; else, what is written goes to the host, which finds it closed as well."""
    try:
        os.fstat(descriptor)
    except OSError:
        return None
    return descriptor


def _introduce(end: socket.socket) -> None:
    """Tell the Boss where modules are found, before it looks for any."""
    path = [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]
    told = json.dumps({"path": path, "argv": [one for one in sys.argv if isinstance(one, str)]}).encode()
    end.setblocking(True)
    end.sendall(struct.pack("<Q", len(told)) + told)
    end.setblocking(False)
