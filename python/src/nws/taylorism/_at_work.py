"""What a worker's own process does."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from nws._pickle import dumps_result
from nws.taylorism._failures import died, failed
from nws.taylorism._job import FAILURE, HEAD, REPORT
from nws.taylorism._worker import Worker
from nws.taylorism.interrupt import SignalInterruptError, SignalInterruptHandler

__all__ = ["work"]


def work(worker: Worker, pipe: int, core: int | None, leave_behind: Callable[[], None]) -> NoReturn:
    """Do what a worker's process does, from its first moment to its last.

    Its outcome goes into `pipe`; it is bound to `core`, if that is one; `leave_behind` closes what is the Boss's.
    """
    status = 70  # a failure of this function itself
    try:
        os.setsid()
        leave_behind()
        if core is not None:
            os.sched_setaffinity(0, {core})
        worker._employer = _Itself()
        numbers = sys.modules.get("numpy.random")
        if numbers is not None:
            numbers.seed()  # a fork's random numbers would be those of its siblings
        with SignalInterruptHandler(emitlogs=False):
            kind, data = _outcome_of(worker)
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            write(pipe, HEAD.pack(kind, len(data)))
            write(pipe, data)
        status = 0
    except SignalInterruptError as error:
        os.kill(os.getpid(), error.signal)  # the block above has put the usual ending back
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _outcome_of(worker: Worker) -> tuple[bytes, bytes]:
    try:
        report = worker._task()
    except SignalInterruptError as error:
        failure = died(-error.signal, None)
    except KeyboardInterrupt:
        failure = died(-signal.SIGINT, None)
    except SystemExit as error:
        failure = died(_exit_code(error), None)
    except BaseException as error:
        failure = failed(error)
    else:
        try:
            return REPORT, dumps_result(report)
        except Exception as error:
            failure = failed(error)
            failure.message = f"the report cannot be pickled: {failure.message}"
            failure.pickled = None
    return FAILURE, dumps_result(failure)


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else 1


def write(pipe: int, data: bytes) -> None:
    view: Any = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]


class _Itself:
    """The employer of a worker in that worker's own process."""

    def start(self, worker: Worker) -> None:
        raise RuntimeError(f"the worker {worker.name} is at work already")

    def wait_for(self, worker: Worker) -> None:
        raise RuntimeError(f"the worker {worker.name} would wait for its own end, and so for ever")

    def stop(self, worker: Worker) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
