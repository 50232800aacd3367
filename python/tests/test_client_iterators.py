"""Iterators over the values of a variable."""

import io
from collections.abc import Callable

import pytest

from nws.client import (
    NetWorkSpace,
    NwsNoWorkSpaceException,
    NwsOperationException,
    NwsServer,
    NwsTimeoutException,
    NwsValueIterator,
)
from waits import in_thread, until_waiting

Connect = Callable[[], NwsServer]
KINDS = ["ifetch", "ifetchTry", "ifind", "ifindTry"]
WAITING = ["ifetch", "ifind"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_value_is_seen_once_and_in_order(ws: NetWorkSpace, kind: str) -> None:
    ws.storeMany("x", range(5))
    values = getattr(ws, kind)("x")
    assert isinstance(values, NwsValueIterator)
    assert iter(values) is values
    assert [next(values), values.next(), next(values), next(values), next(values)] == [0, 1, 2, 3, 4]
    assert ws.listVars(format="dict")["x"][1] == (5 if "find" in kind else 0)


@pytest.mark.parametrize("kind", ["ifetchTry", "ifindTry"])
def test_a_trying_iterator_ends_until_it_is_restarted(ws: NetWorkSpace, kind: str) -> None:
    ws.storeMany("x", [1, 2])
    values = getattr(ws, kind)("x")
    assert list(values) == [1, 2]
    ws.store("x", 3)
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(values)
        with pytest.raises(StopIteration):
            values.next()
        with pytest.raises(StopIteration):
            values.writeTo(io.BytesIO())
    values.restart()
    assert list(values) == [3]


def test_reset_goes_back_to_the_beginning(ws: NetWorkSpace) -> None:
    ws.storeMany("x", [1, 2])
    values = ws.ifindTry("x")
    assert next(values) == 1
    values.reset()
    assert list(values) == [1, 2]
    values.reset()
    assert list(values) == [1, 2], "it has also ended no longer"


@pytest.mark.parametrize("kind", WAITING)
def test_a_waiting_iterator_waits_for_the_next_value(ws: NetWorkSpace, kind: str) -> None:
    ws.store("x", 1)
    values = getattr(ws, kind)("x")
    assert next(values) == 1
    waiting = in_thread(next, values)
    until_waiting(ws, "x", kind == "ifetch", kind == "ifind")
    ws.store("x", 2)
    assert waiting.result(10) == 2


@pytest.mark.parametrize("kind", WAITING)
def test_a_timeout_ends_one_wait_and_not_the_iterator(ws: NetWorkSpace, kind: str) -> None:
    values = getattr(ws, kind)("x", timeout=0.02)
    with pytest.raises(NwsTimeoutException, match="'x' within 0.02 s"):
        next(values)
    ws.store("x", 1)
    assert next(values) == 1
    with pytest.raises(NwsTimeoutException):
        values.writeTo(io.BytesIO())


def test_every_new_value_of_a_single_variable_is_seen(ws: NetWorkSpace) -> None:
    ws.declare("x", "single")
    values = ws.ifindTry("x")
    for value in range(3):
        ws.store("x", value)
        assert list(values) == [value]
        values.restart()
    ws.storeMany("x", "abc")
    assert list(values) == ["c"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["lifo", "multi"])
def test_lifo_and_multi_have_no_iterators(ws: NetWorkSpace, kind: str, mode: str) -> None:
    ws.declare("x", mode)  # type: ignore[arg-type]
    ws.store("x", 1)
    values = getattr(ws, kind)("x")
    for _ in range(2):
        with pytest.raises(NwsOperationException) as caught:
            next(values)
        assert caught.value.slug == "not-iterable"
    assert ws.fetch("x") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_deleted_variable_ends_its_iterators(ws: NetWorkSpace, kind: str) -> None:
    ws.storeMany("x", [1, 2])
    values = getattr(ws, kind)("x")
    assert next(values) == 1
    ws.deleteVar("x")
    ws.storeMany("x", [3, 4])
    assert list(values) == []
    values.restart()
    assert list(values) == [], "another variable of that name is not the one that it began on"
    values.reset()
    assert next(values) == 3


@pytest.mark.parametrize("kind", WAITING)
def test_a_waiting_iterator_ends_when_its_variable_is_deleted(ws: NetWorkSpace, kind: str) -> None:
    values = getattr(ws, kind)("x")
    waiting = in_thread(list, values)
    until_waiting(ws, "x", kind == "ifetch", kind == "ifind")
    ws.deleteVar("x")
    assert waiting.result(10) == []


def test_a_deleted_workspace_is_an_error_of_its_iterators(connect: Connect, ws: NetWorkSpace) -> None:
    ws.store("x", 1)
    values = ws.ifind("x")
    connect().deleteWs(ws.currentWs())
    with pytest.raises(NwsNoWorkSpaceException):
        next(values)


def test_values_fetched_by_others_are_passed_over(ws: NetWorkSpace) -> None:
    ws.storeMany("x", range(4))
    values = ws.ifindTry("x")
    assert next(values) == 0
    assert ws.fetchMany("x", 3) == [0, 1, 2]
    assert list(values) == [3]


def test_write_to_writes_the_next_value(ws: NetWorkSpace) -> None:
    ws.storeMany("x", ["ä", b"\xff", "c"])
    values, file = ws.ifindTry("x"), io.BytesIO()
    assert (values.writeTo(file), values.next(), values.writeTo(file)) == (2, b"\xff", 1)
    assert file.getvalue() == "äc".encode()
    with pytest.raises(StopIteration):
        values.writeTo(file)


@pytest.mark.parametrize("kind", ["ifetchTry", "ifindTry"])
def test_what_cannot_be_written_stays_the_next_value(ws: NetWorkSpace, kind: str) -> None:
    ws.storeMany("x", [[1], "end"])
    values, file = getattr(ws, kind)("x"), io.BytesIO()
    with pytest.raises(NwsOperationException, match="got a pickled Python object"):
        values.writeTo(file)
    assert next(values) == [1]
    assert values.writeTo(file) == 3


def test_an_unknown_operation_is_refused(ws: NetWorkSpace) -> None:
    with pytest.raises(ValueError, match="expected an operation of ifetch, ifetchTry, ifind, ifindTry, got 'find'"):
        NwsValueIterator(ws, "x", "find")
