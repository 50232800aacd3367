"""Arrays in shared memory: what workers write, the master sees."""

import copy
import gc
import os
import pickle
import signal
from pathlib import Path

import numpy
import pytest

from bosses import reports, workers_of
from leftovers import wait_until
from nws.taylorism import Boss, SharedNumpyArray, Worker, WorkerDied, run_as_server
from nws.taylorism.schedulers import LaxistScheduler


class Adder(Worker):
    table: SharedNumpyArray
    row: int

    def _task(self):
        self.table[self.row] += self.row
        return float(self.table.array.sum())


class Counter(Worker):
    counter: SharedNumpyArray
    times: int

    def _task(self):
        for _ in range(self.times):
            with self.counter.lock():
                self.counter[0] = int(self.counter[0]) + 1


class Writer(Worker):
    """Writes an item, takes the lock, says so, and waits for ever."""

    written: SharedNumpyArray
    lock_told: str

    def _task(self):
        with self.written.lock():
            self.written[...] = 5
            Path(self.lock_told).touch()
            while True:
                signal.pause()


class Foot(Worker):
    _footprint = dict(attr=dict(shared=dict(type=SharedNumpyArray, access="rwx"), place=dict(type=int)))  # noqa: RUF012

    def _task(self):
        self.shared[self.place] = self.place
        return self.shared


def arrays_held():
    """How many descriptors of shared arrays this process has."""
    gc.collect()
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sum("nws-shared-array" in os.readlink(link) for link in links if os.path.islink(link))


def test_workers_write_and_the_master_sees():
    table = SharedNumpyArray(numpy.ones((4, 3)))
    with run_as_server({"table": table}, {"row": range(4)}) as boss:
        reports(boss)
    assert (table.array == numpy.arange(4)[:, None] + 1).all()


def test_workers_see_what_the_master_writes_meanwhile():
    table = SharedNumpyArray(numpy.zeros((2, 2)))
    with Boss() as boss:
        boss.set_instructions({"table": table}, {"row": [0]})
        table[1] = 3
        boss.make_them_work()
        assert reports(boss) == [6.0]


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(6, dtype=numpy.int16).reshape(2, 3),
        numpy.zeros((0, 4)),
        numpy.array(3.5),
        numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)),
        numpy.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
        [[1, 2], [3, 4]],
    ],
)
def test_it_takes_content_shape_and_type_and_is_used_as_an_array(array):
    shared = SharedNumpyArray(array)
    expected = numpy.asarray(array)
    assert (shared.shape, shared.dtype) == (expected.shape, expected.dtype)
    assert (numpy.asarray(shared) == expected).all()
    assert (shared.array == expected).all()
    assert repr(shared) == f"SharedNumpyArray({expected!r})"
    assert copy.deepcopy(shared) is shared


def test_objects_cannot_be_shared():
    with pytest.raises(TypeError, match="expected an array of plain values to share, got one of object"):
        SharedNumpyArray(numpy.array([[1], "x"], dtype=object))


def test_a_lock_keeps_others_out():
    counter = SharedNumpyArray(numpy.zeros(1, dtype=int))
    with run_as_server({"counter": counter}, {"times": [300] * 4}, scheduler=LaxistScheduler()) as boss:
        boss.wait_till_finished()
    assert counter[0] == 1200


def test_a_lock_of_a_killed_worker_is_given_back_and_what_it_wrote_is_there(tmp_path):
    written, told = SharedNumpyArray(numpy.zeros(3)), str(tmp_path / "told")
    with run_as_server({"written": written}, {"lock_told": [told]}) as boss:
        wait_until(lambda: os.path.exists(told), "it has the lock")
        with pytest.raises(BlockingIOError):
            os.lockf(written._descriptor, os.F_TLOCK, 0)
        [pid] = workers_of(boss)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            boss.wait_till_finished()
    with written.lock():
        assert written.sum() == 15


def test_a_report_may_hold_the_masters_array():
    shared = SharedNumpyArray(numpy.zeros(2, dtype=int))
    with run_as_server({"shared": shared}, {"place": [1]}) as boss:
        boss.wait_till_finished()
        [one] = boss.get_report()["workers_report"]
    assert one["report"] is shared
    assert shared[1] == 1


def test_elsewhere_it_travels_by_content():
    shared = SharedNumpyArray(numpy.arange(3))
    other = pickle.loads(pickle.dumps(shared))
    other[0] = 9
    assert (list(other.array), list(shared.array)) == ([9, 1, 2], [0, 1, 2])


def test_nothing_is_left_of_it_and_nothing_was_ever_in_the_file_system():
    before, in_memory = arrays_held(), os.listdir("/dev/shm")
    shared = SharedNumpyArray(numpy.zeros(1000))
    assert os.listdir("/dev/shm") == in_memory
    with run_as_server({"table": SharedNumpyArray(numpy.zeros((1, 1)))}, {"row": [0]}) as boss:
        reports(boss)
    del shared, boss
    assert arrays_held() == before
