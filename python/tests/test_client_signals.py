"""Ctrl-C ends every wait at once."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from nws.client import NetWorkSpace, NwsServer
from server_process import ServerProcess

WAITING = """
import asyncio, io, sys
from nws import aio
from nws.client import NetWorkSpace
ws = NetWorkSpace("signals", "localhost", int(sys.argv[1]), useUse=True)
async def fetch():
    async with aio.NetWorkSpace("signals", "localhost", int(sys.argv[1]), useUse=True) as other:
        await other.fetch("x")
print("ready", flush=True)
try:
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.readline()
    print(ws.fetch("x"), flush=True)
"""


def waiting(ws: NetWorkSpace, name: str, fetchers: int, finders: int) -> bool:
    return ws.listVars(format="dict").get(name, ())[2:4] == (fetchers, finders)


FETCHES = [
    'ws.fetch("x")',
    'ws.fetch("x", timeout=60)',
    'ws.fetchMany("x", 5)',
    'ws.fetchFile("x", io.BytesIO())',
    'ws.lease("x")',
    'next(ws.ifetch("x"))',
    'ws.ifetch("x").writeTo(io.BytesIO())',
    "asyncio.run(fetch())",
]
FINDS = ['ws.find("x")', 'ws.findFile("x", io.BytesIO())', 'next(ws.ifind("x"))', 'list(ws.ifind("x"))']


@pytest.mark.parametrize("wait", FETCHES + FINDS)
def test_a_signal_ends_the_wait_and_the_connection_goes_on(
    nws_server: ServerProcess, connect: Callable[[], NwsServer], wait: str
) -> None:
    ws = connect().openWs("signals")
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING.format(wait=wait), str(nws_server.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    with process:
        assert process.stdout.readline() == "ready\n"
        while not waiting(ws, "x", wait in FETCHES, wait in FINDS):
            pass
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        # The server has forgotten the wait: nobody takes this value until it is asked for again.
        while not waiting(ws, "x", 0, 0):
            pass
        ws.store("x", "still here")
        assert ws.find("x") == "still here"
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "still here\n"


def test_a_value_that_comes_with_the_signal_is_kept(connect: Callable[[], NwsServer]) -> None:
    """The handler of the signal stores the value that is waited for, so that both come at once."""
    ws, other = connect().openWs("signals"), connect().useWs("signals")

    def store_and_interrupt(*_: object) -> None:
        other.store("y", "kept")
        raise InterruptedError

    def interrupt() -> None:
        while not waiting(watch, "y", 1, 0):
            pass
        os.kill(os.getpid(), signal.SIGUSR1)

    watch = connect().useWs("signals")
    before = signal.signal(signal.SIGUSR1, store_and_interrupt)
    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        with pytest.raises(InterruptedError):
            ws.fetch("y", timeout=30)
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert watch.findTry("y") is None, "the wait had taken the value"
    assert ws.fetch("y", timeout=5) == "kept"
    assert ws.fetchTry("y") is None


CONNECTING = """
import sys
from nws.client import NwsServer
try:
    NwsServer("127.0.0.1", int(sys.argv[1]))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_ends_connecting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with subprocess.Popen(
            [sys.executable, "-c", CONNECTING, str(port)], stdout=subprocess.PIPE, text=True
        ) as process:
            connected, _ = mute.accept()
            with connected:
                # Its greeting has come: now it waits for ours.
                assert connected.recv(1)
                process.send_signal(signal.SIGINT)
                assert process.communicate(timeout=8) == ("interrupted\n", None)
