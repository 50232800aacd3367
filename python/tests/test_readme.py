"""The Python programs of the README are run as they stand, and print what it says that they print."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
# A program, and the text block that follows it at once, if one does.
PROGRAMS = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", README, re.DOTALL)


def matches(expected: str, printed: str) -> bool:
    """Whether it is the expected text, in which three dots stand for anything, more lines too."""
    return re.fullmatch(".*?".join(map(re.escape, expected.split("..."))), printed, re.DOTALL) is not None


def test_the_readme_has_programs_with_what_they_print():
    assert len(PROGRAMS) == README.count("```python") >= 3
    assert sum(bool(expected) for _, expected in PROGRAMS) >= 2


@pytest.mark.parametrize(("program", "expected"), PROGRAMS)
def test_a_program_of_the_readme_runs_as_it_stands(program, expected, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(program, encoding="utf-8")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert matches(expected, done.stdout), done.stdout


def test_dots_stand_for_anything_and_nothing_else_does():
    assert matches("a\n...c\n", "a\nb\nc\n")
    assert not matches("a\n...c\n", "a\nb\n")
    assert not matches("a.c", "abc")
