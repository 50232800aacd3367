"""What processes hold, as the kernel tells it in /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Held:
    """What one process holds."""

    descriptors: int
    threads: int
    resident_kib: int


def status_of(pid: int) -> dict[str, str]:
    """The lines of /proc/PID/status by their names; empty where the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def own() -> Held:
    """What this process holds."""
    status = status_of(os.getpid())
    descriptors = len(os.listdir("/proc/self/fd")) - 1
    return Held(descriptors, int(status["Threads"]), int(status["VmRSS"].split()[0]))


def descendants(pid: int) -> dict[int, str]:
    """The living descendants of a process, and what each is: `host`, `server` or `worker`."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            status = status_of(int(folder.name))
            if status and not status["State"].startswith("Z"):
                parents.setdefault(int(status["PPid"]), []).append(int(folder.name))
    found: dict[int, str] = {}
    open_pids = [pid]
    while open_pids:
        for child in parents.get(open_pids.pop(), []):
            found[child] = role_of(child)
            open_pids.append(child)
    return found


def role_of(pid: int) -> str:
    """What a process of a sleigh is."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "gone"
    words = {word.rpartition(b"/")[2] for word in command[:2]}
    return "host" if b"host" in words else "server" if b"serve" in words else "worker"
