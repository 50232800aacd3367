"""The examples in the docs of the client run as they stand: of the docstrings, and of docs/client.md."""

import doctest
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nws.aio
import nws.client
from nws.client import NetWorkSpace, NwsServer
from server_process import ServerProcess

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", PAGE, re.DOTALL)
DOCUMENTED = [NetWorkSpace, NwsServer, nws.client.NwsValueIterator, nws.client.Lease]


def examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for documented in DOCUMENTED:
        for test in finder.find(documented, documented.__name__, module=False, globs={}):
            if test.examples:
                yield test


EXAMPLES = list(examples())


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 25
    assert len(PROGRAMS) == PAGE.count("```python") >= 8


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_of_a_docstring_runs_as_it_stands(
    example: doctest.DocTest, ws: NetWorkSpace, nws_server: ServerProcess
) -> None:
    example.globs = {
        "ws": ws,
        "server": ws.server,
        "NetWorkSpace": functools.partial(NetWorkSpace, serverHost=nws_server.socket),
    }
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert runner.run(example, out=report.append).failed == 0, "".join(report)


@pytest.mark.parametrize(("program", "expected"), PROGRAMS)
def test_a_program_of_the_page_runs_as_it_stands(
    program: str,
    expected: str,
    nws_server: ServerProcess,
    ws: NetWorkSpace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for module in (nws.client, nws.aio):
        defaults = module.NetWorkSpace.__init__.__defaults__
        assert defaults
        monkeypatch.setattr(
            module.NetWorkSpace.__init__, "__defaults__", (ws.currentWs(), nws_server.socket, *defaults[2:])
        )
        monkeypatch.setattr(module.NwsServer.__init__, "__defaults__", (nws_server.socket, 8765))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input.bin").write_bytes(bytes(range(256)) * 10)
    exec(compile(program, "docs/client.md", "exec"), {"__name__": "__main__", "ws": ws})
    assert capsys.readouterr().out == expected
