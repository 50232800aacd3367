"""The Boss, as the user's program sees it."""

import logging
import pickle
import struct
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

from nws import _native
from nws._sleigh.nesting import module_being_imported
from nws.taylorism import _shared, _wire, interrupt
from nws.taylorism._failures import BossDied, NoScheduler
from nws.taylorism._instructions import loaded, pickled, sets, told
from nws.taylorism._office import Office
from nws.taylorism._worker import Worker, registry
from nws.taylorism.schedulers import BaseScheduler, MaxThreadsScheduler

__all__ = ["Alone", "Boss", "batch_main", "run_as_server"]

_log = logging.getLogger("nws.taylorism")

_NO_INSTRUCTIONS: dict[str, Any] = {}
_ONE_A_CORE = MaxThreadsScheduler()


class Boss:
    """Hands out instructions to workers, as a scheduler allows, and collects their reports.

    The Boss is a process of its own, and so is each worker. It begins halted: `make_them_work` lets it begin. Who makes
    a Boss ends it, by `wait_till_finished` (or `end`, `stop_them_working`) or in a `with` block; forgetting it, and the
    end of the program in whatever way, end it by force.

        >>> from nws.taylorism import Boss, Worker
        >>> class Adder(Worker):
        ...     a: int
        ...     b: int
        ...     def _task(self):
        ...         return self.a + self.b
        >>> boss = Boss()
        >>> boss.set_instructions(dict(a=10), dict(b=[1, 2, 3]))
        >>> boss.make_them_work()
        >>> boss.wait_till_finished()
        >>> sorted(one["report"] for one in boss.get_report()["workers_report"])
        [11, 12, 13]

    `name` and `verbose` are for its messages on standard error: with `verbose` each worker's start and report.

    An error in a worker stops all others. It is raised by `get_report`, and by the first of the other methods that
    comes after it, with the type that it had in the worker; its `__cause__` is a `WorkerFailed`, which tells the
    worker's traceback and instructions. A worker that is killed, or leaves Python, is a `WorkerDied`; the end of the
    Boss itself is a `BossDied`.

    Raises `TypeError` where `scheduler` is no `BaseScheduler` or cannot be sent to the Boss's process, `OSError` where
    that cannot be started.
    """

    __module__ = "nws.taylorism"

    control_signals: ClassVar[dict[str, str]] = {
        "HALT": "Begin no more workers until RESUME.",
        "RESUME": "Go on with what is pending.",
        "SEND_REPORT": "Send an interim report, and go on.",
        "END": "Do all that is pending, then end; new instructions are not taken any more.",
        "STOP": "Begin nothing more, let workers finish what they do, then end.",
        "STOP_LISTENING": "End, and let workers finish what they do without hearing their reports.",
        "STOP_RIGHTNOW": "Stop the workers at once, and end.",
    }
    """What each signal does. Either its name or this text may be sent, by `control_messenger_out.send`."""

    def __init__(self, scheduler: BaseScheduler = _ONE_A_CORE, name: str | None = None, verbose: bool = False) -> None:
        """Start the Boss's process; this does not wait for it."""
        if not isinstance(scheduler, BaseScheduler):
            raise NoScheduler(f"scheduler: expected an instance of a BaseScheduler, got {scheduler!r}")
        module = module_being_imported()
        if module is not None:
            raise RuntimeError(
                f"module {module!r} makes a Boss when it is imported, and every Boss imports it; "
                "make it in a function, or below `if __name__ == '__main__':`"
            )
        self.scheduler = scheduler
        self.name = name
        self.verbose = verbose
        self.control_messenger_out = Messenger(self)
        start = pickle.dumps((name, verbose, pickled(scheduler, "the scheduler")))
        workers = getattr(scheduler, "max_threads", None) or _native.fitting_workers()
        self._office = Office(_native.thread_limits(workers, None))
        self._office.send(_wire.START, start)
        self._finalizer = weakref.finalize(self, Office.close, self._office)
        self._given = 0
        self._sent: weakref.WeakSet[type] = weakref.WeakSet()
        self._arrays: dict[str, _shared.SharedNumpyArray] = {}
        self._is_ending = False
        self._interims_seen = 0
        self._was_raised = False

    def set_instructions(
        self,
        common_instructions: Mapping[str, Any] = _NO_INSTRUCTIONS,
        individual_instructions: Mapping[str, Sequence[Any]] = _NO_INSTRUCTIONS,
    ) -> None:
        """Add instructions to what is pending; may be called again at any time.

        `individual_instructions` are lists of one length: worker number i is given the item i of each. All are given
        `common_instructions` too; where both have a name, the individual one counts. Without individual instructions
        there is nothing to be done. They are what they are now, whatever becomes of them here later.

        Instructions find the class of workers that they fit. That is asked when they are handed out; where none fits,
        `AttributeError` is raised as an error of a worker would be.

        After an END or a STOP new instructions are not taken any more, which is logged.

        Raises `ValueError` (`UnevenInstructions`) where the lists differ in length, `TypeError` where something is no
        list or cannot be pickled, and what the work so far has failed with.
        """
        self._give(sets(common_instructions, individual_instructions))

    def _give(self, sets: list[dict[str, Any]]) -> None:
        """Send instructions, with all that they need."""
        self._raise_if_failed()
        if self._is_ending or self._office.ended:
            _log.warning("the Boss takes no more instructions, as it was told to end: %d sets left out", len(sets))
            return
        if not sets:
            return
        data = self._pickled_with_arrays(sets, "the instructions")
        self._send_classes()
        # In this order an interrupt between any two leaves numbers that nobody uses, and none that two have.
        first, self._given = self._given, self._given + len(sets)
        with self._office.changed:
            self._office.given.update(enumerate(sets, first))
        self._office.send(_wire.INSTRUCTIONS, struct.pack("<Q", first), data)

    def _pickled_with_arrays(self, value: object, what: str) -> bytes:
        """Pickle for the Boss, which has the shared arrays in it before."""
        arrays: list[_shared.SharedNumpyArray] = []
        with _shared.carrying(arrays.append):
            data = pickled(value, what)
        for array in arrays:
            self._send_array(array)
        return data

    def _send_array(self, array: _shared.SharedNumpyArray) -> None:
        facts, descriptor = _shared.told(array)
        if facts[0] not in self._arrays:
            self._office.send(_wire.ARRAY, pickle.dumps(facts), descriptor=descriptor)
            self._arrays[facts[0]] = array

    def _send_classes(self) -> None:
        new = [cls for cls in registry if cls not in self._sent]
        if new:
            self._office.send(_wire.CLASSES, pickle.dumps([told(cls) for cls in new]))
            self._sent.update(new)

    def make_them_work(self, terminate: bool = False, stop_listening: bool = False) -> None:
        """Let workers begin. Returns at once.

        With `terminate` no more instructions may follow: `end` is called. With `stop_listening` those workers that can
        begin at once do their work, and nobody listens to their reports; no others begin.
        """
        self._raise_if_failed()
        self._signal("RESUME")
        if stop_listening:
            self._signal("STOP_LISTENING")
        if terminate:
            self.end()

    def stop_them_working(self) -> None:
        """Stop the workers at once, and end; what they had to do stays pending."""
        self._signal("STOP_RIGHTNOW")

    def get_report(self, interim: bool = True) -> dict[str, Any] | None:
        """Return the report of the work.

        It has `workers_report`, a list with a dict for each worker that has finished, in that order: its `name` and its
        `report`; and `status`: `'finished'`, or `'pending'` where the Boss has ended before all was done, and `pending`
        then is the list of the instructions that are left. While the Boss works, the report is one of what was done so
        far, with status `'interim'`; without `interim` it is None, unless a SEND_REPORT was sent before.

        Raises the error of a worker or of the scheduler, `AttributeError` where no worker fits its instructions,
        `BossDied` where the Boss has died.
        """
        office = self._office
        office.expect_owner()
        with office.changed:
            if interim and not self._is_over() and office.interims == self._interims_seen:
                self._signal("SEND_REPORT")
                office.changed.wait_for(lambda: self._is_over() or office.interims > self._interims_seen)
            if not self._is_over():
                if office.interims == self._interims_seen:
                    return None
                self._interims_seen += 1
            self._raise_failure()
            report: dict[str, Any] = {"workers_report": self._reports(), "status": "interim"}
            if office.left is not None:
                report["status"] = "pending" if office.left else "finished"
                if office.left:
                    report["pending"] = [self._instructions(one) for one in office.left]
            return report

    def end(self) -> None:
        """Let the Boss end when all that is pending is done. Returns at once."""
        self._signal("END")

    def wait_till_finished(self) -> None:
        """Wait until all instructions have been done, and the Boss and all workers have ended; calls `end`.

        Raises what the work has failed with, unless another method has raised it before; `RuntimeError` where the Boss
        is halted with instructions pending, and so would never end.
        """
        office = self._office
        self.end()
        with office.changed:
            office.changed.wait_for(lambda: office.ended or office.halted)
            if not office.ended:
                raise RuntimeError("the Boss is halted, and instructions are pending: call make_them_work() first")
        self._raise_if_failed()

    def close(self) -> None:
        """End the Boss and its workers at once, by force; nothing is left when this returns."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _signal(self, name: str) -> None:
        self._office.expect_owner()
        if name == "RESUME":
            with self._office.changed:
                self._office.halted = False
        self._is_ending |= name == "END" or name.startswith("STOP")
        self._office.send(_wire.SIGNAL, name.encode())

    def _is_over(self) -> bool:
        """Whether the Boss has said its last words, or has none to say any more."""
        office = self._office
        return office.ended or office.left is not None or office.failure is not None

    def _raise_if_failed(self) -> None:
        self._office.expect_owner()
        with self._office.changed:
            if not self._was_raised:
                self._raise_failure()

    def _raise_failure(self) -> None:
        office = self._office
        if office.failure is not None:
            failure, name, which = office.failure
            self._was_raised = True
            raise failure.exception(name, {} if which is None else self._instructions(which))
        if office.death is not None:
            self._was_raised = True
            raise BossDied(f"the Boss has died: {office.death}")

    def _instructions(self, which: int | bytes) -> dict[str, Any]:
        found: dict[str, Any] = pickle.loads(which) if isinstance(which, bytes) else self._office.given[which]
        return found

    def _reports(self) -> list[dict[str, Any]]:
        reports = self._office.reports
        for index, (name, report) in enumerate(reports):
            if isinstance(report, memoryview):
                reports[index] = (name, loaded(name, report))
        return [{"name": name, "report": report} for name, report in reports]


class Messenger:
    """The way to a Boss: `send` takes a control signal, or instructions as a dict or a list of dicts."""

    def __init__(self, boss: Boss) -> None:
        """Send to this Boss."""
        self._boss = weakref.ref(boss)

    def send(self, message: str | dict[str, Any] | list[dict[str, Any]]) -> None:
        """Send it; the Boss takes messages in the order in which they are sent.

        Raises `ValueError` for a text that is no control signal, `TypeError` for what is neither that nor instructions.
        """
        boss = self._boss()
        if boss is None:
            raise RuntimeError("the Boss of this messenger is gone")
        if isinstance(message, str):
            boss._signal(_signal_named(message))
        else:
            boss._give(_instruction_sets(message))


class Alone:
    """The employer of a worker that was made by hand: a Boss for it alone, from its work to its end."""

    def __init__(self) -> None:
        """Wait for the worker to be sent to work."""
        self._boss: Boss | None = None

    def start(self, worker: Worker) -> None:
        """Start its process."""
        if self._boss is not None:
            raise RuntimeError(f"the worker {worker.name} was sent to work already")
        boss = Boss(name=worker.name)
        worker._employer = None  # which it is not to take along
        try:
            boss._office.send(_wire.WORKER, boss._pickled_with_arrays(worker, f"the worker {worker.name}"))
        finally:
            worker._employer = self
        boss.end()
        self._boss = boss

    def wait_for(self, worker: Worker) -> None:
        """Return when its process has ended; raise what it has failed with."""
        self._at_work(worker).wait_till_finished()

    def stop(self, worker: Worker) -> None:
        """End its process."""
        self._at_work(worker).stop_them_working()

    def _at_work(self, worker: Worker) -> Boss:
        if self._boss is None:
            raise RuntimeError(f"the worker {worker.name} was not sent to work; call work() first")
        return self._boss


def _signal_named(message: str) -> str:
    for name, text in Boss.control_signals.items():
        if message in (name, text):
            return name
    raise ValueError(f"expected one of the control signals {', '.join(Boss.control_signals)}, got {message!r}")


def _instruction_sets(message: object) -> list[dict[str, Any]]:
    given = [message] if isinstance(message, dict) else message
    if not isinstance(given, list | tuple) or not all(
        isinstance(one, dict) and all(isinstance(name, str) for name in one) for one in given
    ):
        raise TypeError(
            f"expected one of the control signals {', '.join(Boss.control_signals)}, or instructions: a dict with "
            f"their names, or a list of such; got {message!r:.200}"
        )
    return list(given)


def run_as_server(
    common_instructions: Mapping[str, Any],
    individual_instructions: Mapping[str, Sequence[Any]],
    scheduler: BaseScheduler = _ONE_A_CORE,
    verbose: bool = False,
) -> Boss:
    """Make a Boss, give it instructions, let its workers work, and return the Boss.

    Arguments are those of `Boss` and of `Boss.set_instructions`. The Boss goes on to listen for more instructions until
    it is told that there will be none, by `end` or `wait_till_finished`, or until it is forgotten.
    """
    boss = Boss(verbose=verbose, scheduler=scheduler)
    boss.set_instructions(common_instructions, individual_instructions)
    boss.make_them_work()
    return boss


def batch_main(
    common_instructions: Mapping[str, Any],
    individual_instructions: Mapping[str, Sequence[Any]],
    scheduler: BaseScheduler = _ONE_A_CORE,
    verbose: bool = False,
) -> None:
    """Have instructions done, wait for that, and print the workers' reports.

    Arguments are those of `run_as_server`. Where a worker fails, or a signal or Ctrl-C comes, all workers are stopped,
    so that their tasks unwind, and the error is raised. A second Ctrl-C ends them by force.
    """
    with interrupt.SignalInterruptHandler():
        with run_as_server(common_instructions, individual_instructions, scheduler=scheduler, verbose=verbose) as boss:
            try:
                boss.wait_till_finished()
                report = boss.get_report()
            except BaseException:
                boss.stop_them_working()
                boss.wait_till_finished()  # what has failed was raised already
                raise
    print("Report from workers:")
    for one in (report or {})["workers_report"]:
        print(one["report"])
