"""What the demo's tasks do: one source file in, one small summary out. A pure function of the file."""

from __future__ import annotations

import ast
import hashlib
import io
import token
import tokenize
import warnings
from pathlib import Path
from typing import TypedDict

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
# Statements that put what they hold one level deeper.
_NESTING = (*_LOOPS, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
# Functions with less code than this many lines, without their documentation, look alike by chance.
_SHORTEST_COPY = 5
_LAYOUT = frozenset((token.NEWLINE, token.INDENT, token.DEDENT, token.ENDMARKER, tokenize.NL, tokenize.ENCODING))


class Function(TypedDict):
    """What is known of one function; functions inside it count as their own.

    Two functions have the same `shape` where their arguments and code are the same, whatever their names, comments and
    layout. The shape of a short function is empty.
    """

    name: str
    line: int
    lines: int
    branches: int
    nesting: int
    shape: str


class Summary(TypedDict):
    """What is known of one file. `error` says why it did not parse, and is empty otherwise."""

    path: str
    error: str
    lines: int
    code_lines: int
    comment_lines: int
    classes: int
    coroutines: int
    functions: list[Function]
    imports: list[str]
    names: dict[str, int]


def survey(path: str) -> Summary:
    """Reads and parses the file at `path`, and says what is in it.

    A file that cannot be read, or is no valid Python, is no error: its summary says why.
    """
    summary = Summary(
        path=path,
        error="",
        lines=0,
        code_lines=0,
        comment_lines=0,
        classes=0,
        coroutines=0,
        functions=[],
        imports=[],
        names={},
    )
    try:
        source = Path(path).read_bytes()
        summary["lines"] = source.count(b"\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        _count_lines(source, summary)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        summary["error"] = f"{type(error).__name__}: {error}"
        return summary
    _count_nodes(tree, summary)
    return summary


def _count_lines(source: bytes, summary: Summary) -> None:
    """Counts lines that hold code, and lines that hold only a comment."""
    code: set[int] = set()
    comments: set[int] = set()
    for kind, _, (first, _), (last, _), _ in tokenize.tokenize(io.BytesIO(source).readline):
        if kind == tokenize.COMMENT:
            comments.add(first)
        elif kind not in _LAYOUT:
            code.update(range(first, last + 1))
    summary["code_lines"] = len(code)
    summary["comment_lines"] = len(comments - code)


def _count_nodes(tree: ast.Module, summary: Summary) -> None:
    """Walks the tree without recursion: generated sources are nested deeper than Python's own stack."""
    names: dict[str, int] = {}
    imports: set[str] = set()
    # A node, the function it belongs to, and how deeply it is nested there.
    pending: list[tuple[ast.AST, Function | None, int]] = [(tree, None, 0)]
    while pending:
        node, function, nesting = pending.pop()
        if isinstance(node, _FUNCTIONS):
            function, nesting = _function(node), 0
            summary["functions"].append(function)
            summary["coroutines"] += isinstance(node, ast.AsyncFunctionDef)
        elif isinstance(node, ast.ClassDef):
            function, nesting = None, 0
            summary["classes"] += 1
        elif isinstance(node, ast.Name):
            names[node.id] = names.get(node.id, 0) + 1
        elif isinstance(node, ast.Attribute):
            names[node.attr] = names.get(node.attr, 0) + 1
        elif isinstance(node, ast.Import):
            imports.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports.add("." * node.level + (node.module or "").partition(".")[0])
        elif isinstance(node, _NESTING):
            nesting += 1
        if function is not None:
            function["branches"] += _branches(node)
            function["nesting"] = max(function["nesting"], nesting)
        for child in ast.iter_child_nodes(node):
            pending.append((child, function, nesting - _is_elif(node, child)))
    summary["functions"].sort(key=lambda function: function["line"])
    summary["names"] = dict(sorted(names.items()))
    summary["imports"] = sorted(imports)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    last = node.end_lineno or node.lineno
    return Function(
        name=node.name,
        line=node.lineno,
        lines=last - node.lineno + 1,
        branches=0,
        nesting=0,
        shape=_shape(node),
    )


def _shape(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    if not body or (body[-1].end_lineno or 0) - body[0].lineno + 1 < _SHORTEST_COPY:
        return ""
    try:
        parts = [type(node).__name__, ast.dump(node.args), *map(ast.dump, body)]
    except RecursionError:
        return ""
    return hashlib.blake2b("\n".join(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _is_elif(node: ast.AST, child: ast.AST) -> bool:
    """The grammar nests an `elif` in the `if` before it; a reader sees both at one level."""
    return (
        isinstance(node, ast.If)
        and isinstance(child, ast.If)
        and node.orelse == [child]
        and node.col_offset == child.col_offset
    )


def _branches(node: ast.AST) -> int:
    """How many ways more this node adds through its function."""
    if isinstance(node, (ast.If, ast.IfExp, ast.ExceptHandler, ast.comprehension, ast.match_case, *_LOOPS)):
        return 1
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    return 0
