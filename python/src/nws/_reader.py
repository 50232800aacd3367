"""Reads values that nobody trusts, each in a process of its own: for `nws.babelfish`.

`Reader` is the side that asks. It keeps one process, which reads nothing itself but forks for each value: a process
that holds a connection must not be forked, and one that has read a value is not what it was before.
"""

import contextlib
import os
import pickle
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from types import TracebackType
from typing import Final, Self

from nws import _native

TIMEOUT_S: Final = 2.0
MOST_CHARS: Final = 10_000
# What a value may take beside itself.
MEMORY_BYTES: Final = 2 * 1024**3

_MOST_BYTES: Final = 4 * MOST_CHARS + 200
_QUESTION: Final = struct.Struct("<IdQ")  # descriptor, seconds, bytes of the value
_ANSWER: Final = struct.Struct("<Q")  # bytes of the text
_WHOLE: Final = b"\0"  # ends a text that is whole; texts have no such byte


class Reader:
    """Tells texts of values, one at a time. `close` ends its process, as does its own end."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        """Start the process."""
        self._timeout_s = timeout_s
        self._start()

    def text(self, descriptor: int, data: memoryview) -> str:
        """Return what a person can read of a value."""
        for _ in range(2):
            try:
                return self._ask(descriptor, data)
            except (OSError, EOFError):
                # It was killed, or hangs: the value may be to blame, but the next one is not.
                self.close()
                self._start()
        return "<the process that reads values has died twice of this one>"

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nws._reader", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        # It keeps the time itself; this is for one that was stopped.
        ours.settimeout(self._timeout_s + 30)
        self._channel = ours

    def _ask(self, descriptor: int, data: memoryview) -> str:
        self._channel.sendall(_QUESTION.pack(descriptor, self._timeout_s, data.nbytes))
        self._channel.sendall(data)
        (length,) = _ANSWER.unpack(_receive(self._channel, _ANSWER.size))
        return _receive(self._channel, min(length, _MOST_BYTES)).decode(errors="replace")

    def close(self) -> None:
        """End the process, and what reads a value for it."""
        self._channel.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _receive(channel: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        got = channel.recv_into(view)
        if got == 0:
            raise EOFError
        view = view[got:]
    return data


def _serve(channel: socket.socket) -> None:
    while True:
        try:
            descriptor, timeout_s, length = _QUESTION.unpack(_receive(channel, _QUESTION.size))
            data = bytes(_receive(channel, length))
            text = _text_from_child(channel, descriptor, data, timeout_s).encode(errors="backslashreplace")
            channel.sendall(_ANSWER.pack(len(text)) + text)
        except (EOFError, OSError):
            return
        except MemoryError:
            # What is left of the value would be taken for a question.
            return


def _text_from_child(channel: socket.socket, descriptor: int, data: bytes, timeout_s: float) -> str:
    pipe, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            channel.close()
            os.close(pipe)
            os.setpgid(0, 0)
            _write_text(theirs, descriptor, data)
        finally:
            os._exit(0)
    os.close(theirs)
    try:
        text, late = _collect(pid, pipe, channel, time.monotonic() + timeout_s)
    finally:
        os.close(pipe)
        _kill(pid)
        _, status = os.waitpid(pid, 0)
    if text.endswith(_WHOLE):
        return text[:-1].decode(errors="replace")
    if late:
        return f"<a Python value of {len(data)} bytes that could not be read within {timeout_s:g} s>"
    code = os.waitstatus_to_exitcode(status)
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"<a Python value of {len(data)} bytes, which ended the process that read it: {how}>"


def _collect(pid: int, pipe: int, channel: socket.socket, until: float) -> tuple[bytes, bool]:
    """What the child writes, until it is whole or the child has ended; and whether time was up before."""
    text = b""
    os.set_blocking(pipe, False)
    ended = os.pidfd_open(pid)
    try:
        poll = select.poll()
        for source in (pipe, ended, channel.fileno()):
            poll.register(source, select.POLLIN)
        while not text.endswith(_WHOLE) and len(text) <= _MOST_BYTES:
            left = until - time.monotonic()
            ready = [source for source, _ in poll.poll(left * 1000)] if left > 0 else []
            if not ready:
                return text, True
            if channel.fileno() in ready:
                raise EOFError  # nothing else comes before the answer
            try:
                part = os.read(pipe, _MOST_BYTES)
            except BlockingIOError:
                part = b""
            text += part
            if not part and ended in ready:
                break
            if not part and pipe in ready:
                poll.unregister(pipe)
    finally:
        os.close(ended)
    return text, False


def _kill(pid: int) -> None:
    """Kill the child, and what it has started: its group is its own from when it reads the value."""
    for kill, target in ((os.killpg, pid), (os.kill, pid)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(target, signal.SIGKILL)


def _write_text(pipe: int, descriptor: int, data: bytes) -> None:
    most = MEMORY_BYTES + 4 * len(data)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    text = _text_of(descriptor, data).encode(errors="backslashreplace").replace(_WHOLE, b"\\x00")
    view = memoryview(text + _WHOLE)
    while view:
        view = view[os.write(pipe, view) :]


def _text_of(descriptor: int, data: bytes) -> str:
    doing = "unpickling"
    try:
        value = _native.decode_value(descriptor, data, pickle.loads)
        doing = "repr"
        text = repr(value)
    except BaseException as error:  # also `SystemExit`: it says something about the value, not about us
        return f"<a Python value of {len(data)} bytes: {doing} raised {_told(error)}>"
    # Not by its own methods, which a subclass may have.
    length = str.__len__(text)
    cut = str.__getitem__(text, slice(MOST_CHARS))
    return cut if length <= MOST_CHARS else f"{cut}... ({length} characters)"


def _told(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:MOST_CHARS]
    except BaseException:  # its text may raise as well
        return type(error).__name__


if __name__ == "__main__":
    # Ctrl-C is for who asks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as _channel:
        _serve(_channel)
