"""Aids for tests of workers and of jobs."""

import io
import pickle
import random
import sys
from collections.abc import Iterable
from typing import Any

from nws._spread.answers import TooBusy
from nws._spread.serving import serve

__all__ = ["moody", "one_shot_test", "test_", "test_worker", "unpickled_pseudofile"]


class unpickled_pseudofile(io.BytesIO):
    """For tests: a binary file that a worker may write its pickles to; `objects` has what they were.

    >>> import pickle
    >>> file = unpickled_pseudofile()
    >>> pickle.dump((1, None, None), file)
    >>> file.objects()
    [(1, None, None)]
    """

    __module__ = "nws.spread_jobs"

    def objects(self) -> list[Any]:
        """What was written, unpickled."""
        source, found = io.BytesIO(self.getvalue()), []
        while source.tell() < len(self.getvalue()):
            found.append(pickle.load(source))
        return found


def moody(x: Any) -> Any:
    """The square of `x`, at times only at the second attempt, or by another worker."""
    mood = random.random()
    if mood < 0.1:
        sys.exit(3)
    if mood < 0.3:
        raise TooBusy(0.01)
    return x * x


def test_worker(x: Any) -> None:
    """For tests: be a worker that squares numbers, and at times is too busy, or ends. `x` seeds its moods."""
    random.seed(x)
    serve(moody)


test_worker.__test__ = False  # type: ignore[attr-defined]


def test_(script: str | None = None) -> list[int]:  # noqa: PT028 (no test, but an aid for some)
    """For tests: have three moody workers square 100 numbers, and check the results; returns them.

    `script` is a program that calls `test_worker(sys.argv[1])`; None: this module's own.
    """
    from nws.spread_jobs import append, main

    command = [sys.executable, script] if script is not None else [sys.executable, "-m", "nws.spread_jobs"]
    results, _ = main(range(100), append([[*command, str(seed)] for seed in range(3)]), past_performance=None)
    if results != [x * x for x in range(100)]:
        raise AssertionError(f"expected the squares of 0 to 99, got {results}")
    return results


test_.__test__ = False  # type: ignore[attr-defined]


def one_shot_test(input: Iterable[Any]) -> list[str]:
    r"""For tests: have a command read `input` and print each item, without any task; returns the lines.

    >>> one_shot_test([1, "b"])
    ['1\n', "'b'\n"]
    """
    from nws.spread_jobs import main

    program = (
        "import pickle, sys\ntry:\n    while True: print(repr(pickle.load(sys.stdin.buffer)))\nexcept EOFError: pass"
    )
    items = list(input)
    _, tails = main([], [[sys.executable, "-c", program]], stdin=items)
    if tails[0] != [f"{item!r}\n" for item in items]:
        raise AssertionError(f"expected each item of {items!r} on a line, got {tails[0]}")
    return tails[0]
