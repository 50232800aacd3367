"""A real `nws serve` for tests."""

import ctypes
import os
import signal
import subprocess
from pathlib import Path
from typing import Self

from nws._binary import binary_path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class ServerProcess:
    """Runs until the end of its `with` block; `port` is where it serves, `socket` the path of its Unix socket.

    It ends with the thread that started it, so also where the tests are killed.
    """

    def __init__(self, runtime_folder: Path, *settings: str) -> None:
        self.process = subprocess.Popen(
            [binary_path(), "serve", "--port", "0", "--web-port", "0", *settings],
            stdout=subprocess.PIPE,
            env=os.environ | {"NWS_RUNTIME_DIR": str(runtime_folder)},
            text=True,
            preexec_fn=_end_with_parent,
        )
        self.port = 0
        self.socket = ""

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        told = {}
        # The port of the web pages is told last.
        while "web" not in told:
            line = self.process.stdout.readline()
            assert line, f"the server has ended: {self.process.wait(10)}"
            what, _, value = line.strip().partition(" ")
            told[what] = value.strip()
        self.port = int(told["clients"].rpartition(":")[2])
        self.socket = told["socket"]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            if self.process.stdout is not None:
                self.process.stdout.close()
