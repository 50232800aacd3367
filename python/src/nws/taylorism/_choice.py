"""What a scheduler has chosen: nothing may be lost by it, or be done twice."""

from collections.abc import Mapping, Sequence
from reprlib import repr as short_repr
from typing import Any

from nws.taylorism._failures import shown

__all__ = ["checked_choice"]

# How many instructions are shown.
_MOST_SHOWN = 3


def checked_choice(
    scheduler: object, answer: Any, before: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the two lists of an answer of `launchable` to what was pending before.

    A scheduler may change instructions or put others in their places, but there are as many as before.

    Raises `TypeError` where the answer is no pair of lists of dicts, `ValueError` where the lists do not have each of
    the instructions once.
    """
    where = f"{type(scheduler).__qualname__}.launchable: "
    wanted = "expected two lists, the instructions to hand out and those that stay pending"
    lists = answer if isinstance(answer, tuple | list) else ()
    if len(lists) != 2 or any(isinstance(one, str | bytes | Mapping) for one in lists):
        raise TypeError(f"{where}{wanted}, got {_seen(answer)}")
    try:
        # A list stays itself: a scheduler may know it again.
        launchable, pending = (one if isinstance(one, list) else list(one) for one in lists)
    except TypeError:
        raise TypeError(f"{where}{wanted}, got {_seen(answer)}") from None
    if not launchable and len(pending) == len(before):
        # Asked often, and mostly this is the answer.
        strange = next((one for one in pending[:1] if not isinstance(one, dict)), None)
    else:
        strange = next((one for one in (*launchable, *pending) if not isinstance(one, dict)), None)
        _expect_each_once(where, launchable, pending, before)
    if strange is not None:
        raise TypeError(f"{where}{wanted}, each a dict, got {_seen(strange)} among them")
    return launchable, pending


def _expect_each_once(
    where: str, launchable: list[dict[str, Any]], pending: list[dict[str, Any]], before: Sequence[dict[str, Any]]
) -> None:
    given = [id(one) for one in (*launchable, *pending)]
    once = set(given)
    wanted = f"{where}expected each instructions in one of its two lists, "
    if len(once) < len(given):
        raise ValueError(
            f"{wanted}got some in both, or twice in one: leave what is handed out out of those that stay pending"
        )
    if len(given) < len(before):
        missing = [one for one in before if id(one) not in once]
        told = "\n\n".join(shown(one) for one in missing[:_MOST_SHOWN])
        more = "" if len(missing) <= _MOST_SHOWN else "\n\n..."
        raise ValueError(
            f"{wanted}got {len(launchable)} to hand out and {len(pending)} to stay of {len(before)} that were pending: "
            f"return those too that are to wait; in neither list are\n{told}{more}"
        )
    if len(given) > len(before):
        raise ValueError(
            f"{wanted}got {len(launchable)} to hand out and {len(pending)} to stay of {len(before)} that were pending: "
            "new instructions are given by set_instructions"
        )


def _seen(value: object) -> str:
    try:
        return f"{short_repr(value)}, a {type(value).__name__}"
    except Exception:
        return f"a {type(value).__name__}"
