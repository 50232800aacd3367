"""Builds the package by maturin, with the program `nws` in it.

For pip and other tools that build from a checkout or from a source distribution. `make setup` builds the program by
itself and calls maturin then.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import maturin
from maturin import (  # noqa: F401
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

import third_party

_HERE = Path(__file__).resolve().parent.parent


def _build_program() -> None:
    """Build the program and put it where maturin takes it from.

    In a checkout this folder lies in that of the workspace; in a source distribution it is the workspace.
    """
    workspace = next((folder for folder in (_HERE, _HERE.parent) if (folder / "crates" / "nws-cli").is_dir()), None)
    if workspace is None:
        raise SystemExit(
            f"expected the sources of the program nws in {_HERE / 'crates'} or {_HERE.parent / 'crates'}, found none; "
            "install a wheel, or build from a checkout of the whole repository"
        )
    # One build for both: alone, each would ask other features of what they share.
    build = ["cargo", "build", "--release", "--package", "nws-cli", "--package", "nws-python"]
    if workspace != _HERE:
        build.append("--locked")  # what a source distribution locks is more than its workspace has
    build += ["--message-format", "json-render-diagnostics"]
    done = subprocess.run(build, cwd=workspace, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit("building the program nws failed (cargo's messages are above); it needs Rust 1.88 or newer")
    target = _HERE / "src" / "nws" / "_bin" / "nws"
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy2(_executable(done.stdout), target)
    third_party.main()


def _executable(messages: str) -> str:
    """Return where cargo says that it put the program: settings of the user's may lead elsewhere than target/."""
    for line in messages.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "nws":
            return str(message["executable"])
    raise SystemExit("expected cargo to say where it put the program nws, and it did not")


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """Build a source distribution, as PEP 517 has it; the program's sources are in it."""
    third_party.main()
    name: str = maturin.build_sdist(sdist_directory, config_settings)
    return name


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Build a wheel, as PEP 517 has it."""
    _build_program()
    name: str = maturin.build_wheel(wheel_directory, config_settings, metadata_directory)
    return name


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Build what an editable install needs, as PEP 660 has it."""
    _build_program()
    name: str = maturin.build_editable(wheel_directory, config_settings, metadata_directory)
    return name
