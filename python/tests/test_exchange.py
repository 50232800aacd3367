"""What Rust stores is what Python reads, and the other way round: with the program `exchange` of the crate `nws`."""

import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nws.client import NetWorkSpace, NwsServer
from server_process import ServerProcess

ROOT = Path(__file__).resolve().parents[2]
BUILD_S = 1200

SAMPLE = {"name": "s", "at": 0.1 + 0.2, "counts": [2**63 - 1, -1], "note": "\U0001f372"}
FROM_RUST = [
    None,
    True,
    -(2**63),
    2**64 - 1,
    0.1,
    math.inf,
    "täxt",
    b"\x00\xff",
    b"",
    [1.5, 2.5],
    {"a": 1, "b": None},
    SAMPLE,
]
TO_RUST = [
    ("none", None, None),
    ("bool", False, None),
    ("int", -(2**63), None),
    ("large int", 2**127 + 1, None),
    ("float", 5e-324, None),
    ("str", "tä\0xt\n", None),
    ("bytes", bytes(range(256)), None),
    ("list", [0.1, None, 1e300], "json"),
    ("dict", {"ä": 1, "": -(2**63)}, "json"),
    ("sample", SAMPLE | {"note": None}, "json"),
]


@pytest.fixture(scope="module")
def program() -> Path:
    """The program in Rust."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    build = ["cargo", "build", "--quiet", "--locked", "--package", "nws", "--example", "exchange"]
    subprocess.run([*build, "--target-dir", str(target)], cwd=ROOT, check=True, timeout=BUILD_S)
    return target / "debug/examples/exchange"


def same(got: object, expected: object) -> None:
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.timeout(BUILD_S + 100)
def test_rust_and_python_read_each_others_values(
    program: Path, connect: Callable[[], NwsServer], nws_server: ServerProcess
) -> None:
    space: NetWorkSpace = connect().openWs("exchange")
    for name, value, encoding in TO_RUST:
        space.store(name, value, encoding=encoding)
    space.store("pickle", SAMPLE)
    done = subprocess.run([program, nws_server.socket], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for expected in FROM_RUST:
        same(space.fetch("from rust", timeout=30), expected)
    for name, value, _ in TO_RUST:
        same(space.fetch(f"{name} back", timeout=30), value)
    same(space.fetch("pickle back", timeout=30), SAMPLE)
    complaint = space.fetch("complaint", timeout=30)
    assert complaint.startswith("expected Sample as a value of the variable 'pickle', got a Python pickle of ")
    assert complaint.endswith('store it there with encoding="json", or read it as a `Value`')


@pytest.mark.timeout(BUILD_S + 100)
def test_a_main_that_fails_says_why_in_words(program: Path, tmp_path: Path) -> None:
    done = subprocess.run([program, tmp_path / "no.sock"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: no NetWorkSpaces server answers at "), done.stderr
    done = subprocess.run([program, "no server"], capture_output=True, text=True, timeout=60)
    assert done.stderr.startswith("Error: expected a server as nws://HOST:PORT"), done.stderr
