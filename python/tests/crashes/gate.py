"""Where a worker stops in a stage of its life until the test lets it go on. Imported by workers; knows no test."""

import array
import fcntl
import json
import os
import termios
import threading
import time
from typing import Any

_SETTLED_S = 0.02


def hold(folder: str, stage: str) -> None:
    """Say once that the stage is reached, and by which process; then wait until somebody opens the way."""
    try:
        os.close(os.open(f"{folder}/reached-{stage}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    with open(f"{folder}/{stage}.new", "w") as file:
        json.dump({"worker": os.getpid()}, file)
    os.rename(f"{folder}/{stage}.new", f"{folder}/{stage}")
    with open(f"{folder}/way-{stage}") as way:
        way.read()


class Through:
    """What holds in a stage while it is read: it becomes `value`."""

    def __init__(self, folder: str, stage: str, value: Any) -> None:
        self.through = (folder, stage, value)

    def __reduce__(self) -> Any:
        return _after, self.through


class AndBack:
    """What holds in a stage while it is written."""

    def __init__(self, folder: str, stage: str, value: Any) -> None:
        self.through = (folder, stage, value)

    def __reduce__(self) -> Any:
        hold(*self.through[:2])
        return _itself, self.through[2:]


def _after(folder: str, stage: str, value: Any) -> Any:
    hold(folder, stage)
    return value


def _itself(value: Any) -> Any:
    return value


def watch_sending(folder: str) -> None:
    """Hold in the stage `sending`, on a thread of its own, once a socket has bytes that its peer does not take."""
    threading.Thread(target=_watch_sending, args=(folder,), daemon=True).start()


def _watch_sending(folder: str) -> None:
    before: dict[int, int] = {}
    while True:
        now = {number: count for number in _sockets() if (count := _unsent(number)) > 0}
        if any(count == before.get(number) for number, count in now.items()):
            return hold(folder, "sending")
        before = now
        time.sleep(_SETTLED_S)


def _sockets() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
        except OSError:
            pass
    return found


def _unsent(number: int) -> int:
    count = array.array("i", [0])
    try:
        fcntl.ioctl(number, termios.TIOCOUTQ, count)
    except OSError:
        return 0
    return count[0]
