"""Measures the project's aims on this machine: prints a table, and writes benches/results/NAME.json.

A ratio is always one that should be at least its goal. Both sides of a ratio are measured in the same run, in turn, and
the median over the rounds is what counts, so that a machine whose speed drifts does not decide.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import boss
import commands
import demo_speedup
import first_result
import long_value
import machine
import map_rate
import pauses
import server
import sleigh
import spread
from row import Row

MEASURES = {
    "boss": boss.measure,
    "commands": commands.measure,
    "demo": demo_speedup.measure,
    "first-result": first_result.measure,
    "long-value": long_value.measure,
    "map": map_rate.measure,
    "pauses": pauses.measure,
    "server": server.measure,
    "sleigh": sleigh.measure,
    "spread": spread.measure,
}
# Measured only where they are asked for: they need more than the package.
ON_REQUEST = {"server", "sleigh"}
RESULTS = Path(__file__).parent / "results"


def table(rows: list[Row]) -> str:
    """The rows, aligned."""
    cells = [("aim", "measured", "ratio", "goal", "holds")]
    cells += [
        (row.name, row.measured, f"{row.ratio:.2f}", f"{row.goal:.2f}", "yes" if row.holds else "NO") for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )


def main() -> int:
    """Exit code 0 when everything was measured; whether the aims hold is in the table."""
    parser = argparse.ArgumentParser(description="Measures the project's aims on this machine.")
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"only these: {', '.join(MEASURES)}")
    chosen = parser.parse_args()
    unknown = set(chosen.measures) - set(MEASURES)
    if unknown:
        parser.error(f"expected some of {', '.join(MEASURES)}, got {', '.join(sorted(unknown))}")
    RESULTS.mkdir(exist_ok=True)
    rows: list[Row] = []
    facts = machine.facts()
    for name, measure in MEASURES.items():
        if name not in (chosen.measures or set(MEASURES) - ON_REQUEST):
            continue
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        measured = measure()
        rows += measured
        result = {"rows": [row.as_json() for row in measured], "machine": facts}
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(rows))
    print("measured on: " + ", ".join(f"{fact} {value}" for fact, value in facts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
