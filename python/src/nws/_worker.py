"""A worker of a sleigh: the process that `nws host` starts."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from nws import _native, _pickle
from nws._sleigh.failures import describe
from nws._sleigh.setup import SetUpFailed, set_up
from nws._sleigh.spaces import introduce

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
    loop = start.join()
    introduce(loop, rank, count)
    pid = os.getpid()
    try:
        set_up(loop, settings["awaits_set_up"])
    except SetUpFailed as failed:
        loop.fail(str(failed))
        sys.exit(1)
    loop.ready()
    if settings["verbose"]:
        print(f"nws: worker {rank} has joined as process {pid}", file=sys.stderr, flush=True)
    reason = loop.run(_define, _pickle.loads, _pickle.dumps_result, describe)
    if os.getpid() != pid:
        # A child that a task forked and let come back: it must not touch what is the worker's.
        sys.stdout.flush()
        os._exit(0)
    if settings["verbose"]:
        print(f"nws: worker {rank} ends: {reason}", file=sys.stderr, flush=True)
    loop.leave()


def _define(definition: bytes) -> tuple[Callable[..., Any], bool, int | None]:
    function, spread, chunk_size = _pickle.loads(definition)
    return function, spread, chunk_size
