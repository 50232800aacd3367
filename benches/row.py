"""One line of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """An aim, and what was measured of it."""

    name: str
    ratio: float
    goal: float
    measured: str

    @property
    def holds(self) -> bool:
        """Whether the aim is reached."""
        return self.ratio >= self.goal

    def as_json(self) -> dict[str, object]:
        """What goes into the file of results."""
        return {
            "name": self.name,
            "ratio": round(self.ratio, 3),
            "goal": self.goal,
            "holds": self.holds,
            "measured": self.measured,
        }
