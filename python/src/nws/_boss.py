"""A Boss of `nws.taylorism`: the process that a host starts."""

import json
import os
import socket
import struct
import sys
import warnings

__all__ = ["main"]


def main() -> None:
    """Be the Boss of the master at the other end of standard input."""
    end = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    (length,) = struct.unpack("<Q", _exactly(end, 8))
    told = json.loads(_exactly(end, length))
    # Not before: what is imported below may be found only where the master finds it.
    sys.path[:] = told["path"]
    sys.argv[:] = told["argv"] or [""]
    import faulthandler

    from nws._pickle import become_worker
    from nws.taylorism import _loop

    become_worker()
    faulthandler.enable()
    # Threads that imported libraries keep are not used by workers, which numpy's and others know to start anew.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    # What a worker has written is not lost with it.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _loop.main(end)


def _exactly(end: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = end.recv(count - len(data))
        if not part:
            sys.exit(1)  # the master is gone
        data += part
    return data
