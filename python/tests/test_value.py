"""How objects become bytes: natively where they are plain, as they were when they come back."""

import json
import math
import pickle
import struct
from enum import IntEnum
from typing import Any, NamedTuple

import pytest

from nws import _native

NATIVE, TEXT, BYTES, JSON, PICKLE = 0x01000008, 0x01000001, 0x01000003, 0x01000005, 0x01000000


class Number(IntEnum):
    ONE = 1


class Pair(NamedTuple):
    a: int
    b: int


class Text(str):
    __slots__ = ()


def refuse(_: object) -> Any:
    raise AssertionError("a plain value must not be pickled")


def nested(depth: int) -> tuple[Any, ...]:
    value: tuple[Any, ...] = (1,)
    for _ in range(depth):
        value = (value,)
    return value


PLAIN = [
    None, True, False, 0, 1, -1, 127, 128, -128, -129, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**64, 10**40,
    -(10**40),
    0.0, -0.0, 1.5, math.inf, -math.inf, 5e-324, "", "text", "ä€😀", "\0", b"", b"\x00\xff",
]  # fmt: skip
TUPLES = [(), (1,), (1, "a", None), ((1, 2), (3.0, (b"x",))), (2**70, "")]
OTHERS = ["\ud800", [1, 2], {"k": (1, 2)}, {1}, 1j, Number.ONE, Pair(1, 2), Text("x"), bytearray(b"x"), range(3)]


def same(a: object, b: object) -> bool:
    return type(a) is type(b) and repr(a) == repr(b)


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values_need_no_pickle(value: object) -> None:
    assert same(_native.decode_compact(_native.encode_compact(value, refuse), refuse), value)
    assert same(_native.decode_value(*_native.encode_value(value, refuse), refuse), value)


@pytest.mark.parametrize("value", TUPLES, ids=repr)
def test_tuples_of_plain_values_need_no_pickle_in_the_compact_form(value: object) -> None:
    assert same(_native.decode_compact(_native.encode_compact(value, refuse), refuse), value)


@pytest.mark.parametrize("value", [*OTHERS, *TUPLES, (1, [2]), nested(40)], ids=repr)
def test_everything_else_is_pickled(value: object) -> None:
    assert same(_native.decode_compact(_native.encode_compact(value, pickle.dumps), pickle.loads), value)
    descriptor, data = _native.encode_value(value, pickle.dumps)
    assert descriptor == PICKLE
    assert same(pickle.loads(data), value)
    assert same(_native.decode_value(descriptor, data, pickle.loads), value)


def test_nan_stays_nan() -> None:
    assert math.isnan(_native.decode_compact(_native.encode_compact(math.nan, refuse), refuse))


def test_objects_that_items_of_a_tuple_share_stay_shared() -> None:
    shared = [1]
    a, b = _native.decode_compact(_native.encode_compact((shared, shared), pickle.dumps), pickle.loads)
    assert a is b
    (c,), d = _native.decode_compact(_native.encode_compact(((shared,), shared), pickle.dumps), pickle.loads)
    assert c is d


@pytest.mark.parametrize(
    ("value", "descriptor", "data"),
    [
        (None, NATIVE, b"\x00"),
        (False, NATIVE, b"\x01"),
        (True, NATIVE, b"\x02"),
        (-2, NATIVE, b"\x03" + struct.pack("<q", -2)),
        (1.5, NATIVE, b"\x04" + struct.pack("<d", 1.5)),
        (2**64, NATIVE, b"\x05" + bytes(8) + b"\x01"),
        ("ä", TEXT, "ä".encode()),
        (b"\xff", BYTES, b"\xff"),
    ],
)
def test_the_bytes_are_those_of_the_protocol(value: object, descriptor: int, data: bytes) -> None:
    assert _native.encode_value(value, refuse) == (descriptor, data)


def test_values_of_other_clients() -> None:
    decode = _native.decode_value
    assert decode(0x03000001, b"text of R", refuse) == "text of R"
    assert decode(0x03000001, b"\xff\xfe", refuse) == b"\xff\xfe"
    assert decode(0x03000003, b"raw", refuse) == b"raw"
    assert decode(JSON, json.dumps({"a": [1, None]}).encode(), refuse) == {"a": [1, None]}
    assert decode(0x03000000, b"serialized by R", refuse) == b"serialized by R"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x0a", b"\xff\x00", b"\x00\x00", b"\x03\x00", b"\x04" + bytes(9), b"\x06\xff", b"\x09",
        b"\x09\xff\xff\xff\xff",
        b"\x09\x01\x00\x00\x00\x05\x00\x00\x00\x00", b"\x09\x00\x00\x00\x00\x00",
    ],
    ids=bytes.hex,
)  # fmt: skip
def test_malformed_bytes_are_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="malformed value"):
        _native.decode_compact(data, pickle.loads)


def test_a_tuple_that_nests_too_deep_is_an_error() -> None:
    data = b"\x00"
    for _ in range(2000):
        data = b"\x09\x01\x00\x00\x00" + len(data).to_bytes(4, "little") + data
    with pytest.raises(ValueError, match="malformed value"):
        _native.decode_compact(data, pickle.loads)


def test_large_bytes_and_what_dumps_raises() -> None:
    large = bytes(range(256)) * 4096
    assert _native.decode_value(*_native.encode_value(large, refuse), refuse) == large
    with pytest.raises(AssertionError, match="must not be pickled"):
        _native.encode_value([], refuse)
    with pytest.raises(TypeError):
        _native.encode_value([], lambda _: "no bytes")  # type: ignore[arg-type, return-value]
