"""Leases: values that are taken to be finished or given back."""

import gc
import pickle
import subprocess
import sys
from collections.abc import Callable

import pytest

from nws.client import NetWorkSpace, NwsOperationException, NwsServer, NwsTimeoutException
from server_process import ServerProcess
from waits import in_thread, until_waiting

Connect = Callable[[], NwsServer]


def test_a_finished_lease_stores_its_result_in_the_values_stead(ws: NetWorkSpace) -> None:
    ws.storeMany("x", [1, 2])
    with ws.lease("x") as lease:
        assert (lease.value, lease.deaths) == (1, 0)
        assert ws.find("x") == 2
        lease.finish("y", lease.value * 10)
        assert ws.fetch("y") == 10
    assert ws.fetchTryMany("x", 10) == [2]


def test_a_value_that_is_done_is_gone_and_nothing_is_in_its_stead(ws: NetWorkSpace) -> None:
    ws.storeMany("x", [1, 2])
    with ws.lease("x") as lease:
        lease.done()
    assert ws.fetchTryMany("x", 10) == [2]
    with pytest.raises(NwsOperationException) as caught:
        lease.done()
    assert caught.value.slug == "lease-ended"
    ws.store("x", 3)
    with ws.lease("x") as lease:
        ws.deleteVar("x")
        with pytest.raises(NwsOperationException, match="before its value was done"):
            lease.done()


def test_a_lease_that_is_not_finished_gives_its_value_back_to_its_place(ws: NetWorkSpace) -> None:
    ws.storeMany("x", [1, 2])
    with ws.lease("x"):
        pass
    assert ws.find("x") == 1
    with pytest.raises(ZeroDivisionError), ws.lease("x") as lease:
        lease.finish("y", 1 / 0)
    assert ws.fetchTryMany("x", 10) == [1, 2]
    assert ws.fetchTry("y") is None


def test_a_lease_is_released_by_hand_or_when_it_is_forgotten(ws: NetWorkSpace) -> None:
    ws.store("x", 1)
    lease = ws.lease("x")
    lease.release()
    lease.release()
    assert ws.find("x") == 1
    lease = ws.lease("x")
    assert ws.findTry("x") is None
    del lease
    gc.collect()
    assert ws.find("x") == 1


def test_a_lease_that_has_ended_is_refused(ws: NetWorkSpace) -> None:
    ws.store("x", 1)
    lease = ws.lease("x")
    lease.finish("y", 2)
    with pytest.raises(NwsOperationException, match="has ended by finish, done or release") as caught:
        lease.finish("y", 3)
    assert caught.value.slug == "lease-ended"
    ws.store("x", 1)
    lease = ws.lease("x")
    ws.deleteVar("x")
    with pytest.raises(NwsOperationException) as caught:
        lease.finish("y", 3)
    assert caught.value.slug == "lease-ended"
    assert ws.fetchTryMany("y", 10) == [2]


def test_a_result_that_cannot_be_encoded_leaves_the_lease(ws: NetWorkSpace) -> None:
    ws.store("x", 1)
    with ws.lease("x") as lease:
        with pytest.raises(TypeError):
            lease.finish("y", (n for n in range(3)))
        with pytest.raises(ValueError, match="expected the encoding"):
            lease.finish("y", 1, encoding="xml")  # type: ignore[arg-type]
        lease.finish("y", [1], encoding="json")
    assert ws.fetch("y") == [1]


def test_a_lease_waits_and_its_wait_ends(ws: NetWorkSpace) -> None:
    with pytest.raises(NwsTimeoutException, match="'x' within 0.01 s"):
        ws.lease("x", timeout=0.01)
    waiting = in_thread(ws.lease, "x")
    until_waiting(ws, "x", 1)
    ws.store("x", 1)
    assert waiting.result(10).value == 1


DYING = """
import os, signal, sys
from nws.client import NetWorkSpace
ws = NetWorkSpace(sys.argv[2], "localhost", int(sys.argv[1]), useUse=True)
lease = ws.lease("x")
print("leased", lease.value, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_lease_ends_with_the_program_that_holds_it(ws: NetWorkSpace, nws_server: ServerProcess) -> None:
    ws.store("x", 1)
    done = subprocess.run(
        [sys.executable, "-c", DYING, str(nws_server.port), ws.currentWs()], capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "leased 1\n"
    assert ws.fetch("x", timeout=10) == 1


def test_a_lease_shows_what_it_is_and_stays_here(ws: NetWorkSpace) -> None:
    ws.store("x", "soup")
    lease = ws.lease("x")
    assert repr(lease) == "<Lease of 'soup'>"
    with pytest.raises(TypeError, match="send its value"):
        pickle.dumps(lease)
    lease.release()
    assert repr(lease) == "<Lease of 'soup', ended>"


class Broken:
    def __reduce__(self) -> object:
        return (int, ("no number",))


def test_a_value_that_cannot_be_read_goes_back(ws: NetWorkSpace) -> None:
    ws.store("x", Broken())
    for _ in range(2):
        with pytest.raises(ValueError, match="no number"):
            ws.lease("x")
    assert ws.listVars(format="dict")["x"][1] == 1
