"""Workers of the tests of `nws.taylorism`, importable by their Bosses."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from nws.taylorism import Worker


class Squarer(Worker):
    number: int
    offset: int = 0

    def _task(self):
        return self.number**2 + self.offset


class Sleeper(Worker):
    seconds: float

    def _task(self):
        time.sleep(self.seconds)
        return self.seconds


class Gated(Worker):
    """Says that it has begun by a file `begun`, and ends when `gate`, a fifo, is opened for writing."""

    gate: str
    begun: str

    def _task(self):
        try:
            Path(self.begun).touch()
            with open(self.gate) as gate:
                return gate.read() or self.begun
        finally:
            Path(self.begun + ".ended").touch()


class Ended(Worker):
    """Comes to its end in some way."""

    how: str

    def _task(self):
        if self.how == "raise":
            raise KeyError("the key", 7)
        if self.how == "exit":
            sys.exit(3)
        if self.how == "leave":
            os._exit(4)
        os.kill(os.getpid(), signal.Signals[self.how])
        return signal.pause()


class Odd(Exception):
    """Can be pickled, and not unpickled."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


class Raiser(Worker):
    """Raises what its instructions name."""

    error: str

    def _task(self):
        if self.error == "odd":
            raise Odd("one", "two")
        if self.error == "lock":
            raise ValueError("has a lock", threading.Lock())
        raise MemoryError("no more")


class Printer(Worker):
    text: str

    def _task(self):
        print(self.text)
        print(self.text, file=sys.stderr)
        os.system(f"echo {self.text}")


class Large(Worker):
    """Reports as many bytes as it is told, and how many it was given."""

    size: int
    given: bytes = b""

    def _task(self):
        return len(self.given), bytes(self.size)


class Alive(Worker):
    """Starts a child, tells both processes' ids in a file, and waits."""

    told: str

    def _task(self):
        child = os.fork()
        if child == 0:
            os.setsid()
            signal.pause()
        Path(self.told + ".new").write_text(f"{os.getpid()} {child}")
        os.rename(self.told + ".new", self.told)
        while True:
            signal.pause()


class Deaf(Worker):
    """Goes on whatever signal comes, but for SIGKILL."""

    deaf: str

    def _task(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        Path(self.deaf).touch()
        while True:
            signal.pause()
