"""A call that does not wait for its results."""

from typing import Any

from nws._sleigh.exceptions import SleighGatheredException
from nws._sleigh.run import Run

__all__ = ["SleighPending"]


class SleighPending:
    """An `eachElem` or `eachWorker` in progress. The sleigh is occupied until its results are gathered by `wait`."""

    __module__ = "nws.sleigh"

    def __init__(self, run: Run) -> None:
        """For `Sleigh` alone."""
        self._run = run
        self._gathered = False

    def check(self) -> int:
        """Return how many tasks have no result yet; does not wait.

        Raises `SleighNwsException` where the sleigh has ended.
        """
        if self._run.outstanding and not self._run.over:
            try:
                self._run.look()
            except BaseException as error:
                self._run.end(error)
                raise
        return self._run.outstanding

    def wait(self) -> Any:
        """Wait for all results and return what the call would have returned.

        Raises `SleighGatheredException` the second time, `SleighNwsException` where the sleigh has ended. A wait that
        is interrupted gives up the tasks that are outstanding.
        """
        if self._gathered:
            raise SleighGatheredException("these results were gathered already, by an earlier wait")
        self._gathered = True
        if self._run.over and self._run.cancelled:
            return self._run.into.value()
        if self._run.over:
            raise SleighGatheredException("this call was given up: its sleigh has ended, or a check was interrupted")
        with self._run as run:
            run.wait_until(0)
        return run.into.value()

    def cancel(self, finish: bool = False) -> None:
        """Drop the tasks that have not begun, and end those that run, with all that they started.

        With `finish` those that run come to their end, which is waited for. Where another thread waits for the results
        it gets them at once; else the sleigh is free when this returns. `wait` returns what has come, and for the other
        tasks a `SleighTaskException` of type `'Cancelled'`.
        """
        run = self._run
        run.cancel(finish)
        if run.cancelled and not run.over and not self._gathered:
            with run:
                run.wait_until(0)

    def __str__(self) -> str:
        return f"SleighPending: {self._run.outstanding} of {self._run.submitted} tasks outstanding"
