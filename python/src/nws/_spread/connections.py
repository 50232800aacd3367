"""Connections from the master to its commands."""

import pickle
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any

from nws._spread.answers import CannotCreateConnection, JunkError, NoResponse, checked, writer
from nws._spread.hosted import Process
from nws._spread.job import lines_of

__all__ = ["Connection", "Connection_subprocess"]


# How long a command may live on that has closed a pipe.
_LINGER_S = 1.0


class Connection(ABC):
    """A connection from the master down to one command, which is used by one thread.

    To reach commands in another way than `Connection_subprocess` does, derive from it, and hand the class, or anything
    that makes one of an argument list, to `main` as its `connection_factory`.
    """

    __module__ = "nws.spread_jobs"

    def __init__(self, arglist: Sequence[str]) -> None:
        self.arglist = list(arglist)

    @abstractmethod
    def send(self, todo: Any) -> None:
        """Send something: an item of `stdin`, or a task. Raises `NoResponse` where nobody reads it."""

    @abstractmethod
    def get(self) -> tuple[Any, Sequence[str] | None, Sequence[str] | None]:
        """Wait for the answer to the last task: a tuple of 3. Raises `NoResponse` where none can come."""

    @abstractmethod
    def close(self) -> None:
        """Say that nothing more will be sent."""

    @abstractmethod
    def wait(self) -> list[str]:
        """Wait for the end, after `close`; returns the remaining output as a list of lines."""

    def kill(self) -> None:
        """End it now. Unless a class does better, it is closed."""
        self.close()

    def unasked(self) -> bytes:
        """Return what has come although nothing was asked for: some of it, and none where that is not known.

        Asked before a task is sent. Who writes more answers than it is asked for is ended.
        """
        return b""

    def unread_bytes(self) -> int:
        """Return how much of what was sent is not read yet; 0 where that is not known.

        Asked when an answer has come, which can be none as long as its task is not read.
        """
        return 0

    def performance_key(self) -> Hashable:
        """By what it is known in a `PastPerformance`: its arguments, or for example a machine."""
        return tuple(self.arglist)


class Connection_subprocess(Connection):
    """A connection by standard input and output to a subprocess, in pickles.

    The subprocess does not outlive this one, whatever either dies of.

        connection = Connection_subprocess([sys.executable, "worker.py"])
        connection.send(task)
        answer, stdout, stderr = connection.get()
        connection.close()
        lines = connection.wait()
    """

    __module__ = "nws.spread_jobs"

    def __init__(self, arglist: Sequence[str]) -> None:
        """Start it; raises `CannotCreateConnection` where that cannot be done."""
        super().__init__(arglist)
        try:
            self._process = Process(self.arglist)
        except OSError as error:
            raise CannotCreateConnection(str(error)) from error
        if self._process.refused is not None:
            raise CannotCreateConnection(self._process.refused)

    def send(self, todo: Any) -> None:
        """Send something; raises `NoResponse` where the subprocess has ended."""
        data = writer("pickle")(todo)
        try:
            self._process.write(data)
        except OSError as error:
            raise self._ended() from error

    def get(self) -> tuple[Any, Sequence[str] | None, Sequence[str] | None]:
        """Wait for an answer; raises `NoResponse` where the subprocess ends instead, or sends something else."""
        try:
            answer = pickle.load(self._process.stdout)
        except EOFError as error:
            raise self._ended() from error
        except Exception as error:  # of any class: reading a pickle runs the code of what is in it
            self.kill()
            problem = f"what it wrote cannot be unpickled ({type(error).__name__}: {error})"
            raise NoResponse(f"{problem}; {self._process.wait()}") from error
        try:
            return tuple(checked(answer))
        except JunkError as error:
            self.kill()
            raise NoResponse(f"what it wrote is no answer: {error}; {self._process.wait()}") from error

    def unasked(self) -> bytes:
        """Return what it has written and nobody has got."""
        return self._process.waiting()

    def unread_bytes(self) -> int:
        """Return how much of what was sent it has not read."""
        return self._process.unread_bytes()

    def _ended(self) -> NoResponse:
        """It has closed a pipe, so it is ending, or else is ended."""
        if not self._process.ends_within(_LINGER_S):
            self.kill()
        return NoResponse(self._process.wait())

    def close(self) -> None:
        """Let its standard input end."""
        self._process.close()

    def wait(self) -> list[str]:
        """Wait for its end; returns what it wrote after its last answer."""
        lines = lines_of(self._process.stdout.read())
        self._process.close(stdout=True)
        self._process.wait()
        return lines

    def kill(self) -> None:
        """End it and all that it started, now."""
        self._process.kill()
