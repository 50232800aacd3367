"""The longest pause of the server's loop with very many values, variables and waiting clients, by its own count."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from nws._binary import binary_path
from row import Row

ALLOWED_MS = 20
VALUES = 1_000_000
VARIABLES = 100_000
WAITING = 10_000
VALUE = b"v" * 100
PATIENCE_S = 120
AT_A_TIME = 1000
# Sockets of this program beside those of the clients, and of the server beside its own.
SPARE_DESCRIPTORS = 500


class Client:
    """A client of the classic protocol, over the Unix socket, with the workspace `w`."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path)
        self.socket.sendall(b"1112" + request(b"open ws", b"w", b"bench", b"no"))
        assert self.receive(8) == b"22230000"

    def receive(self, count: int) -> bytes:
        """This many bytes."""
        got = bytearray()
        while len(got) < count:
            more = self.socket.recv(min(count - len(got), 1 << 20))
            if not more:
                raise ConnectionError("expected the server to answer, and it hung up")
            got += more
        return bytes(got)

    def done(self, requests: list[bytes]) -> None:
        """Sends requests and waits until each is done."""
        for start in range(0, len(requests), AT_A_TIME):
            some = requests[start : start + AT_A_TIME]
            self.socket.sendall(b"".join(some))
            assert self.receive(4 * len(some)) == b"0000" * len(some)

    def value(self) -> bytes | None:
        """The value of the next answer; None where the request failed."""
        head = self.receive(4 + 20 + 40 + 20)
        value = self.receive(int(head[-20:]))
        return value if head.startswith(b"0000") else None


def request(*arguments: bytes) -> bytes:
    """The bytes of a request."""
    return b"%04d" % len(arguments) + b"".join(b"%020d" % len(argument) + argument for argument in arguments)


def store(variable: bytes) -> bytes:
    """The bytes that store a value."""
    return request(b"store", b"w", variable, b"16777217", VALUE)


@dataclass
class Server:
    """A server of its own, and the pauses that it has told so far."""

    unix: str
    web: str
    environment: dict[str, str]
    steps: dict[str, float] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """What it tells."""
        with urllib.request.urlopen(f"http://{self.web}/metrics", timeout=PATIENCE_S) as page:
            lines = page.read().decode().splitlines()
        return {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    def until(self, name: str, number: float) -> None:
        """Waits until the server tells this number."""
        while self.metrics()[name] != number:
            pass

    def nws(self, *arguments: str, stdin: bytes = b"") -> None:
        """Runs the command line as a client."""
        command = [binary_path(), *arguments]
        subprocess.run(
            command, check=True, input=stdin, stdout=subprocess.DEVNULL, env=self.environment, timeout=PATIENCE_S
        )

    def step(self, name: str) -> None:
        """Notes the longest pause so far as that of this step, where it is longer than before."""
        self.steps[name] = self.metrics()["nws_loop_longest_pause_seconds"] * 1000


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """One that ends with the block."""
    with tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "NWS_RUNTIME_DIR": f"{home}/run", "NWS_SERVER_PORT": "0", "NWS_WEB_PORT": "0"}
        running = subprocess.Popen(
            [binary_path(), "serve", "--connections", str(WAITING + SPARE_DESCRIPTORS), "--log-level", "warn"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            assert running.stdout is not None
            told = {}
            while "web" not in told:
                name, _, place = running.stdout.readline().strip().partition(" ")
                told[name] = place.strip()
            environment["NWS_SERVER_PORT"] = told["clients"].rpartition(":")[2]
            yield Server(told["socket"], told["web"].removeprefix("http://").rstrip("/"), environment)
        finally:
            running.terminate()
            running.wait(PATIENCE_S)


def many_values(served: Server) -> None:
    """A million values in one variable."""
    client = Client(served.unix)
    client.done([store(b"one by one")] * (VALUES // 2))
    served.step("stored one by one")
    client.done([request(b"delete var", b"w", b"one by one")])
    served.until("nws_values", 0)
    # As many as one request may hold, or nearly.
    lines = (VALUE + b"\n") * (VALUES // 16)
    for _ in range(16):
        served.nws("store", "x", "-", "--lines", "--workspace", "w", stdin=lines)
    served.step("stored")
    client.socket.sendall(request(b"list vars", b"w"))
    assert b"x\t1000000\t" in (client.value() or b"")
    served.step("listed")
    client.done([request(b"delete var", b"w", b"x")])
    client.done([store(b"y")] * AT_A_TIME)
    served.until("nws_values", AT_A_TIME)
    served.step("deleted")


def many_variables(served: Server) -> None:
    """A hundred thousand variables in one workspace."""
    client = Client(served.unix)
    client.done([store(b"variable %d" % number) for number in range(VARIABLES)])
    served.step("stored")
    client.socket.sendall(request(b"list vars", b"w"))
    assert (client.value() or b"").count(b"\n") >= VARIABLES - 1
    served.step("listed to an old client")
    served.nws("vars", "--workspace", "w")
    served.step("listed")
    served.nws("ls")
    client.done([request(b"delete ws", b"w")])
    served.until("nws_variables", 0)
    served.step("deleted")


def many_waiting(served: Server) -> None:
    """Ten thousand clients that wait."""
    other = Client(served.unix)
    clients = [Client(served.unix) for _ in range(WAITING)]
    served.step("connected")
    fetch = request(b"fetch", b"w", b"x")

    def all_wait() -> None:
        for client in clients:
            client.socket.sendall(fetch)
        served.until("nws_waiting_requests", WAITING)

    all_wait()
    served.step("waiting")
    other.socket.sendall(request(b"list vars", b"w"))
    assert b"x\t0\t10000\t" in (other.value() or b"")
    served.step("listed")
    served.nws("store", "x", "-", "--lines", "--workspace", "w", stdin=(VALUE + b"\n") * WAITING)
    assert all(client.value() == VALUE for client in clients)
    served.step("answered")
    all_wait()
    other.done([request(b"delete var", b"w", b"x")])
    assert all(client.value() is None for client in clients)
    served.step("deleted")
    for client in clients:
        client.socket.sendall(request(b"find", b"w", b"x"))
    served.until("nws_waiting_requests", WAITING)
    other.done([store(b"x")])
    assert all(client.value() == VALUE for client in clients)
    other.done([request(b"delete var", b"w", b"x")])
    served.step("answered by one value")
    all_wait()
    for client in clients:
        client.socket.close()
    served.until("nws_waiting_requests", 0)
    served.until("nws_connections", 1)
    served.step("gone")


def longest(measured: Callable[[Server], None], name: str) -> Row:
    """The longest pause with a server of its own."""
    with server() as served:
        measured(served)
    before, steps = 0.0, []
    for step, pause_ms in served.steps.items():
        steps.append(f"{step} {pause_ms:.1f}" if pause_ms > before else f"{step} no longer")
        before = pause_ms
    print(f"longest pause in ms, {name}: {', '.join(steps)}", file=sys.stderr)
    measured_text = f"{before:.1f} ms, {ALLOWED_MS} allowed"
    return Row(f"longest pause with {name}", ALLOWED_MS / before, 1.0, measured_text)


def measure() -> list[Row]:
    """Each in turn, with a server of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    rows = [
        longest(many_values, "1,000,000 values in a variable"),
        longest(many_variables, "100,000 variables in a workspace"),
    ]
    if hard != resource.RLIM_INFINITY and hard < WAITING + SPARE_DESCRIPTORS:
        print(
            f"10,000 waiting clients are not measured: they need {WAITING + SPARE_DESCRIPTORS} descriptors, and this "
            f"process may have {hard} (ulimit -Hn)",
            file=sys.stderr,
        )
        return rows
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, WAITING + SPARE_DESCRIPTORS), hard))
    rows.append(longest(many_waiting, "10,000 waiting clients"))
    return rows


if __name__ == "__main__":
    print(json.dumps([row.as_json() for row in measure()], indent=2))
