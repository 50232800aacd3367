"""A thousand sleighs, made and stopped one after the other: what is left of them.

    python benches/thousand_sleighs.py [SLEIGHS]

Compares, after the tenth sleigh and after the last, descriptors, threads and children of this process, and the files
in the runtime folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from nws.sleigh import Sleigh
from processes import descendants, own

SLEIGHS = 1000
WARM_UP = 10


def files(folder: Path) -> set[str]:
    """What is in the runtime folder."""
    return {str(path) for path in folder.rglob("*")}


def main() -> int:
    """Make and stop them in a runtime folder of their own."""
    sleighs = int(sys.argv[1]) if len(sys.argv) > 1 else SLEIGHS
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NWS_RUNTIME_DIR"] = folder
        return run(sleighs, Path(folder))


def run(sleighs: int, folder: Path) -> int:
    """Make and stop them, and say what is left."""
    began = time.perf_counter()
    first, first_files = own(), files(folder)
    for number in range(1, sleighs + 1):
        with Sleigh(workerCount=2, progress=False) as sleigh:
            assert sleigh.eachElem(abs, range(-3, 0)) == [3, 2, 1]
        if number == WARM_UP:
            first, first_files = own(), files(folder)
        if number % 100 == 0:
            print(f"{number:>5} sleighs, {time.perf_counter() - began:,.0f} s: {own()}", flush=True)
    last = own()
    children = descendants(os.getpid())
    left = files(folder) - first_files
    print(f"after {WARM_UP}: {first}\nafter {sleighs}: {last}\nchildren: {children}\nnew files: {sorted(left)}")
    same = (last.descriptors, last.threads) == (first.descriptors, first.threads)
    return 0 if same and not children and not left else 1


if __name__ == "__main__":
    sys.exit(main())
