"""docs/sleigh.md: its programs run as they stand, and its tables say what the code says."""

import doctest
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from nws import sleigh
from nws._sleigh.options import Options
from nws.sleigh import Sleigh, defaultSleighOptions

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "sleigh.md").read_text(encoding="utf-8")
# The page of what the older Sleigh did not have may tell of an option in its stead.
POOL = (DOCS / "pool.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```\n", PAGE, re.DOTALL)


def table(title: str) -> list[list[str]]:
    """The rows of the table under a heading, as the texts of their cells."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.sub(r"\| *\|", "| |", " | ".join(row)).split("|")] for row in rows]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_the_page_has_programs_with_what_they_print():
    assert len(PROGRAMS) == PAGE.count("```python") >= 9


@pytest.mark.parametrize(("program", "expected"), PROGRAMS)
def test_a_program_of_the_page_runs_as_it_stands(program, expected, run_script):
    assert run_script(program) == expected


EXAMPLES = [test for test in doctest.DocTestFinder(exclude_empty=True).find(sleigh, "nws.sleigh") if test.examples]


def test_every_call_has_an_example_in_its_docstring():
    told = {example.name.rpartition(".")[2] for example in EXAMPLES}
    assert {"sleigh", "eachElem", "eachWorker", "imap", "starmap", "status"} <= told


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_of_a_docstring_runs_as_it_stands(example):
    example.globs = {"Sleigh": Sleigh}
    report: list[str] = []
    assert doctest.DocTestRunner().run(example, out=report.append).failed == 0, "".join(report)


def test_the_table_of_options_is_that_of_the_code():
    told = {name: row for row in table("Options") for name in names(row[0])}
    options = {option.name for option in fields(Options)}
    assert told.keys() <= options
    assert {name for name in options - told.keys() if f"`{name}" not in POOL} == set(), "give each option its row"
    for name, (_, default, *_) in told.items():
        expected = repr(defaultSleighOptions[name])
        assert default in (f"`{expected}`", ""), f"docs/sleigh.md, option {name}: the default is {expected}"


def test_every_option_is_told_in_the_docstring():
    assert {option.name for option in fields(Options)} <= set(names(Sleigh.__doc__ or ""))


def test_the_table_of_arguments_is_that_of_the_code():
    calls = ["eachElem", "eachWorker", "imap", "starmap"]
    keywords: dict[str, dict[str, str]] = {}
    for call in calls:
        for parameter in inspect.signature(getattr(Sleigh, call)).parameters.values():
            if parameter.kind is parameter.KEYWORD_ONLY:
                keywords.setdefault(parameter.name, {})[call] = f"`{parameter.default!r}`"
    told = {names(row[0])[0]: row for row in table("Arguments of the calls")}
    assert told.keys() <= keywords.keys()
    assert {name for name in keywords.keys() - told.keys() if f"`{name}=" not in POOL} == set(), "give it its row"
    for name, (_, default, of, *_) in told.items():
        expected = [call for call in calls if (call in names(of)) != of.startswith("all")]
        assert keywords[name] == dict.fromkeys(expected, default), f"docs/sleigh.md, argument {name}"


def test_the_table_of_exceptions_is_that_of_the_code():
    told = [names(row[0])[0] for row in table("Exceptions")]
    assert sorted(told) == sorted(name for name in sleigh.__all__ if name.endswith("Exception"))
