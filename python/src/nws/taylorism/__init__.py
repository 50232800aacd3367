"""Hand out instructions to workers, each a process of its own, as a scheduler allows.

Define a class of workers, give a Boss the instructions of each, and get their reports:

    >>> from nws.taylorism import Worker, run_as_server
    >>> class Square(Worker):
    ...     side: int
    ...
    ...     def _task(self):
    ...         return self.side**2
    >>> boss = run_as_server({}, {"side": [1, 2, 3]})
    >>> boss.wait_till_finished()
    >>> sorted(one["report"] for one in boss.get_report()["workers_report"])
    [1, 4, 9]

`schedulers` has what decides which instructions are next, `interrupt` makes signals exceptions, `examples` has another
program. No `if __name__ == "__main__"` is needed, and classes of a script or notebook travel as they are.
"""

from nws.taylorism import interrupt, schedulers
from nws.taylorism._boss import Boss, batch_main, run_as_server
from nws.taylorism._failures import BossDied, NoScheduler, UnevenInstructions, WorkerDied, WorkerFailed
from nws.taylorism._shared import SharedNumpyArray
from nws.taylorism._worker import Worker
from nws.taylorism.schedulers import BaseScheduler, MaxThreadsScheduler

__all__ = [
    "BaseScheduler",
    "Boss",
    "BossDied",
    "MaxThreadsScheduler",
    "NoScheduler",
    "SharedNumpyArray",
    "UnevenInstructions",
    "Worker",
    "WorkerDied",
    "WorkerFailed",
    "batch_main",
    "interrupt",
    "run_as_server",
    "schedulers",
]
