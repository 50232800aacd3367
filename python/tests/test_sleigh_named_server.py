"""A sleigh on a server that somebody else runs."""

import os
import signal
import sys
from pathlib import Path

import pytest

from leftovers import wait_until
from nws.client import NetWorkSpace
from nws.sleigh import Sleigh, SleighNwsException
from server_process import ServerProcess


def spaces(server):
    return set(server.listWss("dict"))


def test_a_named_server_is_used_and_left_as_it_was(nws_server, connect):
    watcher = connect()
    before = spaces(watcher)
    with Sleigh(workerCount=2, nwsHost="localhost", nwsPort=nws_server.port) as s:
        assert s.eachElem(lambda x: x + 1, range(100)) == list(range(1, 101))
        own, user = sorted(spaces(watcher) - before)
        assert own.startswith("sleigh_ride_")
        assert user.startswith("sleigh_user_")
        assert own in str(s)
    wait_until(lambda: spaces(watcher) == before, "the sleigh's workspace has gone")
    assert nws_server.process.poll() is None


@pytest.mark.parametrize("form", ["nws://localhost:{port}", "{socket}"])
def test_the_environment_names_the_server(nws_server, connect, monkeypatch, form):
    watcher = connect()
    before = spaces(watcher)
    monkeypatch.setenv("NWS_URL", form.format(port=nws_server.port, socket=nws_server.socket))
    with Sleigh(workerCount=1, wsNameTemplate="mine_%d", userWsNameTemplate="ours_%d") as s:
        assert s.eachWorker(os.getpid) != [os.getpid()]
        own, user = sorted(spaces(watcher) - before)
        assert own.startswith("mine_")
        assert user.startswith("ours_")


def test_tasks_may_use_workspaces_of_the_same_server(nws_server, connect):
    port = nws_server.port

    def ask(x):
        ws = NetWorkSpace("exchange", "localhost", port, useUse=True)
        ws.store("questions", x)
        return ws.fetch(f"answer {x}")

    mine = connect().openWs("exchange")
    import threading

    def answer():
        for _ in range(6):
            question = mine.fetch("questions")
            mine.store(f"answer {question}", question * 10)

    thread = threading.Thread(target=answer)
    thread.start()
    with Sleigh(workerCount=2, nwsPort=port) as s:
        assert s.eachElem(ask, range(6)) == [0, 10, 20, 30, 40, 50]
    thread.join(20)
    assert not thread.is_alive()


def test_the_master_is_told_when_the_named_server_ends(tmp_path, monkeypatch):
    folder = tmp_path / "runtime"
    monkeypatch.setenv("NWS_RUNTIME_DIR", str(folder))
    with ServerProcess(folder) as server, Sleigh(workerCount=1, nwsPort=server.port) as s:
        assert s.eachElem(abs, [-1]) == [1]
        [pid] = s.eachWorker(os.getpid)
        os.kill(server.process.pid, signal.SIGKILL)
        with pytest.raises(SleighNwsException, match="server"):
            s.eachElem(abs, range(100_000))
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the worker has ended")


def test_a_master_that_is_killed_leaves_nothing_on_the_named_server(nws_server, connect, tmp_path):
    import subprocess

    watcher = connect()
    before = spaces(watcher)
    text = f"""
import os, signal
from nws.sleigh import Sleigh
s = Sleigh(workerCount=2, nwsPort={nws_server.port})
s.eachWorker(os.getpid)
os.kill(os.getpid(), signal.SIGKILL)
"""
    script = tmp_path / "master.py"
    script.write_text(text)
    done = subprocess.run([sys.executable, str(script)], timeout=50)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: spaces(watcher) == before, "the sleigh's workspace has gone")
    folder = Path(os.environ["NWS_RUNTIME_DIR"]) / "servers"
    assert len(list(folder.iterdir())) == 1, "only the named server's own folder"
