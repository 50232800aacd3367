"""The programs in `examples` do the same in Python as in Rust."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
# Builds take their time, on machines where none was before.
BUILD_S = 1200


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder with the Rust programs."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    build = ["cargo", "build", "--quiet", "--locked", "--package", "nws-examples", "--target-dir", str(target)]
    subprocess.run(build, cwd=ROOT, check=True, timeout=BUILD_S)
    return target / "debug"


def printed(command: list[str | Path], folder: Path) -> str:
    """What a program prints in this folder."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"NWS_WORKERS": "2"}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pixels(file: Path) -> bytes:
    """The pixels of a PNG whose lines have no filter."""
    rest = file.read_bytes()[8:]
    data = b""
    while rest:
        length = int.from_bytes(rest[:4])
        if rest[4:8] == b"IDAT":
            data += rest[8 : 8 + length]
        rest = rest[12 + length :]
    return zlib.decompress(data)


def both(programs: Path, name: str, arguments: list[str], folder: Path) -> str:
    """What both programs print, which is the same."""
    rust = printed([programs / name, *arguments], folder)
    assert printed([sys.executable, EXAMPLES / f"{name}.py", *arguments], folder) == rust
    return rust


@pytest.mark.timeout(BUILD_S + 300)
def test_both_pictures_are_the_same(programs: Path, tmp_path: Path) -> None:
    size = ["90", "60"]
    rust = printed([programs / "mandelbrot", *size, "rust.png"], tmp_path)
    python = printed([sys.executable, EXAMPLES / "mandelbrot.py", *size, "python.png"], tmp_path)
    assert rust == python
    assert rust.startswith("90 x 60 points")
    assert pixels(tmp_path / "rust.png") == pixels(tmp_path / "python.png")
    assert len(pixels(tmp_path / "rust.png")) == 60 * (1 + 90 * 3)


def test_both_count_the_same_words(programs: Path, tmp_path: Path) -> None:
    for number, text in enumerate(["Über den Wolken\n" * 3, "a b c a", "", "naïve: it's İstanbul"]):
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "bytes.md").write_bytes(bytes(range(256)))
    (tmp_path / "gone.txt").symlink_to("nowhere")
    told = both(programs, "words", [str(tmp_path), "50"], tmp_path)
    assert told.startswith("20 words")
    assert told.endswith(f"cannot be read: {tmp_path / 'gone.txt'}\n")


def test_both_find_the_same_parameters(programs: Path, tmp_path: Path) -> None:
    assert both(programs, "search", ["24"], tmp_path) == "growth 0.2917, hunt 0.5417\n"


def test_the_page_names_each_program() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for program in (*EXAMPLES.glob("*.rs"), *EXAMPLES.glob("*.py")):
        assert program.name in page, program.name
