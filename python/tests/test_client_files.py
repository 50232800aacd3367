"""Values from files and to files."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nws.client import NetWorkSpace, NwsOperationException, NwsTimeoutException
from waits import in_thread, until_waiting

TO_FILE = ["fetchFile", "fetchTryFile", "findFile", "findTryFile"]


def test_a_file_becomes_values_of_at_most_n_bytes(ws: NetWorkSpace) -> None:
    file = io.BytesIO(b"0123456789")
    assert [ws.storeFile("x", file, 4) for _ in range(4)] == [4, 4, 2, 0]
    assert ws.fetchTryMany("x", 10) == [b"0123", b"4567", b"89"]


def test_all_of_a_file_is_stored_where_n_is_0(ws: NetWorkSpace, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_000))
    for buffering in (-1, 0):
        with open(path, "rb", buffering=buffering) as file:
            assert ws.storeFile("x", file) == 3_000_000
            assert ws.storeFile("x", file) == 0
        assert ws.fetch("x") == path.read_bytes()
    assert ws.fetchTry("x") is None


def test_the_end_of_a_file_stores_nothing(ws: NetWorkSpace) -> None:
    for file in (io.BytesIO(), io.StringIO()):
        assert ws.storeFile("x", file) == 0
        assert ws.storeFile("x", file, 5) == 0
    assert ws.listVars() == ""


def test_a_limit_above_all_memory_reads_what_there_is(ws: NetWorkSpace, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        assert ws.storeFile("x", file, 10**15) == 3


def test_a_file_of_text_is_stored_as_its_utf_8(ws: NetWorkSpace) -> None:
    text = "aé€😀" * 3
    assert ws.storeFile("x", io.StringIO(text)) == len(text.encode())
    assert ws.fetch("x") == text.encode()
    for most in range(1, 12):
        file = io.StringIO(text)
        counts = list(iter(lambda: ws.storeFile("x", file, most), 0))  # noqa: B023
        values = ws.fetchTryMany("x", 100)
        assert [len(value) for value in values] == counts
        assert b"".join(values) == text.encode()
        assert "".join(value.decode() for value in values) == text, "no character is cut"
        assert max(counts) <= max(most, 4)


def test_a_file_that_gives_pieces_is_read_to_its_end(ws: NetWorkSpace) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb", buffering=0) as pipe, os.fdopen(write, "wb", buffering=0) as other:
        other.write(b"abc")
        storing = in_thread(ws.storeFile, "x", pipe, 6)
        other.write(b"def")
        assert storing.result(10) == 6
    assert ws.fetch("x") == b"abcdef"


@pytest.mark.parametrize("kind", TO_FILE)
def test_bytes_and_strings_go_to_binary_files_and_to_files_of_text(ws: NetWorkSpace, kind: str) -> None:
    for value in (b"some bytes", "text of 8 €", b""):
        raw = value if isinstance(value, bytes) else value.encode()
        for file in (io.BytesIO(), io.StringIO()):
            ws.store("x", value)
            assert getattr(ws, kind)("x", file) == len(raw)
            assert file.getvalue() == (raw if isinstance(file, io.BytesIO) else raw.decode())
            assert ws.fetchTry("x", "gone") == ("gone" if "fetch" in kind else value)


@pytest.mark.parametrize("kind", ["fetchTryFile", "findTryFile"])
def test_trying_writes_nothing_where_there_is_no_value(ws: NetWorkSpace, kind: str) -> None:
    file = io.BytesIO()
    assert getattr(ws, kind)("x", file) == 0
    assert file.getvalue() == b""


@pytest.mark.parametrize("kind", ["fetchFile", "findFile"])
def test_a_file_waits_for_its_value(ws: NetWorkSpace, kind: str) -> None:
    file = io.BytesIO()
    with pytest.raises(NwsTimeoutException):
        getattr(ws, kind)("x", file, timeout=0.01)
    waiting = in_thread(getattr(ws, kind), "x", file)
    until_waiting(ws, "x", kind == "fetchFile", kind == "findFile")
    ws.store("x", b"abc")
    assert waiting.result(10) == 3
    assert file.getvalue() == b"abc"


@pytest.mark.parametrize("kind", TO_FILE)
@pytest.mark.parametrize(
    ("value", "named"), [({1: 2}, "a pickled Python object"), (7, "a value of the encoding 'native'")]
)
def test_other_values_are_an_error_and_are_not_lost(ws: NetWorkSpace, kind: str, value: Any, named: str) -> None:
    ws.store("x", value)
    with pytest.raises(NwsOperationException, match=f"expected a value that is bytes or a string, got {named}"):
        getattr(ws, kind)("x", io.BytesIO())
    assert ws.fetchTry("x") == value


def test_bytes_that_are_no_text_do_not_go_to_a_file_of_text(ws: NetWorkSpace) -> None:
    ws.store("x", b"\xff")
    with pytest.raises(NwsOperationException, match="open the file as binary"):
        ws.fetchFile("x", io.StringIO())
    assert ws.fetchFile("x", io.BytesIO()) == 1


def test_json_goes_to_a_file_as_its_text(ws: NetWorkSpace) -> None:
    ws.store("x", [1, "ä"], encoding="json")
    file = io.StringIO()
    assert ws.fetchFile("x", file) == len('[1,"ä"]'.encode())
    assert file.getvalue() == '[1,"ä"]'


class Full(io.RawIOBase):
    """Takes a few bytes, and then no more."""

    def __init__(self) -> None:
        self.room = 4

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        taken = min(self.room, len(data))
        if data and not taken:
            raise OSError("no space left")
        self.room -= taken
        return taken


class Wrapped:
    """No file by its class, but one that takes a part only."""

    def __init__(self, takes: int | None) -> None:
        self.takes = takes
        self.taken = b""

    def write(self, data: bytes) -> int | None:
        self.taken += data[: self.takes]
        return None if self.takes is None else len(data[: self.takes])


def test_a_file_that_takes_a_part_only_is_given_the_rest(ws: NetWorkSpace) -> None:
    for takes in (3, None):
        ws.store("x", b"0123456789")
        file = Wrapped(takes)
        assert ws.fetchFile("x", file) == 10
        assert file.taken == b"0123456789"
    ws.store("x", b"kept")
    with pytest.raises(BlockingIOError, match=r"took 0 of 4 bytes"):
        ws.fetchFile("x", Wrapped(0))
    assert ws.fetch("x") == b"kept"


def test_a_value_that_did_not_fit_the_disk_is_kept(ws: NetWorkSpace) -> None:
    ws.storeMany("x", [b"0123456789", b"next"])
    with pytest.raises(OSError, match="no space left"):
        ws.fetchFile("x", Full())
    assert [ws.fetch("x"), ws.fetch("x")] == [b"0123456789", b"next"]
    ws.store("x", b"fits")
    assert ws.fetchFile("x", Full()) == 4


def test_a_file_that_cannot_be_written_takes_no_value(ws: NetWorkSpace, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    ws.store("x", b"value")
    cases: list[Callable[[], Any]] = [lambda: open(path, "rb"), lambda: open(path)]
    for opened in cases:
        with opened() as file, pytest.raises(io.UnsupportedOperation):
            ws.fetchFile("x", file)
    with pytest.raises(AttributeError):
        ws.fetchFile("x", "a name")
    assert ws.listVars(format="dict")["x"][1] == 1


def test_wrong_counts_are_told(ws: NetWorkSpace) -> None:
    with pytest.raises(ValueError, match="expected the most bytes to read from the file, or 0 for all, got -1"):
        ws.storeFile("x", io.BytesIO(b"abc"), -1)
