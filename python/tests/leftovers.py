"""Finds what a program under test has left behind."""

import os
import time
from collections.abc import Callable
from pathlib import Path

MARK = "NWS_TEST_MARK"


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Look again and again until `condition` holds."""
    deadline = time.monotonic() + timeout_s
    turn = os.eventfd(0)  # nobody writes to it: a wait that is not a blind sleep ends with the deadline at the latest
    try:
        import select

        while not condition():
            assert time.monotonic() < deadline, f"after {timeout_s} s still waiting until {what}"
            select.select([turn], [], [], 0.01)
    finally:
        os.close(turn)


def marked(mark: str) -> dict[int, str]:
    """Return pid and command line of every living process that carries this mark in its environment."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"{MARK}={mark}".encode() in environment and state != "Z":
            found[int(folder.name)] = command
    return found


def wait_for_none(mark: str, timeout_s: float = 10.0) -> None:
    """Wait until no process carries this mark."""
    last: dict[int, str] = {}

    def gone() -> bool:
        last.clear()
        last.update(marked(mark))
        return not last

    try:
        wait_until(gone, "all processes have ended", timeout_s)
    except AssertionError:
        raise AssertionError(f"left running after {timeout_s} s: {last}") from None


def tree(root: int) -> list[int]:
    """Return the process ids of all that descend from this process now, itself first."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def wait_for_ends(pids: list[int], timeout_s: float = 10.0) -> None:
    """Wait until none of these processes lives."""

    def lives(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    wait_until(lambda: not any(map(lives, pids)), f"{pids} have ended", timeout_s)
