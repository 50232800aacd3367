"""Hand tasks to any commands that speak a small protocol on their standard input and output.

`main` starts the commands, gives each of them one task after the other, and returns the results in order. A command
may be anything that can be started: a Python script, a program in another language, `ssh machine program`. Commands
that are busy are left alone for a while, those that die are started again, and none outlives the program.

A worker in Python is two lines:

    from nws.spread_jobs import serve
    serve(lambda x: x * x)

and the master as many:

    >>> import sys
    >>> from nws.spread_jobs import main
    >>> worker = [sys.executable, "-c", "from nws.spread_jobs import serve; serve(lambda x: x * x)"]
    >>> main(range(5), [worker, worker])
    ([0, 1, 4, 9, 16], [[], []])

The protocol, errors and all options are in `docs/spread_jobs.md`.
"""

import math
import queue
import sys
from collections.abc import Callable, Iterable
from typing import Any

from nws._spread.aids import one_shot_test, test_, test_worker, unpickled_pseudofile
from nws._spread.answers import CannotCreateConnection, NoResponse, RemoteException, TooBusy, notComputed
from nws._spread.connections import Connection, Connection_subprocess
from nws._spread.job import Job, Told
from nws._spread.lists import Replace, append, delay_sanitize, replace
from nws._spread.past import Memory, PastPerformance, Record, order
from nws._spread.serving import serve
from nws._spread.workers import Again, Done, Gone, Misbehaved, OneTooMany, Unsent, workers_c

__all__ = [
    "CannotCreateConnection",
    "Connection",
    "Connection_subprocess",
    "NoResponse",
    "PastPerformance",
    "RemoteException",
    "Replace",
    "TooBusy",
    "append",
    "delay_sanitize",
    "main",
    "notComputed",
    "one_shot_test",
    "replace",
    "serve",
    "test_",
    "test_worker",
    "unpickled_pseudofile",
    "workers_c",
]

#: What `main` remembers unless it is given another memory, for as long as the program runs.
_memory = PastPerformance()


def main(
    todo: Iterable[Any],
    list_of_args: Iterable[Iterable[str | bytes]],
    connection_factory: Callable[[list[str]], Connection] = Connection_subprocess,
    stdin: Iterable[Any] | None = None,
    verbose: bool = False,
    timing_callback: Callable[[float, float], object] | None = None,
    tail_callback: Callable[[list[str], list[str]], object] | None = None,
    past_performance: Memory | None = _memory,
    *,
    encoding: str = "pickle",
    timeout: float | None = None,
    limit_bytes: int = 1 << 30,
) -> tuple[list[Any], list[list[str]]]:
    """Pass a bunch of work to other processes.

    Returns the results, in the order of `todo`, and for each command the lines that it wrote after its last answer.

    - `todo`: the tasks, any number of objects that can be pickled. Without any, every command still runs.
    - `list_of_args`: the commands, each a list of a program and its arguments.
    - `connection_factory`: makes a `Connection` of an argument list, for commands that are reached in another way.
    - `stdin`: things that are sent to each command first, one after the other.
    - `verbose`: tell on standard error what happens.
    - `timing_callback(start, end)` is called for each answer, with seconds since 1970.
    - `tail_callback(arglist, lines)` is called for each process when it has ended.
    - `past_performance`: who was more successful in the jobs that this `PastPerformance` knows starts first; by default
      it knows those of this program. None: no memory.
    - `encoding`: `'pickle'`, or `'json'` for lines of JSON both ways.
    - `timeout`: seconds that a task may take. A command that takes longer is ended, and the task given to another.
    - `limit_bytes`: most bytes of one answer, and of the remaining output of one command.

    Raises `RemoteException` as a worker answered; `NoResponse` where no command is left that could do what is left, or
    a task takes too long for the third time; `CannotCreateConnection` where none can be started. Their `results` has
    what there is. A command that cannot be started, while others can, is told with a `RuntimeWarning`.
    """
    commands = _commands(list_of_args)
    if timeout is not None and not 0 < timeout < math.inf:
        raise ValueError(f"timeout: expected a number of seconds above 0, or None, got {timeout!r}")
    if limit_bytes < 1:
        raise ValueError(f"limit_bytes: expected at least 1, got {limit_bytes!r}")
    told = Told(commands, verbose, timing_callback, tail_callback)
    if connection_factory is not Connection_subprocess:
        if (encoding, timeout) != ("pickle", None):
            raise ValueError(
                "encoding and timeout are for commands that are subprocesses; your connections have their own"
            )
        return _over_connections(
            list(todo), commands, connection_factory, stdin, verbose, timing_callback, tail_callback, past_performance
        )
    keys = [tuple(command) for command in commands]
    record = Record(keys)
    job = Job(
        todo,
        told,
        record,
        order=order(past_performance, keys),
        stdin=stdin or (),
        encoding=encoding,
        timeout=timeout,
        limit_bytes=limit_bytes,
    )
    try:
        job.run()
    finally:
        record.remember(past_performance)
    return job.results, job.tails


def _commands(list_of_args: Iterable[Iterable[str | bytes]]) -> list[list[str]]:
    commands: list[list[str]] = []
    for args in list_of_args:
        if isinstance(args, str | bytes):
            raise TypeError(
                f"list_of_args: expected lists of a program and its arguments, got {args!r}; write [{args!r}]"
            )
        args = list(args)
        command = [arg.decode("utf-8", "surrogateescape") if isinstance(arg, bytes) else str(arg) for arg in args]
        if not command or not command[0]:
            raise ValueError(f"list_of_args: expected lists that begin with a program, got {args!r}")
        commands.append(command)
    if not commands:
        raise ValueError("list_of_args: expected at least one command, got none")
    return commands


def _over_connections(
    todo: list[Any],
    commands: list[list[str]],
    connection_factory: Callable[[list[str]], Connection],
    stdin: Iterable[Any] | None,
    verbose: bool,
    timing_callback: Callable[[float, float], object] | None,
    tail_callback: Callable[[list[str], list[str]], object] | None,
    past_performance: Memory | None,
) -> tuple[list[Any], list[list[str]]]:
    """The same for connections of any kind: a thread for each."""
    iqueue: queue.Queue[tuple[int, Any] | None] = queue.Queue()
    oqueue: queue.Queue[Any] = queue.Queue()
    for pair in enumerate(todo):
        iqueue.put(pair)
    told = Told(commands, verbose, timing_callback, tail_callback)
    workers = workers_c(
        connection_factory, commands, iqueue, oqueue, stdin, verbose, timing_callback, tail_callback, past_performance
    )
    results: list[Any] = [notComputed for _ in todo]
    ends: dict[int, Gone] = {}
    try:
        left = len(todo)
        while left:
            match oqueue.get():
                case Gone() as gone:
                    _gone(gone, ends, told, results)
                case Misbehaved(worker, message):
                    told.misbehaved(worker, message)
                case Again():
                    left += 1
                case Unsent(_, error):
                    raise error
                case Done(_, RemoteException() as error):
                    error.results = results
                    raise error
                case Done(task, value):
                    results[task] = value
                    left -= 1
        workers.close()
        tails = workers.join()
    except BaseException:
        workers.stop()
        raise
    while not oqueue.empty():
        match oqueue.get():
            case Gone() as gone:
                _gone(gone, ends, told, results)
            case OneTooMany(worker, answers):
                try:
                    told.one_too_many(worker, answers)
                except NoResponse as error:
                    error.results = results
                    raise
            case Unsent(_, error):
                raise error
    return results, tails


def _gone(gone: Gone, ends: dict[int, Gone], told: Told, results: list[Any]) -> None:
    """Take in that a worker is not there any more; raises where it was the last."""
    if gone.finished:
        told.tail_lost(gone.worker, gone.message)
        return
    ends[gone.worker] = gone
    if not gone.started:
        told.left_out(gone.worker, gone.message)
    args = told.list_of_args
    if len(ends) < len(args):
        if gone.started:
            told.given_up(gone.worker, gone.message)
        return
    text = "".join(f"\n  {args[worker]}: {end.message}" for worker, end in sorted(ends.items()))
    error: NoResponse | CannotCreateConnection
    if not any(end.started for end in ends.values()):
        error = CannotCreateConnection(f"expected connections that can be made, got none:{text}")
    else:
        left = sum(result is notComputed for result in results)
        if not left:
            return
        error = NoResponse(f"no command is left, and {left} of {len(results)} tasks are not done:{text}")
        error.ends = [(args[worker], end.message) for worker, end in sorted(ends.items())]
    error.results = results
    raise error


if __name__ == "__main__":
    test_worker(sys.argv[1] if len(sys.argv) > 1 else None)
