"""docs/taylorism.md and the docstrings of `nws.taylorism`: their programs run, their tables are those of the code."""

import doctest
import re
from pathlib import Path

import pytest

from nws import taylorism
from nws.taylorism import Boss, interrupt, schedulers

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "taylorism.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```\n", PAGE, re.DOTALL)


def test_the_page_has_programs_with_what_they_print():
    assert len(PROGRAMS) == PAGE.count("```python") >= 3


@pytest.mark.parametrize(("program", "expected"), PROGRAMS)
def test_a_program_of_the_page_runs_as_it_stands(program, expected, run_script):
    assert run_script(program) == expected


EXAMPLES = [
    test
    for module in (taylorism, interrupt, schedulers)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__)
    if test.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_of_a_docstring_runs_as_it_stands(example):
    report: list[str] = []
    assert doctest.DocTestRunner().run(example, out=report.append).failed == 0, "".join(report)


def test_the_page_tells_of_each_signal_and_each_public_name():
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)) == set(Boss.control_signals)
    for name in taylorism.__all__:
        assert name in PAGE, name
    for name in schedulers.__all__:
        assert name in PAGE, name
