"""Changes to lists of argument lists."""

import re
from collections.abc import Iterable
from typing import Any

from nws import _native

__all__ = ["Replace", "append", "delay_sanitize", "replace"]


def append(list_of_lists: Iterable[Iterable[Any]], *a: Any) -> list[list[Any]]:
    """Return the lists, each with the items added at its end.

    >>> append([["ssh", "a"], ["ssh", "b"]], "python3", "worker.py")
    [['ssh', 'a', 'python3', 'worker.py'], ['ssh', 'b', 'python3', 'worker.py']]
    """
    return [[*items, *a] for items in list_of_lists]


def replace(list_of_lists: Iterable[Iterable[Any]], *fr: str) -> list[list[Any]]:
    r"""Return the lists with regular expressions substituted in every string.

    `fr` is a pattern, its replacement, the next pattern, and so on; each pair works on what the pairs before it have
    left. What is no string stays as it is.

    >>> replace([["ssh", "HOST", "run-WHAT"]], "HOST", "alpha", "run-(.*)", r"\1-run")
    [['ssh', 'alpha', 'WHAT-run']]
    """
    if len(fr) % 2:
        raise ValueError(f"expected pairs of a pattern and its replacement, got {len(fr)} arguments")
    pairs = [(re.compile(pattern), replacement) for pattern, replacement in zip(fr[::2], fr[1::2], strict=True)]

    def substituted(item: Any) -> Any:
        if isinstance(item, str):
            for pattern, replacement in pairs:
                item = pattern.sub(replacement, item)
        return item

    return [[substituted(item) for item in items] for items in list_of_lists]


def Replace(
    list_of_lists: Iterable[Iterable[Any]], pat: str, length: int, replacement: Iterable[Any]
) -> list[list[Any]]:
    """Return the lists with the items of `replacement` in place of `length` items, from each that matches `pat` on.

    The pattern is looked for at the beginning of strings. What was put in is not looked at again.

    >>> Replace([["nice", "-n", "19", "work"], ["work"]], "nice", 3, ["ionice"])
    [['ionice', 'work'], ['work']]
    """
    if length < 0:
        raise ValueError(f"length: expected 0 or more items, got {length}")
    pattern, instead = re.compile(pat), list(replacement)

    def replaced(items: list[Any]) -> list[Any]:
        made: list[Any] = []
        at = 0
        while at < len(items):
            if isinstance(items[at], str) and pattern.match(items[at]):
                made += instead
                # Of no items in the place of none there is one that matched, and it stays.
                if length == 0:
                    made.append(items[at])
                at += max(length, 1)
            else:
                made.append(items[at])
                at += 1
        return made

    return [replaced(list(items)) for items in list_of_lists]


def delay_sanitize(x: float) -> float:
    """Return a delay in seconds within 0.01 and 1000; 0.01 for what is no number.

    >>> [delay_sanitize(x) for x in (-1, 0.5, 1e9)]
    [0.01, 0.5, 1000.0]
    """
    return _native.sane_rest_s(x)
