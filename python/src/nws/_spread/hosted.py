"""Single commands with their pipes: processes of one host, which is there while there are any."""

import array
import contextlib
import fcntl
import os
import termios
import threading
import weakref
from collections.abc import Sequence
from io import BufferedReader

from nws import _native
from nws._binary import binary_path

__all__ = ["Process"]


class Process:
    """A command that does not outlive this process, and its pipes."""

    def __init__(self, args: Sequence[str]) -> None:
        self._told = threading.Event()
        self._over = threading.Event()
        #: How it ended; None while it runs.
        self.cause: str | None = None
        #: Why it could not be started.
        self.refused: str | None = None
        self._ours: list[int] = []
        self._id: int | None = None
        self._pid = os.getpid()
        its_stdin, self._stdin = os.pipe()
        self._ours.append(self._stdin)
        self._stdout, its_stdout = os.pipe()
        self._ours.append(self._stdout)
        #: What it writes.
        self.stdout: BufferedReader = open(self._stdout, "rb", closefd=False)  # noqa: SIM115 (closed by `close`)
        try:
            self._house = _House.enter()
            self._id = self._house.launch(self, args, its_stdin, its_stdout)
        finally:
            os.close(its_stdin)
            os.close(its_stdout)
        while not self._told.wait(1.0):
            pass

    def write(self, data: bytes) -> None:
        """Have it read this; raises `OSError` where it does not any more."""
        if self._stdin not in self._ours:
            raise BrokenPipeError("its standard input has been closed")
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._stdin, rest) :]

    def unread_bytes(self) -> int:
        """How much of what was written it has not read."""
        if self._stdin not in self._ours:
            return 0
        count = array.array("i", [0])
        fcntl.ioctl(self._stdin, termios.FIONREAD, count)
        return count[0]

    def waiting(self) -> bytes:
        """What it has written and nobody has read, the beginning of it; it stays there."""
        os.set_blocking(self._stdout, False)
        try:
            return self.stdout.peek(1)
        finally:
            os.set_blocking(self._stdout, True)

    def close(self, stdout: bool = False) -> None:
        """Close our end of its standard input, or that of its standard output too."""
        for descriptor in (self._stdin, self._stdout) if stdout else (self._stdin,):
            if descriptor in self._ours:
                self._ours.remove(descriptor)
                os.close(descriptor)
        if stdout:
            # Else it would read whatever has got the number since.
            self.stdout.close()

    def __del__(self) -> None:
        for descriptor in self._ours:
            os.close(descriptor)
        # In a fork's copy it is another's.
        if self._id is not None and self._pid == os.getpid() and not self._over.is_set():
            with contextlib.suppress(Exception):
                self._house.host.end(self._id)

    def tell(self, event: _native.CommandEvent) -> None:
        """Something has become of it."""
        if event.kind == "not_started":
            self.refused = event.message
        elif event.kind != "started":
            self.cause = str(event.cause)
        self._told.set()
        if event.kind != "started":
            self._over.set()

    def kill(self) -> None:
        """End it and all it started, now."""
        if self._id is not None:
            self._house.host.end(self._id)

    def ends_within(self, patience_s: float) -> bool:
        """Whether it ends by itself in so many seconds."""
        return self._over.wait(patience_s)

    def wait(self) -> str:
        """Wait for its end, and say how it was."""
        while not self._over.wait(1.0):
            pass
        return self.refused or self.cause or ""


class _House:
    """A host, and a thread that passes its events on."""

    _lock = threading.Lock()
    _present: "_House | None" = None

    def __init__(self) -> None:
        self.host = _native.CommandHost(binary_path())
        self._pid = os.getpid()
        self._launching = threading.Lock()
        # Who has forgotten its process is told nothing of it; it is counted all the same.
        self._processes: weakref.WeakValueDictionary[int, Process] = weakref.WeakValueDictionary()
        self._running: set[int] = set()
        # Who enters is counted before it has launched anything.
        self._guests = 0
        threading.Thread(target=self._listen, name="nws-commands", daemon=True).start()

    @classmethod
    def enter(cls) -> "_House":
        """The host of this process, which was started if need be."""
        with cls._lock:
            if cls._present is None or cls._present._pid != os.getpid():
                cls._present = cls()
            cls._present._guests += 1
            return cls._present

    def launch(self, process: Process, args: Sequence[str], stdin: int, stdout: int) -> int:
        try:
            with self._launching:
                number = self.host.launch(list(args), stdin=stdin, stdout=stdout)
                self._processes[number] = process
                self._running.add(number)
                return number
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        with _House._lock:
            self._guests -= 1
            if self._guests > 0:
                return
            if _House._present is self:
                _House._present = None
        self.host.stop()

    def _listen(self) -> None:
        while (event := self.host.next_event()) is None or event.kind != "host_died":
            if event is None or event.id is None:
                continue
            with self._launching:
                process = self._processes.get(event.id)
                has_ended = event.kind != "started" and event.id in self._running
                if has_ended:
                    self._running.discard(event.id)
                    self._processes.pop(event.id, None)
            if process is not None:
                process.tell(event)
            # This thread is to keep none alive while it waits.
            del process
            if has_ended:
                self._leave()
        with _House._lock:
            if _House._present is self:
                _House._present = None
        with self._launching:
            left = list(self._processes.values())
        for process in left:
            process.tell(event)


def _forget() -> None:
    """In a fork's copy there is no host, and who held the lock is not there."""
    _House._lock, _House._present = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)
