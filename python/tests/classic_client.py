"""A client of the classic protocol, as old Python programs have it: written from the protocol, not from ours."""

import pickle
import socket
from typing import Any, NamedTuple, Self

PYTHON = 0x01000000
PYTHON_TEXT = 0x01000001
BLANK_ID = b" " * 20
TIMEOUT_S = 20


class Retrieved(NamedTuple):
    """A reply with a value."""

    done: bool
    descriptor: int
    variable_id: bytes
    index: int
    data: bytes

    @property
    def value(self) -> Any:
        """What an old client hands its user: strings as they are, pickles of Python unpickled."""
        assert self.done
        if self.descriptor & 1:
            return self.data
        assert self.descriptor >> 24 == PYTHON >> 24
        return pickle.loads(self.data)


class ClassicClient:
    """One connection. `ask` sends a request, `status` and `retrieved` read its reply."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self._socket.sendall(b"1112")
        assert self._receive(4) == b"2223"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            if not part:
                raise ConnectionError("the server has closed the connection")
            data += part
        return data

    def ask(self, *arguments: str | bytes) -> None:
        """Send a request."""
        parts = [f"{len(arguments):04d}".encode()]
        for argument in arguments:
            data = argument.encode() if isinstance(argument, str) else argument
            parts += [f"{len(data):020d}".encode(), data]
        self._socket.sendall(b"".join(parts))

    def status(self, *arguments: str | bytes) -> bool:
        """Send a request, if there is one to be sent, and read a status."""
        if arguments:
            self.ask(*arguments)
        return {b"0000": True, b"0001": False}[self._receive(4)]

    def retrieved(self, *arguments: str | bytes) -> Retrieved:
        """Send a request, if there is one to be sent, and read a value."""
        done, descriptor = self.status(*arguments), int(self._receive(20))
        variable_id, index = self._receive(20), int(self._receive(20))
        return Retrieved(done, descriptor, variable_id, index, self._receive(int(self._receive(20))))

    def use(self, workspace: str) -> None:
        """Use a workspace."""
        assert self.status("use ws", workspace, "4711", "no")

    def store(self, workspace: str, variable: str, value: object) -> None:
        """Store a value as old programs do: strings as they are, all else as a pickle of protocol 2."""
        descriptor, data = (PYTHON_TEXT, value.encode()) if isinstance(value, str) else (PYTHON, pickle.dumps(value, 2))
        assert self.status("store", workspace, variable, f"{descriptor:020d}", data)

    def iterate(self, operation: str, workspace: str, variable: str, last: Retrieved | None) -> Retrieved:
        """Go on after the last value, which is `None` at first."""
        variable_id, index = (last.variable_id, last.index) if last else (BLANK_ID, 0)
        return self.retrieved(operation, workspace, variable, variable_id, f"{index:020d}")
