"""Tables of documented facts: each names the tests that hold it."""

import ast
from pathlib import Path

Fact = tuple[str, str, list[str]]
"""Where a document states something, what (in our words), and its tests: `file::test`, or `test` of the same file."""

HERE = Path(__file__).parent


def named_tests(file: str) -> set[str]:
    tree = ast.parse((HERE / f"{file}.py").read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def expect_tests(table: str, fact: Fact) -> None:
    """Fail where a fact has no test, or names one that is not there."""
    place, what, tests = fact
    assert tests, (place, what)
    for test in tests:
        file, _, name = test.rpartition("::")
        assert name in named_tests(file or Path(table).stem), f"{place}: {what}: there is no test {test}"
