"""Which worker classes there are, and which of them fits instructions."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from nws.taylorism._failures import shown

__all__ = ["Fit", "Registry", "Style"]


class Fit(NamedTuple):
    """How a class fits: its rank (priority, how many of the instructions it takes), and how a worker is made."""

    rank: tuple[int, int]
    make: Callable[[], Any]


class Style(Protocol):
    """How one class declares its instructions."""

    def fit(self, instructions: Mapping[str, Any]) -> Fit | None:
        """Return how a worker with these instructions is made; None where they do not fit."""

    def lacks(self, instructions: Mapping[str, Any]) -> str:
        """Say why `fit` returned None."""


class Registry:
    """The worker classes of this process that can be hired."""

    def __init__(self) -> None:
        """Begin with none."""
        self._styles: dict[type, Style] = {}
        self.left_out: dict[str, str] = {}

    def __iter__(self) -> Iterator[type]:
        return iter(tuple(self._styles))

    def add(self, cls: type, style: Style) -> type | None:
        """Enter a class; return the one whose place it takes, as it is the same one defined anew.

        Classes that a function makes may have the same name and be different ones; they stay side by side.
        """
        old = None
        if "<locals>" not in cls.__qualname__:
            old = next((one for one in self._styles if _name(one) == _name(cls) and one is not cls), None)
            self._styles.pop(old, None)  # type: ignore[arg-type]
        self._styles[cls] = style
        return old

    def discard(self, cls: type) -> None:
        """Forget a class."""
        self._styles.pop(cls, None)

    def hire(self, instructions: Mapping[str, Any]) -> Any:
        """Return a new worker of the class that fits these instructions best.

        That is the one of the highest priority (which a footprint may give), and among these the one that takes the
        most of the instructions; a subclass goes before its base. Where the instruction `worker` is a class, it is that
        one.

        Raises `AttributeError` where none fits, or several equally well.
        """
        wanted = instructions.get("worker")
        styles = {cls: style for cls, style in self._styles.items() if not isinstance(wanted, type) or cls is wanted}
        fitting = [(cls, fit) for cls, style in styles.items() if (fit := style.fit(instructions))]
        if not fitting:
            raise AttributeError(self._none_fits(instructions))
        highest = max(fit.rank for _, fit in fitting)
        best = {cls: fit for cls, fit in fitting if fit.rank == highest}
        for cls, fit in reversed(best.items()):
            if all(issubclass(cls, other) or _name(cls) == _name(other) for other in best):
                return fit.make()
        told = " and ".join(sorted(cls.__qualname__ for cls in best))
        raise AttributeError(
            f"several Workers fit these instructions equally well: {told}; "
            f"say which by worker=, or give an instruction that only one of them takes:\n{shown(dict(instructions))}"
        )

    def _none_fits(self, instructions: Mapping[str, Any]) -> str:
        text = f"no class of workers fits these instructions:\n{shown(dict(instructions))}"
        for cls, style in self._styles.items():
            text += f"\n{cls.__qualname__} does not fit: {style.lacks(instructions)}"
        for name, why in self.left_out.items():
            text += f"\n{name} was left out: {why}"
        if not self._styles and not self.left_out:
            text += "\nthere is no class of workers: define one, as a subclass of nws.taylorism.Worker"
        return text


def _name(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__
