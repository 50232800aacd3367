"""Encodings for other languages, many values in one call, and buffers beside the pickle."""

import math
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nws import _native, _pickle
from nws.client import NetWorkSpace, NwsOperationException, NwsServer, NwsTimeoutException
from server_process import ServerProcess
from waits import in_thread, until_waiting


def kind(ws: NetWorkSpace, name: str) -> tuple[str, bytes]:
    """How a value is stored."""
    stored = ws._workspace.retrieve(name, False, 5.0, raw=True).wait()
    return stored.kind, bytes(stored.view())


@pytest.mark.parametrize(
    ("encoding", "value", "raw", "back"),
    [
        ("json", {"a": [1, None, "ä"]}, '{"a":[1,null,"ä"]}'.encode(), {"a": [1, None, "ä"]}),
        ("json", (1, 2.5), b"[1,2.5]", [1, 2.5]),
        ("json", "text", b'"text"', "text"),
        ("text", "ä", "ä".encode(), "ä"),
        ("bytes", b"\xff", b"\xff", b"\xff"),
        ("bytes", bytearray(b"ab"), b"ab", b"ab"),
        ("bytes", memoryview(b"x" * 40_000), b"x" * 40_000, b"x" * 40_000),
        ("bytes", np.arange(3, dtype="<u2"), b"\0\0\1\0\2\0", b"\0\0\1\0\2\0"),
        ("native", None, b"\0", None),
        ("native", True, b"\2", True),
        ("native", -2, b"\3" + struct.pack("<q", -2), -2),
        ("native", 2.5, b"\4" + struct.pack("<d", 2.5), 2.5),
    ],
)
def test_an_encoding_is_what_others_read(ws: NetWorkSpace, encoding: Any, value: Any, raw: bytes, back: Any) -> None:
    ws.store("x", value, encoding=encoding)
    assert kind(ws, "x") == (encoding, raw)
    found = ws.fetch("x")
    assert (type(found), found) == (type(back), back)


@pytest.mark.parametrize(
    ("encoding", "value", "error", "message"),
    [
        ("json", math.nan, ValueError, "JSON"),
        ("json", {1}, TypeError, "set"),
        ("text", b"bytes", TypeError, "expected a str for the encoding 'text', got bytes"),
        ("bytes", "text", TypeError, "for the encoding 'bytes', got str"),
        ("bytes", np.zeros((4, 4))[:, 1], TypeError, "in one piece, for the encoding 'bytes', got ndarray"),
        ("native", "text", TypeError, "expected None, a bool, an int or a float for the encoding 'native', got str"),
        ("xml", 1, ValueError, "expected the encoding 'json', 'text', 'bytes' or 'native', or None, got 'xml'"),
    ],
)
def test_what_does_not_fit_an_encoding_is_an_error(
    ws: NetWorkSpace, encoding: Any, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ws.store("x", value, encoding=encoding)
    with pytest.raises(error, match=message):
        ws.storeMany("x", [value], encoding=encoding)
    assert ws.listVars() == ""


def test_many_values_go_in_one_call_and_come_in_one(ws: NetWorkSpace) -> None:
    ws.storeMany("x", (str(n) for n in range(1000)))
    assert ws.fetchMany("x", 3) == ["0", "1", "2"]
    assert ws.fetchTryMany("x", 4096) == [str(n) for n in range(3, 1000)]
    assert ws.fetchTryMany("x", 5000) == []
    ws.storeMany("x", [])
    assert ws.fetchTry("x") is None


def test_more_values_than_one_message_holds(ws: NetWorkSpace) -> None:
    ws.storeMany("x", range(5000))
    assert ws.listVars(format="dict")["x"][1] == 5000
    assert ws.fetchMany("x", 5000) == list(range(4096))
    assert ws.fetchMany("x", 5000) == list(range(4096, 5000))


def test_many_long_values_go_in_several_messages(ws: NetWorkSpace) -> None:
    values = [bytes([n]) * (20 << 20) for n in range(8)]
    ws.storeMany("x", values)
    assert ws.fetchMany("x", 100) == values


def test_if_one_value_cannot_be_pickled_none_is_stored(ws: NetWorkSpace) -> None:
    with pytest.raises(TypeError):
        ws.storeMany("x", [1, (n for n in range(3)), 2])
    assert ws.listVars() == ""


def test_many_wait_for_one_and_their_wait_ends(ws: NetWorkSpace) -> None:
    with pytest.raises(NwsTimeoutException):
        ws.fetchMany("x", 5, timeout=0.01)
    waiting = in_thread(ws.fetchMany, "x", 5)
    until_waiting(ws, "x", 1)
    ws.store("x", 1)
    assert waiting.result(10) == [1]
    with pytest.raises(ValueError, match="expected to fetch 1 value or more, got 0"):
        ws.fetchMany("x", 0)


class Broken:
    def __reduce__(self) -> object:
        return (int, ("no number",))


def test_a_value_that_cannot_be_read_loses_no_other(ws: NetWorkSpace) -> None:
    ws.storeMany("x", [1, Broken(), 3, 4])
    with pytest.raises(ValueError, match="no number") as caught:
        ws.fetchMany("x", 10)
    assert caught.value.fetched == [1]  # type: ignore[attr-defined]
    assert ws.fetch("x") == 3
    assert ws.fetchTryMany("x", 10) == [4]


ARRAYS = [
    np.arange(100_000, dtype=float).reshape(100, -1),
    np.asfortranarray(np.arange(100_000).reshape(100, -1)),
    np.arange(200_000, dtype="u1")[1:],
    np.arange(200_000, dtype=float)[::2],
    np.zeros(100_000, dtype=[("a", "i4"), ("b", "f8")]),
    np.zeros((0, 5)),
    np.arange(3),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_an_array_comes_back_as_it_was_and_can_be_written_to(ws: NetWorkSpace, array: Any) -> None:
    ws.store("x", array)
    for read in (ws.find, ws.find, ws.fetch):
        back = read("x")
        assert np.array_equal(back, array)
        assert (back.dtype, back.flags.writeable, back.flags.aligned) == (array.dtype, True, True)
        back[...] = 0


def test_several_buffers_in_one_object(ws: NetWorkSpace) -> None:
    value = {"a": ARRAYS[0], "same": ARRAYS[0], "small": np.arange(4), "b": ARRAYS[2], "text": "ä"}
    ws.store("x", value)
    back = ws.fetch("x")
    assert all(np.array_equal(back[name], value[name]) for name in value if name != "text")
    assert back["same"] is back["a"]
    assert back["text"] == "ä"


def test_an_array_that_may_not_be_written_to_stays_so(ws: NetWorkSpace) -> None:
    array = np.arange(100_000)
    array.flags.writeable = False
    ws.store("x", array)
    assert ws.fetch("x").flags.writeable is False


def test_arrays_of_one_message_are_apart(ws: NetWorkSpace) -> None:
    ws.storeMany("x", [np.full(50_000, n) for n in range(4)])
    arrays = ws.fetchMany("x", 10)
    for n, array in enumerate(arrays):
        assert (array == n).all()
        array[...] = -1
    assert not any(np.shares_memory(arrays[0], other) for other in arrays[1:])


def test_a_buffer_is_a_view_on_what_was_received(ws: NetWorkSpace) -> None:
    ws.store("x", np.arange(100_000))
    base = ws.fetch("x")
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, memoryview)
    assert type(base.obj).__name__ == "Buffer"


class Holder:
    """A class of a script: it goes by value."""

    def __init__(self, array: Any) -> None:
        self.array = array


def test_arrays_of_a_scripts_own_class_go_beside_the_pickle_too() -> None:
    Holder.__module__ = "__main__"
    try:
        data, buffers = _pickle.dumps_with_buffers(Holder(np.arange(100_000)))
    finally:
        Holder.__module__ = __name__
    assert (len(buffers), buffers[0].nbytes) == (1, 800_000)
    assert len(data) < 10_000


def test_an_array_beside_what_goes_by_value(ws: NetWorkSpace) -> None:
    ws.store("x", [np.arange(100_000), lambda n: n + 1, np.arange(50_000)])
    first, function, second = ws.fetch("x")
    assert (len(first), function(1), len(second)) == (100_000, 2, 50_000)


def test_small_buffers_stay_in_the_pickle() -> None:
    data, buffers = _pickle.dumps_with_buffers([np.arange(10), np.arange(100_000)])
    assert [buffer.nbytes for buffer in buffers] == [800_000]
    assert _pickle.loads(data, buffers=buffers)[0].tolist() == list(range(10))


WITH_BUFFERS = 0x0100000C


def with_buffers(pickled: bytes, table: list[tuple[int, int]], rest: bytes, count: int | None = None) -> bytes:
    head = struct.pack("<IQ", len(table) if count is None else count, len(pickled))
    return head + b"".join(struct.pack("<QQ", *row) for row in table) + pickled + rest


def test_the_bytes_of_a_value_with_buffers_are_the_documented_ones(ws: NetWorkSpace) -> None:
    array = np.arange(40_000, dtype="u1")
    pickled, (buffer,) = _pickle.dumps_with_buffers(array)
    ws.store("x", array)
    what, raw = kind(ws, "x")
    start = 26 + 64 * math.ceil((12 + 16 + len(pickled) - 26) / 64)
    padding = start - 12 - 16 - len(pickled)
    assert (what, raw) == ("pickle", with_buffers(pickled, [(start, 40_000)], bytes(padding) + bytes(buffer)))
    assert np.array_equal(_native.decode_value(WITH_BUFFERS, raw, _pickle.loads), array)


PICKLED = pickle.dumps(7)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\1\0\0",
        with_buffers(PICKLED, [], b"", count=1),
        with_buffers(PICKLED, [], b"", count=2**32 - 1),
        with_buffers(PICKLED, [(0, 1)], b"abc"),
        with_buffers(PICKLED, [(12 + 16 + len(PICKLED), 4)], b"abc"),
        with_buffers(PICKLED, [(2**63, 1)], b"abc"),
        with_buffers(PICKLED, [(40, 2**64 - 1)], b"abc"),
        with_buffers(PICKLED, [(70, 1), (69, 1)], bytes(20)),
        struct.pack("<IQ", 0, 2**40),
    ],
)
def test_malformed_buffers_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="malformed value: expected"):
        _native.decode_value(WITH_BUFFERS, raw, _pickle.loads)


def test_a_value_beyond_the_servers_limit_is_refused_and_the_connection_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "nws"
    monkeypatch.setenv("NWS_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("NWS_VALUE_SIZE", "3MiB")
    with ServerProcess(folder) as server, NwsServer("localhost", server.port) as connection:
        ws = connection.openWs("limited")
        with pytest.raises(NwsOperationException, match=r"at most 3145728 bytes \(setting value-size\)"):
            ws.store("x", np.zeros(3 << 20, dtype="u1"))
        ws.store("x", 1)
        assert ws.fetchTryMany("x", 2) == [1]


def test_text_of_others_that_is_not_utf_8_is_bytes() -> None:
    assert _native.decode_value(0x03000001, b"\xff", _pickle.loads) == b"\xff"
    assert _native.decode_value(0x03000001, b"abc", _pickle.loads) == "abc"
