"""docs/spread_jobs.md: its programs run as they stand, and its tables say what the code says."""

import doctest
import inspect
import re
from pathlib import Path

import pytest

from nws import spread_jobs
from nws._spread import aids, lists

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "spread_jobs.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```\n", PAGE, re.DOTALL)
EXAMPLES = [
    test
    for module in (spread_jobs, aids, lists)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module)
    if test.examples
]


def rows(title: str) -> list[list[str]]:
    """The rows of the table under a heading, as the texts of their cells."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")
    ]


def test_the_page_has_programs_with_what_they_print():
    assert len(PROGRAMS) == PAGE.count("```python") >= 7


@pytest.mark.parametrize(("program", "expected"), PROGRAMS)
def test_a_program_of_the_page_runs_as_it_stands(program, expected, run_script):
    assert run_script(program) == expected


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_of_a_docstring_runs_as_it_stands(example):
    report: list[str] = []
    assert doctest.DocTestRunner().run(example, out=report.append).failed == 0, "".join(report)


def test_there_are_examples():
    assert len(EXAMPLES) >= 7


def test_the_table_of_arguments_is_that_of_the_code():
    told = [(name.strip("`"), default.strip("`")) for name, default, _ in rows("Arguments of `main`")]
    expected = []
    for parameter in inspect.signature(spread_jobs.main).parameters.values():
        default = {
            "past_performance": "the program's own",
            "connection_factory": "Connection_subprocess",
        }.get(parameter.name, "" if parameter.default is parameter.empty else repr(parameter.default))
        expected.append((parameter.name, default))
    assert told == expected


def test_everything_public_is_in_the_page():
    assert [name for name in spread_jobs.__all__ if f"`{name}" not in PAGE and f" {name}" not in PAGE] == []


def test_the_functions_of_lists_have_the_signatures_of_the_page():
    told = [signature.strip("`") for signature, _ in rows("Lists of arguments")]
    assert told == [
        f"{name}({', '.join(str(p).partition(':')[0] for p in inspect.signature(getattr(spread_jobs, name)).parameters.values())})"  # noqa: E501
        for name in ("append", "replace", "Replace", "delay_sanitize")
    ]
