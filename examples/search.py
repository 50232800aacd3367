"""The parameters of hares and lynxes, from their numbers over the years: `search.py [FINENESS]`.

Each task tries all second parameters with one first. When one of them has found a pair that fits, the master stores
that in a workspace. The others look there while they work, and stop.
"""

import sys
from collections.abc import Iterator

from nws.sleigh import Sleigh, SleighTaskException

# Steps of the simulation.
STEPS = 500
# A pair of parameters fits where the squares of its deviations add up to less.
TOLERANCE = 1e-9


def hares(growth: float, hunt: float) -> Iterator[float]:
    """How the numbers of hares go, where they grow by `growth` and lynxes catch them by `hunt`."""
    hares, lynxes = 1.0, 0.5
    for _ in range(STEPS):
        caught = hunt * hares * lynxes
        hares += 0.02 * (growth * hares - caught)
        lynxes += 0.02 * (caught - 0.5 * lynxes)
        yield hares


def parameter(number: int, fineness: int) -> float:
    """The value of a parameter that has this number among `fineness` many."""
    return (number + 1) / fineness


def try_growth(growth: int, fineness: int, observed: list[float]) -> tuple[tuple[int, int] | None, int]:
    """Try all values of `hunt` with one of `growth`, until it is found by whomever.

    Return what was found, if anything, and how many pairs were tried.
    """
    for hunt in range(fineness):
        if SleighUserNws.findTry("found"):  # type: ignore[name-defined]  # noqa: F821
            return None, hunt
        simulated = hares(parameter(growth, fineness), parameter(hunt, fineness))
        if sum((one - other) * (one - other) for one, other in zip(simulated, observed, strict=True)) < TOLERANCE:
            return (growth, hunt), hunt + 1
    return None, fineness


def main(fineness_text: str = "100") -> None:
    """Search and tell."""
    fineness = int(fineness_text)
    # What has been observed comes from these, which nobody knows.
    observed = list(hares(parameter(fineness // 4, fineness), parameter(fineness // 2, fineness)))
    found: list[tuple[int, int]] = []
    tried = 0

    with Sleigh(workerCount="auto") as sleigh:

        def take(results: list[tuple[tuple[int, int] | None, int]], _: list[int]) -> None:
            nonlocal tried
            for result in results:
                if isinstance(result, SleighTaskException):
                    raise result
                pair, pairs = result
                tried += pairs
                if pair:
                    found.append(pair)
                    sleigh.userNws.store("found", True)

        sleigh.eachElem(try_growth, range(fineness), [fineness, observed], loadFactor=2, accumulator=take)

    if not found:
        sys.exit("no pair of parameters fits")
    growth, hunt = (parameter(number, fineness) for number in found[0])
    print(f"growth {growth:.4f}, hunt {hunt:.4f}")
    print(f"{tried} of {fineness * fineness} pairs were tried", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
