"""Our server against redis-server without persistence: the same load generator, the same sockets, rounds in turn."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import array_contest
from nws._binary import binary_path
from row import Row

ROUNDS = 7
ROUND_SECONDS = 0.5
START_TIMEOUT_S = 20
ROUND_TIMEOUT_S = 120
CLIENTS = 50
WAITING_CLIENTS = 5000
WAITING_ROUNDS = 3
SMALL_BYTES = 100
MEGABYTE = 1 << 20
LOAD = Path(__file__).parent.parent / "target/release/examples/load"

Job = dict[str, object]
Measured = dict[str, float]


@dataclass(frozen=True, slots=True)
class Running:
    """A server under load."""

    process: int
    tcp: str
    unix: str
    dialect: object

    def measure(self, transport: str, work: Job) -> Measured:
        """What the load generator found in one round."""
        place = {transport: self.tcp if transport == "tcp" else self.unix}
        job = {"dialect": self.dialect, "place": place, "process": self.process, "work": work}
        done = subprocess.run(
            [LOAD, json.dumps(job)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=ROUND_TIMEOUT_S,
            preexec_fn=lambda: pin(0),
        )
        measured: Measured = json.loads(done.stdout)
        return measured


def pin(core: int) -> None:
    """Servers have one processor for themselves and the load generator another, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[core % len(cores)]})


@contextlib.contextmanager
def ours() -> Iterator[Running]:
    """Our server as it comes, embedded: it ends with its standard input."""
    server = subprocess.Popen(
        [binary_path(), "serve", "--embedded"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: pin(1),
    )
    try:
        assert server.stdout is not None
        where = json.loads(server.stdout.readline())
        yield Running(server.pid, where["tcp"], where["unix"], {"nws": {"token": where["token"]}})
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.wait(START_TIMEOUT_S)


@contextlib.contextmanager
def redis() -> Iterator[Running]:
    """A redis-server as it comes, but that it writes nothing to disk."""
    with tempfile.TemporaryDirectory() as folder:
        port, unix = free_port(), f"{folder}/redis.sock"
        at = ["--bind", "127.0.0.1", "--port", str(port), "--unixsocket", unix, "--dir", folder]
        server = subprocess.Popen(
            ["redis-server", *at, "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: pin(1),
        )
        try:
            await_answer(unix)
            yield Running(server.pid, f"127.0.0.1:{port}", unix, "resp")
        finally:
            server.terminate()
            server.wait(START_TIMEOUT_S)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_answer(unix: str) -> None:
    """Waits until redis answers."""
    until = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(START_TIMEOUT_S)
                probe.connect(unix)
                probe.sendall(b"PING\r\n")
                if probe.recv(64) == b"+PONG\r\n":
                    return
        except OSError:
            if time.monotonic() > until:
                raise
        time.sleep(0.02)


def in_turn(us: Running, them: Running, transport: str, work: Job) -> list[tuple[Measured, Measured]]:
    """Rounds of both, one after the other."""
    return [(us.measure(transport, work), them.measure(transport, work)) for _ in range(ROUNDS)]


def medians(rounds: list[tuple[Measured, Measured]], key: str) -> tuple[float, float]:
    """Ours and theirs."""
    return statistics.median(us[key] for us, _ in rounds), statistics.median(them[key] for _, them in rounds)


def throughput(us: Running, them: Running, name: str, transport: str, goal: float, **work: float) -> Row:
    """Operations a second; the processor time that each server needs for one tells why."""
    rounds = in_turn(us, them, transport, {"requests": {"seconds": ROUND_SECONDS, **work}})
    ratio = statistics.median(us["operations_a_second"] / them["operations_a_second"] for us, them in rounds)
    (our_rate, their_rate), (our_us, their_us) = (
        medians(rounds, key) for key in ("operations_a_second", "processor_us")
    )
    measured = f"{our_rate:,.0f} against {their_rate:,.0f} op/s; {our_us:.2f} against {their_us:.2f} µs of processor"
    return Row(f"{name}, {TRANSPORTS[transport]}", ratio, goal, measured)


def hand_off(us: Running, them: Running, transport: str, pause_ms: int) -> Row:
    """From a store to its arrival at a waiting fetch."""
    work = {"hand_off": {"times": 300 if pause_ms else 2000, "value_bytes": SMALL_BYTES, "pause_ms": pause_ms}}
    rounds = in_turn(us, them, transport, work)
    ratio = statistics.median(them["median_us"] / us["median_us"] for us, them in rounds)
    our_us, their_us = medians(rounds, "median_us")
    quiet = f"after {pause_ms} ms of silence" if pause_ms else "at once"
    name = f"store to delivery {quiet}, {TRANSPORTS[transport]}"
    return Row(name, ratio, 1.0, f"{our_us:.1f} against {their_us:.1f} µs")


def waiting() -> Row:
    """Memory of a connection that waits; each round has new servers, which have no free memory yet."""
    rounds = []
    for _ in range(WAITING_ROUNDS):
        round_ = []
        for start in (ours, redis):
            with start() as server:
                round_.append(server.measure("unix", {"waiting": {"clients": WAITING_CLIENTS}}))
        rounds.append((round_[0], round_[1]))
    ratio = statistics.median(them["bytes_each"] / us["bytes_each"] for us, them in rounds)
    our_bytes, their_bytes = medians(rounds, "bytes_each")
    return Row("memory of a waiting connection", ratio, 2.0, f"{our_bytes:,.0f} against {their_bytes:,.0f} bytes")


TRANSPORTS = {"tcp": "TCP", "unix": "Unix socket"}
# Name, goals over TCP and over a Unix socket, the work.
THROUGHPUTS: list[tuple[str, float, float, dict[str, float]]] = [
    (f"{CLIENTS} clients, 1 request at a time", 1.1, 1.3, {"clients": CLIENTS, "depth": 1, "value_bytes": SMALL_BYTES}),
    (
        f"{CLIENTS} clients, 16 requests in flight",
        1.5,
        2.0,
        {"clients": CLIENTS, "depth": 16, "value_bytes": SMALL_BYTES},
    ),
    ("1 MB values", 1.2, 1.2, {"clients": 1, "depth": 1, "value_bytes": MEGABYTE}),
    ("64 MB values", 3.0, 3.0, {"clients": 1, "depth": 1, "value_bytes": 64 * MEGABYTE}),
]


def measure() -> list[Row]:
    """Both servers run at the same time, and one at a time has anything to do."""
    if shutil.which("redis-server") is None:
        sys.exit(
            "redis-server was not found: install it (Debian: apt-get install redis-server), or run make bench-server"
        )
    rows = []
    for row in measured_rows():
        print(f"  {row.name}: {row.ratio:.2f}", file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def measured_rows() -> Iterator[Row]:
    """Row after row, as each is measured."""
    with ours() as us, redis() as them:
        for name, tcp_goal, unix_goal, work in THROUGHPUTS:
            for transport, goal in (("tcp", tcp_goal), ("unix", unix_goal)):
                yield throughput(us, them, name, transport, goal, **work)
        for pause_ms in (0, 1):
            for transport in TRANSPORTS:
                yield hand_off(us, them, transport, pause_ms)
        yield array_contest.measure(us.unix, them.unix)
    yield waiting()
