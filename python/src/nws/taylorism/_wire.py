"""What master and Boss say to each other: frames over a socket, with descriptors beside some of them."""

import os
import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

__all__ = [
    "ARRAY",
    "CLASSES",
    "END_OF_WORK",
    "ERROR",
    "HALTED",
    "INSTRUCTIONS",
    "INTERIM",
    "REPORT",
    "SIGNAL",
    "START",
    "WORKER",
    "Frame",
    "Wire",
]

# From the master. The first frame is JSON: where modules are found.
START = b"S"  # pickled: name, verbosity, and the scheduler pickled by itself
ARRAY = b"A"  # pickled: which array this is; its memory as a descriptor
CLASSES = b"C"  # pickled: of each class its name, and itself pickled, or why it cannot be
INSTRUCTIONS = b"D"  # number of the first u64; pickled: a list of dicts
WORKER = b"W"  # pickled: a worker that is hired as it is
SIGNAL = b"G"  # the name of a control signal
# From the Boss.
REPORT = b"R"  # length of a worker's name u32, number of its instructions i64, the name, its report as it pickled it
INTERIM = b"N"  # answers SEND_REPORT: all reports up to here were sent
HALTED = b"H"  # what is pending waits for RESUME, and an END has come
ERROR = b"E"  # pickled: a failure, the worker's name, which instructions it had
END_OF_WORK = b"F"  # pickled: what is left of the instructions

_HEAD = struct.Struct("<cQ")
# As much as is read, or sent, at a time.
_TURN_BYTES = 1 << 20
_DESCRIPTOR = struct.Struct("i")
_ROOM_BESIDE = socket.CMSG_LEN(16 * _DESCRIPTOR.size)


class Frame(NamedTuple):
    """One message. That of an array has no descriptor where this process may open no more."""

    kind: bytes
    payload: bytearray
    descriptor: int | None


class Wire:
    """One end, never blocking: `receive` and `flush` do what the socket allows now."""

    def __init__(self, end: socket.socket) -> None:
        """Speak through this socket."""
        end.setblocking(False)
        self._socket = end
        self._descriptors: deque[int] = deque()
        self._head = bytearray()
        self._payload: bytearray | None = None
        self._filled = 0
        self._outbox: deque[tuple[memoryview, int | None]] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def send(self, kind: bytes, *parts: bytes | bytearray | memoryview, descriptor: int | None = None) -> None:
        """Put a frame into the queue of what is to be sent; a descriptor stays the caller's until it is."""
        views = [memoryview(part).cast("B") for part in parts]
        head = _HEAD.pack(kind, sum(view.nbytes for view in views))
        self._outbox.append((memoryview(head), descriptor))
        self._outbox.extend((view, None) for view in views if view.nbytes)

    @property
    def unsent(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._outbox)

    def flush(self) -> None:
        """Send what the socket takes.

        Raises `OSError` where the other end is gone.
        """
        while self._outbox:
            view, descriptor = self._outbox[0]
            try:
                if descriptor is None:
                    sent = self._socket.send(view[:_TURN_BYTES])
                else:
                    sent = socket.send_fds(self._socket, [view], [descriptor])
            except BlockingIOError:
                return
            self._outbox.popleft()
            if sent < view.nbytes:
                self._outbox.appendleft((view[sent:], None))

    def receive(self) -> Iterator[Frame]:
        """Yield the frames that have come. Raises `EOFError` where the other end is gone."""
        while True:
            try:
                yield from self._read()
            except BlockingIOError:
                return
            except ConnectionError:
                raise EOFError from None

    def _read(self) -> Iterator[Frame]:
        if self._payload is None:
            missing = _HEAD.size - len(self._head)
            # Not `recv_fds`, which leaves them to programs that are started meanwhile.
            data, beside, _, _ = self._socket.recvmsg(missing, _ROOM_BESIDE, socket.MSG_CMSG_CLOEXEC)
            for level, what, held in beside:
                if (level, what) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    end = len(held) // _DESCRIPTOR.size * _DESCRIPTOR.size
                    self._descriptors.extend(one for (one,) in _DESCRIPTOR.iter_unpack(held[:end]))
            if not data:
                raise EOFError
            self._head += data
            if len(self._head) < _HEAD.size:
                return
            self._payload = bytearray(_HEAD.unpack(self._head)[1])
            self._filled = 0
        while self._filled < len(self._payload):
            with memoryview(self._payload) as whole, whole[self._filled : self._filled + _TURN_BYTES] as part:
                count = self._socket.recv_into(part)
            if not count:
                raise EOFError
            self._filled += count
        kind = bytes(self._head[:1])
        descriptor = self._descriptors.popleft() if kind == ARRAY and self._descriptors else None
        frame = Frame(kind, self._payload, descriptor)
        self._payload = None
        self._head.clear()
        yield frame

    def close(self) -> None:
        """Close the socket, and descriptors that nobody took."""
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())
