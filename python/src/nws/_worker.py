"""A worker of a sleigh: the process that `nws host` starts."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from nws import _native, _pickle
from nws._sleigh.exceptions import SleighJoinException
from nws._sleigh.failures import describe
from nws._sleigh.log import WorkerLog
from nws._sleigh.seeding import Seeder
from nws._sleigh.setup import SetUpFailed, set_up
from nws._sleigh.spaces import introduce, regroup
from nws._sleigh.speaking import Speaker

__all__ = ["main"]


def main() -> None:
    """Join the sleigh that this process was started for, and run its tasks until it is over."""
    started = _native.worker_bootstrap()
    if started is None:
        return
    rank, count, told, start = started
    settings = json.loads(told)
    _pickle.become_worker()
    sys.argv[:] = settings["argv"] or [""]
    sys.path[:] = settings["path"]
    if settings["faulthandler"]:
        import faulthandler

        faulthandler.enable()
    # Whole lines reach the host also where a task ends in a crash.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    pid = os.getpid()
    log = WorkerLog(settings["log_folder"], rank, settings["verbose"])
    try:
        loop = start.join()
    except SleighJoinException as error:
        log.note(str(error))
        sys.exit(f"nws: worker {rank}: SleighJoinException: {error}")
    introduce(loop, rank, count)
    seeder = Seeder(loop)
    try:
        set_up(loop, settings["awaits_set_up"])
    except SetUpFailed as failed:
        log.note(str(failed))
        loop.fail(str(failed))
        sys.exit(1)
    loop.ready()
    log.say(f"has joined as process {pid}")
    # Not before: what is said up to here is of no task.
    speaker = Speaker(loop, settings["output_limit"])
    define, describing = _callbacks(log, speaker, seeder, rank)
    reason = loop.run(define, _pickle.loads, _pickle.dumps_result, describing)
    if os.getpid() != pid:
        # A child that a task forked and let come back: it must not touch what is the worker's.
        sys.stdout.flush()
        os._exit(0)
    log.say(f"ends: {reason}")
    loop.leave()


def _callbacks(
    log: WorkerLog, speaker: Speaker, seeder: Seeder, rank: int
) -> tuple[Callable[..., Any], Callable[..., bytes]]:
    """Return what makes a function of a run's definition, and what describes the failure of a task."""

    def define(definition: bytes) -> tuple[Callable[..., Any], bool, int | None, Callable[[], None] | None]:
        function, spread, chunk_size, group, levels, seed = _pickle.loads(definition)
        speaker.follow(levels)
        if group is not None:
            regroup(rank, group)
        return log.watching(function), spread, chunk_size, seeder.begin(seed)

    def describing(error: BaseException, of_result: bool = False) -> bytes:
        failure = describe(error, of_result)
        log.note(f"a task failed:\n{json.loads(failure)['traceback']}")
        return failure

    return define, describing
