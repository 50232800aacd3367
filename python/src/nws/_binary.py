"""Finds the program `nws`, which is the server and the supervisor of workers."""

import os
import sys
from pathlib import Path

__all__ = ["binary_path", "main"]


def _runnable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _candidates() -> list[Path]:
    package = Path(__file__).resolve().parent
    places = [package / "_bin" / "nws"]
    # In a checkout this file is python/src/nws/_binary.py, and cargo builds into target/.
    checkout = package.parents[2] if len(package.parents) > 2 else None
    if checkout is not None and (checkout / "crates" / "nws-cli").is_dir():
        target = Path(os.environ.get("CARGO_TARGET_DIR") or checkout / "target")
        places += [target / "release" / "nws", target / "debug" / "nws"]
    return places


def binary_path() -> Path:
    """Return the path of the program `nws`.

    The environment variable `NWS_BINARY` names it where it is set; else it is the one that came with the package, else
    the one that cargo built in the checkout that this package lies in.

    Raises `FileNotFoundError` where there is none.
    """
    named = os.environ.get("NWS_BINARY")
    if named:
        if not _runnable(Path(named)):
            raise FileNotFoundError(
                f"NWS_BINARY names {named!r}, which is no program that can be run; "
                "unset it to use the one that came with the package"
            )
        return Path(named)
    places = _candidates()
    for place in places:
        if _runnable(place):
            return place
    raise FileNotFoundError(
        "expected the program 'nws' at "
        + " or ".join(map(str, places))
        + "; install the package again, or in a checkout run 'make setup', or name the program in NWS_BINARY"
    )


def main() -> None:
    """Become the program `nws`, with the arguments of this process."""
    try:
        path = binary_path()
        os.execv(path, ["nws", *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"nws: {error}")
