"""The rules of the tree that no other tool checks: `make check` runs this, and it prints one line a violation."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {".rs", ".py", ".pyi", ".sh"}
# A file beyond this holds more than one concept.
MOST_LINES = 600
# In two pieces, so that this file passes its own check.
LEFT_BEHIND = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
HOME = re.compile(r"/(root|home/[a-z]+|Users/[A-Za-z]+)/")
SKIPPED_TEST = re.compile(r"#\[ignore\]|pytest\.mark\.(skip|xfail)\b(?!\(.*reason=)|@unittest\.skip\b")
SILENCED = re.compile(r"#!?\[(allow|expect)\((?!.*\breason = )")
TEST_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+){2,}")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")

Violation = tuple[Path, int, str]


def tracked() -> list[Path]:
    """The files of the tree, new ones that git does not ignore among them; no links, no generated ones."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"tidy: the files of the tree are asked of git, and git failed: {error}")
    paths = [ROOT / name for name in names if not name.endswith(".lock")]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def text_of(path: Path) -> str | None:
    """What the file holds; None if it is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def every_text_file(path: Path, text: str) -> Iterator[Violation]:
    """Rules for all that a person reads."""
    if text and not text.endswith("\n"):
        yield path, text.count("\n") + 1, "the last line has no end"
    for number, line in enumerate(text.split("\n"), 1):
        if line.endswith((" ", "\t", "\r")):
            yield path, number, "white space at the end of the line"
        if LEFT_BEHIND.search(line):
            yield path, number, "a note to oneself: do it, or open an issue"
        if HOME.search(line):
            yield path, number, "a path of one person's machine"


def source_file(path: Path, text: str) -> Iterator[Violation]:
    """Rules for code."""
    lines = text.split("\n")
    if len(lines) > MOST_LINES:
        yield path, len(lines), f"more than {MOST_LINES} lines: cut it by concept"
    for number, line in enumerate(lines, 1):
        if SKIPPED_TEST.search(line):
            yield path, number, "a test that does not run, without a reason"
        if path.suffix == ".rs" and "src" in path.parts and SILENCED.search(line):
            yield path, number, "a lint is silenced without a reason"


def document(path: Path, text: str) -> Iterator[Violation]:
    """Links of documents lead somewhere."""
    for number, line in enumerate(text.split("\n"), 1):
        for target in LINK.findall(line):
            if not (path.parent / target).exists():
                yield path, number, f"a link to {target}, which is not there"


def architecture() -> Iterator[Violation]:
    """The page that shows the way names every crate."""
    page = ROOT / "ARCHITECTURE.md"
    text = page.read_text(encoding="utf-8")
    for manifest in sorted(ROOT.glob("crates/*/Cargo.toml")):
        if f"`{manifest.parent.name}`" not in text:
            yield page, 1, f"the crate {manifest.parent.name} is not named"


def guards() -> Iterator[Violation]:
    """What the same page says to guard an invariant is there: tests by name, files by path or name."""
    page = ROOT / "ARCHITECTURE.md"
    section = page.read_text(encoding="utf-8").partition("\n## Invariants")[2].partition("\n## ")[0]
    sources = [path for path in tracked() if path.suffix in SOURCES]
    code = "\n".join(text_of(path) or "" for path in sources)
    for line in section.split("\n"):
        for name in re.findall(r"`([^`]+)`", line.split(" | ")[-1]):
            if TEST_NAME.fullmatch(name):
                there = re.search(rf"\b(fn|def) {name}\(", code) is not None
            elif "/" in name or name.endswith((".rs", ".py")):
                there = any((root / name).exists() for root in (ROOT, ROOT / "crates"))
                there = there or any(path.name == name for path in sources)
            else:
                continue
            if not there:
                yield page, 1, f"the guard {name} is not there"


def commands() -> Iterator[Violation]:
    """What the first pages tell people to type exists."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / ".ci/run"):
        for number, line in enumerate(page.read_text(encoding="utf-8").split("\n"), 1):
            for target in re.findall(r"(?:^|`)make ([a-z-]+)", line.strip()):
                if target not in targets:
                    yield page, number, f"make has no target {target}"
            for module in re.findall(r"python -m (nws[.\w]*)", line):
                place = ROOT / "python/src" / module.replace(".", "/")
                if not (place.with_suffix(".py").exists() or (place / "__main__.py").exists()):
                    yield page, number, f"there is no module {module} to run"


def licences() -> Iterator[Violation]:
    """Each package carries the two licences, word for word."""
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        text = (ROOT / name).read_bytes()
        for package in (ROOT / "python", *sorted(path.parent for path in ROOT.glob("crates/*/Cargo.toml"))):
            copy = package / name
            if not copy.exists() or copy.read_bytes() != text:
                yield copy, 1, f"is not the {name} of the root"


def violations() -> Iterator[Violation]:
    """All of them, file by file."""
    for path in tracked():
        if (text := text_of(path)) is None:
            continue
        yield from every_text_file(path, text)
        if path.suffix in SOURCES:
            yield from source_file(path, text)
        if path.suffix == ".md":
            yield from document(path, text)
    yield from architecture()
    yield from guards()
    yield from commands()
    yield from licences()


def main() -> int:
    """Prints what was found; the exit code says whether anything was."""
    found = list(violations())
    for path, line, message in found:
        print(f"{path.relative_to(ROOT)}:{line}: {message}")
    print(f"tidy: {len(found)} violations" if found else "tidy: the tree is as it should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
