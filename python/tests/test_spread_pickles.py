"""The end of a pickle is found where Python finds it, for pickles of all protocols and kinds."""

import array
import collections
import copyreg
import datetime
import decimal
import fractions
import io
import pickle
import pickletools
import random
import uuid

import pytest

from nws._native import pickle_end

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Plain:
    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and other.value == self.value


class Reduced(Plain):
    def __reduce__(self) -> object:
        return Reduced, (self.value,), {"more": 1}


class Extended:
    """Has an extension code."""


def random_object(rng: random.Random, depth: int = 0) -> object:
    """An object of any kind that the protocols have an opcode for."""
    leaves = [
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: rng.choice([0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, -(2**31), 2**40, -(2**2100)]),
        lambda: rng.getrandbits(rng.choice([1, 8, 16, 33, 64, 300])) * rng.choice([1, -1]),
        lambda: rng.choice([0.0, -1.5, 1e300, float("inf")]),
        lambda: "".join(rng.choices("ab.\n\\é\u2028\U0001f600\0'\"", k=rng.choice([0, 1, 5, 255, 256, 300]))),
        lambda: rng.randbytes(rng.choice([0, 1, 46, 255, 256, 70_000])),
        lambda: bytearray(rng.randbytes(rng.choice([0, 3, 70_000]))),
        lambda: "." * rng.choice([1, 10, 70_000]),
        lambda: rng.choice([int, len, Plain, datetime.date, collections.OrderedDict, Extended]),
        lambda: datetime.datetime(2020, 1, 2, 3, 4, 5, 46),
        lambda: decimal.Decimal("1.5"),
        lambda: fractions.Fraction(1, 3),
        lambda: uuid.UUID(int=rng.getrandbits(128)),
        lambda: array.array("d", [1.0, 2.0]),
        lambda: complex(1, -1),
        lambda: range(3, 10, 2),
        lambda: slice,
    ]
    if depth > 3 or rng.random() < 0.4:
        return rng.choice(leaves)()
    items = [random_object(rng, depth + 1) for _ in range(rng.choice([0, 1, 2, 3, 4, 20]))]
    # Things that are there twice are put into the memo and got from it.
    items += items[:2]
    hashable = [item for item in items if isinstance(item, int | str | bytes | float)]
    return rng.choice(
        [
            lambda: items,
            lambda: tuple(items),
            lambda: dict.fromkeys(hashable, items),
            lambda: set(hashable),
            lambda: frozenset(hashable),
            lambda: collections.OrderedDict.fromkeys(hashable, 1),
            lambda: collections.deque(items),
            lambda: Plain(items),
            lambda: Reduced(items),
        ]
    )()


@pytest.fixture(autouse=True)
def _extension():
    copyreg.add_extension(__name__, "Extended", 240)
    yield
    copyreg.remove_extension(__name__, "Extended", 240)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_end_is_found_whatever_is_pickled_and_whatever_follows(protocol):
    seen: set[str] = set()
    for seed in range(400):
        rng = random.Random(seed)
        answer = (random_object(rng), None, ["a line\n"])
        pickled = pickle.dumps(answer, protocol)
        seen |= {opcode.name for opcode, _, _ in pickletools.genops(pickled)} if len(pickled) < 5000 else set()
        following = rng.choice([b"", b".", pickled, rng.randbytes(20)])
        assert pickle_end(pickled + following) == len(pickled), f"seed {seed}, protocol {protocol}"
        for cut in {0, 1, len(pickled) - 1, rng.randrange(len(pickled)), rng.randrange(len(pickled))}:
            assert pickle_end(pickled[:cut]) is None, f"seed {seed}, protocol {protocol}, cut at {cut}"
    expected = {0: {"INT", "UNICODE", "GLOBAL", "PUT", "GET"}, 1: {"BININT1", "BINUNICODE", "BINPUT"}}
    expected |= {2: {"PROTO", "LONG1", "EXT1"}, 3: {"SHORT_BINBYTES"}, 4: {"FRAME", "STACK_GLOBAL", "MEMOIZE"}}
    expected |= {5: {"BYTEARRAY8", "FRAME"}}
    assert expected[protocol] <= seen


def test_the_python_written_pickler_and_one_with_persistent_ids_are_understood():
    class WithIds(pickle.Pickler):
        def persistent_id(self, obj):
            return "an id" if isinstance(obj, Plain) else None

    for protocol in PROTOCOLS:
        for seed in range(50):
            answer = (random_object(random.Random(seed)), Plain(1))
            for pickler in (pickle._Pickler, WithIds):
                file = io.BytesIO()
                pickler(file, protocol).dump(answer)
                assert pickle_end(file.getvalue() + b"junk") == len(file.getvalue()), (protocol, seed)


def test_every_opcode_of_python_is_known():
    for opcode in pickletools.opcodes:
        code = opcode.code.encode("latin-1")
        if opcode.name in ("STOP", "FRAME"):
            continue
        width = {"uint1": 1, "uint2": 2, "int4": 4, "uint4": 4, "uint8": 8, "float8": 8}
        if opcode.arg is None:
            argument = b""
        elif opcode.arg.name in width:
            argument = b"\1" * width[opcode.arg.name]
        elif opcode.arg.n == pickletools.UP_TO_NEWLINE:
            argument = b"x\ny\n" if opcode.arg.name == "stringnl_noescape_pair" else b"x\n"
        else:
            width_of_length = {
                pickletools.TAKEN_FROM_ARGUMENT1: 1,
                pickletools.TAKEN_FROM_ARGUMENT4: 4,
                pickletools.TAKEN_FROM_ARGUMENT4U: 4,
                pickletools.TAKEN_FROM_ARGUMENT8U: 8,
            }[opcode.arg.n]
            argument = (3).to_bytes(width_of_length, "little") + b"..."
        assert pickle_end(code + argument + b"..") == len(code + argument) + 1, opcode.name


def test_random_bytes_are_no_panic():
    rng = random.Random(7)
    for _ in range(3000):
        data = rng.randbytes(rng.randrange(40))
        try:
            end = pickle_end(data)
        except ValueError:
            continue
        assert end is None or data[end - 1] == ord(".")
