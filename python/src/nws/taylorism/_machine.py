"""What this machine has."""

from pathlib import Path

__all__ = ["memory_mib", "out_of_memory_kills"]


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
    for group in _groups():
        count = _entry(group / "memory.events", "oom_kill")
        if count is None:
            count = _entry(group / "memory.oom_control", "oom_kill")
        if count is not None:
            return count
    return _entry(Path("/proc/vmstat"), "oom_kill")
