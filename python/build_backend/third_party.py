"""Writes the licences of the crates that are part of the package, for who gets it: THIRD-PARTY-LICENSES.txt.

`nws_build` and `make setup` run it. It fails where a crate has a licence that the package may not use.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

# One of these is enough where there is a choice.
ALLOWED = {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Unicode-3.0", "Unlicense", "Zlib"}
SHIPPED = {"nws-cli", "nws-python"}
TARGET = "x86_64-unknown-linux-gnu"
HEAD = """\
The program nws and the native module nws._native of this package contain these crates, under these licences.
"""


def packages(workspace: Path) -> list[dict[str, Any]]:
    """Return what cargo says of the crates that are part of the package, but our own."""
    command = ["cargo", "metadata", "--format-version", "1", "--filter-platform", TARGET]
    told = json.loads(subprocess.run(command, cwd=workspace, stdout=subprocess.PIPE, check=True).stdout)
    by_id = {package["id"]: package for package in told["packages"]}
    uses = {
        node["id"]: [dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
        for node in told["resolve"]["nodes"]
    }
    left = [package["id"] for package in told["packages"] if package["name"] in SHIPPED and package["source"] is None]
    seen: set[str] = set()
    while left:
        package = left.pop()
        if package not in seen:
            seen.add(package)
            left += uses[package]
    found = [by_id[package] for package in seen if by_id[package]["source"] is not None]
    return sorted(found, key=lambda package: (package["name"], package["version"]))


def is_allowed(expression: str) -> bool:
    """Say whether an SPDX expression of OR and AND leaves a choice that is allowed."""
    alternatives = re.split(r"\s+OR\s+|/", expression.replace("(", " ").replace(")", " ").strip())
    plain = ({word.split(" WITH ")[0].strip() for word in re.split(r"\s+AND\s+", each)} for each in alternatives)
    if " AND " in expression and " OR " in expression:
        # With both, every licence that is named has to be allowed: then the order of the two does not matter.
        names = set(re.split(r"\s+(?:OR|AND)\s+", expression.replace("(", "").replace(")", "")))
        return {name.split(" WITH ")[0].strip() for name in names} <= ALLOWED
    return any(each <= ALLOWED for each in plain)


def texts(package: dict[str, Any]) -> list[str]:
    """Return the licences and notices that a crate brings, also of what it holds in a folder, as a library in C."""
    folder = Path(package["manifest_path"]).parent
    files = [*sorted(folder.iterdir()), *sorted(folder.glob("*/*"))]
    files = [file for file in files if re.match(r"(?i)(un)?licen[sc]e|copying|notice", file.name)]
    found = [file.read_text("utf-8", "replace") for file in files if file.is_file()]
    return ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in found]


def notices(workspace: Path) -> str:
    """Return the whole file."""
    crates = packages(workspace)
    wrong = [f"{c['name']}: {c['license']}" for c in crates if not is_allowed(c["license"] or "none")]
    if wrong:
        sys.exit(f"expected licences of {', '.join(sorted(ALLOWED))}, got {'; '.join(wrong)}")
    lines = [HEAD]
    whose: dict[str, list[str]] = defaultdict(list)
    for crate in crates:
        name = f"{crate['name']} {crate['version']}"
        lines.append(f"{name}: {crate['license']}{'; ' + crate['repository'] if crate['repository'] else ''}")
        for text in texts(crate):
            whose[text].append(name)
    for text, names in whose.items():
        lines += ["", "=" * 80, *[", ".join(names)], "-" * 80, text]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the file beside pyproject.toml."""
    here = Path(__file__).resolve().parent.parent
    # In a source distribution this folder is the workspace.
    workspace = here if (here / "crates").is_dir() else here.parent
    (here / "THIRD-PARTY-LICENSES.txt").write_text(notices(workspace))


if __name__ == "__main__":
    main()
