import os
import re
import signal
import subprocess
import sys
import textwrap
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from nws.demo.findings import gather, lay_out
from nws.demo.survey import survey

SOURCE = '''
    import os.path, sys
    from . import sibling
    from collections import abc

    # a comment of its own
    class Shape(abc.Sized):
        """A text
        of two lines."""

        def area(self, sides):  # a comment beside code
            total = 0
            for side in sides:
                if side > 0 and side < 9 and self:
                    total += side
                elif side:
                    with open(side):
                        pass
            return [s for s in sides if s] if total else None

    async def wait(task):
        def inner():
            return task
        try:
            await task
        except OSError:
            pass
        return inner
'''


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "shape.py"
    path.write_text(textwrap.dedent(SOURCE).lstrip())
    return str(path)


def function(name, line, lines, branches, nesting):
    return {"name": name, "line": line, "lines": lines, "branches": branches, "nesting": nesting}


def shapes(summary):
    """The shapes by name, taken out of the summary."""
    return {function["name"]: function.pop("shape") for function in summary["functions"]}


def test_a_file_is_surveyed(source):
    summary = survey(source)
    names = summary.pop("names")
    shape = shapes(summary)
    assert [bool(shape[name]) for name in ("area", "wait", "inner")] == [True, True, False]
    assert summary == {
        "path": source,
        "error": "",
        "lines": 27,
        "code_lines": 23,
        "comment_lines": 1,
        "classes": 1,
        "coroutines": 1,
        # area: for, if, two `and`s, elif, comprehension, conditional expression. An elif is no level of its own.
        "functions": [function("area", 10, 9, 7, 3), function("wait", 20, 8, 1, 1), function("inner", 21, 2, 0, 0)],
        "imports": [".", "collections", "os", "sys"],
    }
    assert (names["side"], names["total"], names["Sized"], names["task"]) == (6, 3, 1, 2)


def test_the_same_code_has_the_same_shape_whatever_it_is_called(tmp_path):
    body = "\n    a = 1\n    b = 2\n\n    c = 3\n    return a{}b\n"
    path = tmp_path / "copies.py"
    path.write_text(
        "def one(x):" + body.format(" + ")
        + "def two(x):  # says more\n    'A text.'" + body.format("  +  ")
        + "def other(x):" + body.format(" - ")
        + "def arguments(y):" + body.format(" + ")
    )  # fmt: skip
    summary = survey(str(path))
    found = gather([summary], str(tmp_path))
    shape = shapes(summary)
    assert shape["one"] == shape["two"]
    assert len({shape["one"], shape["other"], shape["arguments"]}) == 3
    assert found.files == 1


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"def f(:\n", "SyntaxError: invalid syntax"),
        (b"# coding: of-no-kind\n", "SyntaxError: unknown encoding"),
        (b"x = '\0'\n", "source code string cannot contain null bytes"),
        (b"x = " + b"(" * 500 + b")" * 500, "too many nested parentheses"),
    ],
)
def test_a_file_that_is_no_python_says_why(tmp_path, content, error):
    path = tmp_path / "broken.py"
    path.write_bytes(content)
    summary = survey(str(path))
    assert error in summary["error"]
    assert summary["functions"] == []


def test_a_file_that_is_not_there_says_so(tmp_path):
    assert "FileNotFoundError" in survey(str(tmp_path / "none.py"))["error"]


def test_a_tree_deeper_than_the_stack_is_walked(tmp_path):
    path = tmp_path / "deep.py"
    path.write_text("x = " + " + ".join(["y"] * 900) + "\n")
    assert survey(str(path))["names"] == {"x": 1, "y": 900}


def test_the_findings_add_up_and_fit_a_terminal(source, tmp_path):
    broken = tmp_path / ("long" * 20 + ".py")
    broken.write_text("def\n")
    found = gather([survey(source), survey(str(broken))], str(tmp_path))
    assert (found.files, found.classes, len(found.functions)) == (2, 1, 3)
    assert found.imports == {"os": 1, "sys": 1, "collections": 1}
    assert found.functions[0].path == "shape.py"
    lines = list(lay_out(found))
    assert max(map(len, lines)) <= 88
    longest = lines[next(n for n, line in enumerate(lines) if line.startswith("Longest functions")) + 1]
    assert longest.split() == ["area", "shape.py:10", "9"]
    assert "Not to be parsed (1)" in lines


def test_copies_are_ranked_by_the_lines_they_could_spare(tmp_path):
    long, short = ("\n" + "    x += 1\n" * lines for lines in (9, 6))
    sources = [f"def a():{long}def b():{short}", f"def c():{short}def d():{short}", f"def e():{long}"]
    summaries = []
    for number, source in enumerate(sources):
        path = tmp_path / f"{number}.py"
        path.write_text(source)
        summaries.append(survey(str(path)))
    lines = list(lay_out(gather(summaries, str(tmp_path))))
    at = next(n for n, line in enumerate(lines) if line.startswith("Written more than once (2 functions)"))
    assert [line.split() for line in lines[at + 1 : at + 3]] == [
        ["b", "0.py:11", "and", "2", "more", "14"],
        ["a", "0.py:1", "and", "1", "more", "10"],
    ]


def test_nothing_found_is_laid_out_too():
    assert list(lay_out(gather([], "/")))


def test_sources_are_the_librarys_own_largest_first(tmp_path):
    from nws.demo.__main__ import sources

    for name, size in (("a.py", 1), ("b.py", 3), ("pkg/c.py", 2), ("site-packages/d.py", 9), ("e.txt", 9)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#" * size)
    assert [os.path.relpath(path, tmp_path) for path in sources(str(tmp_path))] == ["b.py", "pkg/c.py", "a.py"]


@pytest.fixture
def mark():
    """A variable of the environment: all processes that a command starts, and theirs, carry it."""
    return f"NWS_TEST_MARK={uuid.uuid4().hex}"


def processes_of(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def demo(mark: str, *options: str, **popen) -> subprocess.Popen[str]:
    name, _, value = mark.partition("=")
    return subprocess.Popen(
        [sys.executable, "-m", "nws.demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, name: value},
        **popen,
    )


@pytest.mark.timeout(120)
def test_the_demo_ends_with_the_numbers_of_its_run_and_a_picture(tmp_path, mark):
    command = demo(mark, "--limit", "10", "--workers", "2", "--repeat", "2", cwd=tmp_path)
    out, err = command.communicate(timeout=100)
    assert (command.returncode, err) == (0, "")
    assert "Most used names" in out
    header, one, many = out.splitlines()[-3:]
    assert header.split() == ["tasks", "seconds", "tasks/s", "speed-up"]
    assert re.fullmatch(r"one process +20 +\d+\.\d\d +[\d,]+ +1\.00×", one)
    assert re.fullmatch(r"2 workers +20 +\d+\.\d\d +[\d,]+ +\d+\.\d\d×", many)
    assert "Who did what when: demo-out/timeline.svg" in out
    picture = ET.parse(tmp_path / "demo-out" / "timeline.svg").getroot()
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"one process", "worker 0", "worker 1"} <= set(texts)
    assert processes_of(mark) == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("moment", ["one process", "sleigh"])
def test_ctrl_c_ends_the_demo_and_leaves_nothing(tmp_path, mark, moment):
    repeat = {"one process": "100000", "sleigh": "8"}[moment]
    command = demo(mark, "--limit", "2", "--repeat", repeat, "--workers", "2", cwd=tmp_path, start_new_session=True)
    try:
        assert command.stdout is not None
        assert command.stdout.readline().startswith("What is in the standard library")
        while moment == "sleigh" and len(processes_of(mark)) == 1:
            assert command.poll() is None, "the demo was over before it could be interrupted"
        os.killpg(command.pid, signal.SIGINT)
        _, err = command.communicate(timeout=30)
        assert command.returncode == 130
        assert "stopped by Ctrl-C" in err
        assert "Traceback" not in err
        assert not (tmp_path / "demo-out").exists()
        while processes_of(mark):
            pass  # the time limit of this test ends the wait
    finally:
        command.kill()


def test_a_wrong_option_is_refused():
    command = demo("NWS_TEST_MARK=", "--workers", "0")
    _, err = command.communicate(timeout=50)
    assert command.returncode == 2
    assert "expected a number from 1 up, got 0" in err
