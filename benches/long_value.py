"""A value of 4 GiB through a server, and the most memory that the server had meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from nws._binary import binary_path
from row import Row

MIB = 1 << 20
VALUE_BYTES = 4096 * MIB
ALLOWED_BYTES = 256 * MIB
BLOCK_BYTES = 4 * MIB
# Beside the value, so that nobody else's disk is full because of us.
SPARE_BYTES = 1024 * MIB
PATIENCE_S = 900


def folder() -> str:
    """Where the server keeps long values."""
    return os.environ.get("TMPDIR") or "/var/tmp"


def blocks() -> Iterator[bytes]:
    """The value, of which each block differs from the others."""
    rest = bytes(BLOCK_BYTES - 8)
    for number in range(VALUE_BYTES // BLOCK_BYTES):
        yield number.to_bytes(8, "little") + rest


def peak_bytes(process: int) -> int:
    """The most memory that a process ever had."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@contextlib.contextmanager
def served() -> Iterator[tuple[int, dict[str, str]]]:
    """A server of its own: its process, and the environment in which clients find it."""
    with tempfile.TemporaryDirectory() as runtime:
        environment = {**os.environ, "NWS_RUNTIME_DIR": runtime}
        environment.pop("NWS_URL", None)
        command = [str(binary_path()), "serve", "--embedded", "--values-memory", "64MiB"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        ) as server:
            assert server.stdin is not None and server.stdout is not None
            where = json.loads(server.stdout.readline())
            try:
                yield server.pid, {**environment, "NWS_URL": where["unix"]}
            finally:
                server.stdin.close()
                server.wait(PATIENCE_S)


def store(environment: dict[str, str]) -> None:
    """Streams the value in, through the command's standard input."""
    command = [str(binary_path()), "store", "long", "-", "--as", "bytes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as client:
        assert client.stdin is not None
        for block in blocks():
            client.stdin.write(block)
        client.stdin.close()
        assert client.wait(PATIENCE_S) == 0


def fetch(environment: dict[str, str]) -> str:
    """Streams the value out, and says what its bytes come to."""
    command = [str(binary_path()), "fetch", "long", "--raw"]
    digest = hashlib.blake2b()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as client:
        assert client.stdout is not None
        # A server that hangs shall not hang the measurement.
        watchdog = threading.Timer(PATIENCE_S, client.kill)
        watchdog.start()
        while piece := client.stdout.read(BLOCK_BYTES):
            digest.update(piece)
        watchdog.cancel()
        assert client.wait(PATIENCE_S) == 0
    return digest.hexdigest()


def measure() -> list[Row]:
    """One row; none, with a message, where the disk has no room."""
    free = shutil.disk_usage(folder()).free
    if free < VALUE_BYTES + SPARE_BYTES:
        wanted = (VALUE_BYTES + SPARE_BYTES) // MIB
        print(f"not measured: {folder()} has {free // MIB} MiB free, wanted {wanted}; set TMPDIR", file=sys.stderr)
        return []
    expected = hashlib.blake2b()
    for block in blocks():
        expected.update(block)
    with served() as (process, environment):
        began = time.perf_counter()
        store(environment)
        stored = time.perf_counter()
        assert fetch(environment) == expected.hexdigest(), "expected the bytes that were stored"
        fetched = time.perf_counter()
        peak = peak_bytes(process)
    gibibytes = VALUE_BYTES / (1 << 30)
    measured = (
        f"server's peak {peak // MIB} MiB of {ALLOWED_BYTES // MIB}; "
        f"in {gibibytes / (stored - began):.2f} GiB/s, out {gibibytes / (fetched - stored):.2f} GiB/s"
    )
    return [Row("a value of 4 GiB, the server's memory", ALLOWED_BYTES / peak, 1.0, measured)]
