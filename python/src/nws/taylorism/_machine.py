"""What this machine has."""

import functools
from pathlib import Path

__all__ = ["LOOKS_EVERY_S", "STOPPED_S", "Stopped", "memory_mib", "out_of_memory_kills"]

# Who was stopped (SIGSTOP) and has not gone on for so long is ended. It is looked for this often.
STOPPED_S = 4.0
LOOKS_EVERY_S = 1.0


class Stopped:
    """Watches whether a process is stopped; such a one does not end, and says nothing."""

    def __init__(self, pid: int) -> None:
        """Watch this process, which the caller knows to be there."""
        self._stat = f"/proc/{pid}/stat"
        self._since: float | None = None

    def for_too_long(self, now: float) -> bool:
        """Look, and say whether it has been stopped at each look for too long."""
        try:
            with open(self._stat) as file:
                stopped = file.read().rpartition(")")[2].split()[0] == "T"
        except (OSError, IndexError):
            stopped = False
        if not stopped:
            self._since = None
        elif self._since is None:
            self._since = now
        return self._since is not None and now - self._since >= STOPPED_S


def memory_mib() -> float:
    """Return the memory of this machine in MiB, or of the control group that this process is in, if that has less."""
    total = _entry(Path("/proc/meminfo"), "MemTotal:")
    known = [] if total is None else [total / 1024]
    known += [limit / (1 << 20) for limit in _limits_bytes()]
    return min(known)


def _entry(path: Path, name: str) -> int | None:
    try:
        for line in path.read_text().splitlines():
            words = line.split()
            if words and words[0] == name:
                return int(words[1])
    except (OSError, ValueError, IndexError):
        pass
    return None


def _groups() -> list[Path]:
    """The control groups that bound this process's memory, its own first."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root = Path("/sys/fs/cgroup")
        elif "memory" in controllers.split(","):
            root = Path("/sys/fs/cgroup/memory")
        else:
            continue
        group = root / path.lstrip("/")
        while group != root and group.is_relative_to(root):
            found.append(group)
            group = group.parent
        found.append(root)
    return found


def _limits_bytes() -> list[int]:
    limits = []
    for group in _groups():
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                limits.append(int((group / name).read_text()))
            except (OSError, ValueError):
                continue  # there is no such file, or it says "max"
    return limits


def out_of_memory_kills() -> int | None:
    """Return how often the kernel has ended a process of this control group for want of memory; None if unknown."""
    counter = _counter()
    return None if counter is None else _entry(counter, "oom_kill")


@functools.cache
def _counter() -> Path | None:
    """The file that counts this; for all workers it is the same."""
    places = [group / name for group in _groups() for name in ("memory.events", "memory.oom_control")]
    for place in [*places, Path("/proc/vmstat")]:
        if _entry(place, "oom_kill") is not None:
            return place
    return None
