"""A picture of the Mandelbrot set, one task a row: `mandelbrot.py [WIDTH HEIGHT [FILE]]`."""

import math
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

from nws.sleigh import Sleigh


@dataclass
class View:
    """The part of the plane that the picture shows."""

    width: int
    height: int
    # The point in the middle.
    middle: tuple[float, float]
    # The distance between two points of the picture.
    step: float
    # After so many steps a point counts as one that never leaves.
    most: int


def row(y: int, view: View) -> list[int]:
    """How many steps each point of a row takes until it leaves."""
    imaginary = view.middle[1] + (y - view.height / 2) * view.step
    reals = (view.middle[0] + (x - view.width / 2) * view.step for x in range(view.width))
    return [steps(real, imaginary, view.most) for real in reals]


def steps(real: float, imaginary: float, most: int) -> int:
    """How many steps one point takes."""
    x = y = 0.0
    for count in range(most):
        xx, yy = x * x, y * y
        if xx + yy > 4.0:
            return count
        x, y = xx - yy + real, 2.0 * x * y + imaginary
    return most


# Colours of points that leave, soon ones first; between two of them it is mixed.
COLOURS = [(4, 8, 64), (24, 88, 177), (134, 181, 229), (248, 240, 200), (255, 170, 0), (106, 52, 3)]
# How far two colours are apart.
MIXTURES = 64


def colour(count: int, most: int) -> bytes:
    """The colour of a point."""
    if count == most:
        return bytes(3)
    this, part = divmod(math.isqrt(count * 4096) % (len(COLOURS) * MIXTURES), MIXTURES)
    mixed = zip(COLOURS[this], COLOURS[(this + 1) % len(COLOURS)], strict=True)
    return bytes((one * (MIXTURES - part) + other * part) // MIXTURES for one, other in mixed)


def save(file: str, view: View, lines: list[bytes]) -> None:
    """Write a PNG: a signature, and chunks with their checksums."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", view.width, view.height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + line for line in lines))
    Path(file).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def main(width: str = "600", height: str = "400", file: str = "mandelbrot.png") -> None:
    """Compute, save and tell."""
    view = View(int(width), int(height), (-0.65, 0.0), 3.2 / int(width), 500)

    with Sleigh(workerCount="auto") as sleigh:
        rows = sleigh.eachElem(row, range(view.height), view)

    palette = [colour(count, view.most) for count in range(view.most + 1)]
    save(file, view, [b"".join(palette[count] for count in counts) for counts in rows])
    never = sum(counts.count(view.most) for counts in rows)
    print(f"{width} x {height} points, {never} of them never leave, {sum(map(sum, rows))} steps")


if __name__ == "__main__":
    main(*sys.argv[1:])
