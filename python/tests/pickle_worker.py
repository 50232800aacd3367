"""A process that runs pickled functions, as a sleigh's worker does, over a pipe."""

import subprocess
import sys
from typing import Any

from nws import _pickle


class PickleWorker:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "import pickle_worker; pickle_worker.serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> "PickleWorker":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)

    def __call__(self, fun: Any, *args: Any) -> Any:
        return self.run(_pickle.dumps_function(fun), _pickle.dumps(args))

    def run(self, fun: bytes, args: bytes) -> Any:
        for part in (fun, args):
            send(self._process.stdin, part)
        result = _pickle.loads(receive(self._process.stdout))
        if isinstance(result, Failure):
            raise RuntimeError(result.text)
        return result


class Failure:
    def __init__(self, text: str) -> None:
        self.text = text


def send(stream: Any, data: bytes) -> None:
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def receive(stream: Any) -> bytes:
    header = stream.read(8)
    if len(header) < 8:
        raise EOFError("the other process has ended")
    data: bytes = stream.read(int.from_bytes(header, "little"))
    return data


def serve() -> None:
    answers = sys.stdout.buffer
    sys.stdout = sys.stderr
    _pickle.become_worker()
    while True:
        try:
            fun, args = receive(sys.stdin.buffer), receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            result = _pickle.dumps_result(_pickle.loads(fun)(*_pickle.loads(args)))
        except Exception as error:
            result = _pickle.dumps_result(Failure(f"{type(error).__name__}: {error}"))
        send(answers, result)
