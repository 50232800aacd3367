"""What each option of a sleigh does, where it does something here."""

import getpass
import os
import re
import socket
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from nws import sleigh
from nws._sleigh.options import Options
from nws.sleigh import Sleigh, SleighNwsException, SleighScriptException, defaultSleighOptions


def test_the_defaults_are_as_documented():
    documented = {
        "launch": "local",
        "workerCount": 3,
        "nodeList": ["localhost", "localhost", "localhost"],
        "scriptName": "PythonNWSSleighWorker.sh",
        "modulePath": None,
        "logDir": None,
        "wsNameTemplate": "sleigh_ride_%04d",
        "userWsNameTemplate": "sleigh_user_%04d",
        "verbose": False,
    }
    assert {name: getattr(Options.checked({}), name) for name in documented} == documented
    assert {name: defaultSleighOptions[name] for name in documented} == documented


def test_the_user_is_who_runs_the_program(run_script, monkeypatch):
    program = "from nws.sleigh import defaultSleighOptions\nprint(defaultSleighOptions['user'])"
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setenv("USERNAME", "another")
    assert run_script(program) == "somebody\n"
    monkeypatch.delenv("USER")
    assert run_script(program) == "another\n"
    assert getpass.getuser()


def test_every_option_has_a_default_that_a_program_can_change(monkeypatch):
    assert defaultSleighOptions.keys() == {option.name for option in fields(Options)}
    monkeypatch.setitem(defaultSleighOptions, "workerCount", 1)
    with Sleigh() as s:
        assert s.workerCount == 1
    assert Options.checked({"workerCount": 2}).workerCount == 2
    monkeypatch.setitem(defaultSleighOptions, "worker", 1)
    with pytest.raises(TypeError, match="defaultSleighOptions: unknown option 'worker'"):
        Sleigh()


def test_a_list_of_nodes_by_position_is_deprecated():
    with pytest.warns(DeprecationWarning, match="nodeList="):
        s = Sleigh(["localhost"], workerCount=1)
    with s:
        assert s.workerCount == 1
    with pytest.raises(TypeError, match="by name"):
        Sleigh(["localhost"], 3)


def test_what_only_other_launchers_use_changes_nothing():
    options = {
        "nodeList": ["far", "away"],
        "scriptExec": lambda *_: ["env"],
        "scriptDir": "/opt/nws",
        "scriptName": "worker.sh",
        "user": "nobody",
        "nwsHostRemote": "gateway",
        "nwsPortRemote": 9,
    }
    with Sleigh(workerCount=1, **options) as s:
        assert s.nodeList == ["localhost"]
        assert s.eachWorker(socket.gethostname) == [socket.gethostname()]


def test_the_working_folder_is_the_masters_unless_it_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inside").mkdir()
    with Sleigh(workerCount=1) as s:
        assert s.eachWorker(os.getcwd) == [str(tmp_path)]
    with Sleigh(workerCount=1, workingDir="inside") as s:
        assert s.eachWorker(os.getcwd) == [str(tmp_path / "inside")]


def test_modules_are_found_in_the_module_path_before_any_other(tmp_path):
    (tmp_path / "only_here.py").write_text("def f(x):\n    return x - 1\n")
    with Sleigh(workerCount=1, modulePath=tmp_path) as s:
        assert s.eachElem("__import__('only_here').f(SleighArguments[0])", (1,)) == [0]
        assert s.eachWorker("__import__('sys').path[0]") == [str(tmp_path)]


def test_another_python_is_used_where_it_is_named(tmp_path):
    program = tmp_path / "other python"
    program.write_text(f"#!/bin/sh\nMARK=here exec '{sys.executable}' \"$@\"\n")
    program.chmod(0o755)
    with Sleigh(workerCount=1, python=program) as s:
        assert s.eachWorker("__import__('os').environ['MARK']") == ["here"]


def test_what_workers_print_goes_to_the_outfile(tmp_path, capfd):
    path = tmp_path / "out.txt"
    path.write_text("before\n")
    with Sleigh(workerCount=2, outfile=path) as s:
        s.eachWorker("import os; print('printed'); os.write(2, b'complained\\n')")
    lines = sorted(path.read_text().splitlines())
    assert lines == ["before", "complained", "complained", "printed", "printed"]
    assert capfd.readouterr() == ("", "")
    with pytest.raises(SleighNwsException, match="outfile: cannot write"):
        Sleigh(workerCount=1, outfile=tmp_path)


def test_a_log_folder_gets_the_log_of_each_worker(tmp_path, capfd):
    with Sleigh(workerCount=2, logDir=tmp_path) as s:
        s.eachElem("SleighArguments[0] / 0", (1,))
        files = [info["logfile"] for info in s.workerInfo()]
    assert sorted(os.listdir(tmp_path)) == sorted(os.path.basename(file) for file in files)
    assert all(os.path.basename(file).startswith("sleigh_ride") for file in files)
    texts = [Path(file).read_text() for file in files]
    assert all("has joined as process" in text and "ends: the sleigh was stopped" in text for text in texts)
    assert sum("ZeroDivisionError: division by zero" in text for text in texts) == 1
    assert not any("begins a task" in text for text in texts)
    assert capfd.readouterr().err == ""


def test_a_log_that_cannot_be_written_is_told_and_ends_no_worker(capfd):
    with Sleigh(workerCount=1, logDir="/proc") as s:
        assert s.workerInfo()[0]["logfile"] is None
    assert "worker 0 has no log" in capfd.readouterr().err


def test_without_a_log_folder_there_is_no_log(tmp_path):
    with Sleigh(workerCount=1, workingDir=tmp_path) as s:
        assert s.workerInfo()[0]["logfile"] is None
    assert os.listdir(tmp_path) == []


def test_a_verbose_sleigh_tells_what_it_does(tmp_path, capfd):
    with Sleigh(workerCount=1, verbose=True, workingDir=tmp_path) as s:
        s.eachElem("SleighArguments[0] + 1", (1,))
        s.eachElem(abs, (1, "x"))
    (log,) = os.listdir(tmp_path)
    assert log.startswith("sleigh_ride")
    text = re.sub(r"(?m)^\d{4}-\S+ \S+ ", "", (tmp_path / log).read_text())
    assert "begins a task: 'SleighArguments[0] + 1'\nends the task\n" in text
    assert "begins a task: abs\nends the task: TypeError\na task failed:\nTypeError: bad" in text
    err = capfd.readouterr().err
    for word in ("has started", "worker 0 has joined", "begins a call of abs", "the call is over", "is stopped"):
        assert word in err


def test_workspaces_have_the_names_of_their_templates():
    with Sleigh(workerCount=1, wsNameTemplate="mine%d", userWsNameTemplate="ours%03d") as s:
        assert s.nws.currentWs().startswith("mine")
        assert s.userNws.currentWs().startswith("ours0")
        assert s.eachWorker("SleighNws.currentWs(), SleighUserNws.currentWs()") == [
            (s.nws.currentWs(), s.userNws.currentWs())
        ]


def test_the_users_workspace_may_be_one_that_is_there(nws_server, connect):
    space = connect().openWs("standing")
    space.store("x", 6)
    with Sleigh(workerCount=1, nwsPort=nws_server.port, userNwsName="standing") as s:
        assert s.eachWorker("SleighUserNws.store('y', SleighUserNws.find('x') * 7)") == [None]
        assert s.userNws.currentWs() == "standing"
    assert space.find("y") == 42
    with Sleigh(workerCount=1, userNwsName="its own") as s:
        s.userNws.store("x", 1)
        assert s.eachWorker("SleighUserNws.find('x')") == [1]


def test_workers_reach_the_server_where_they_are_told_to(nws_server):
    with Sleigh(
        workerCount=1, nwsHost=nws_server.socket, nwsHostRemote="127.0.0.1", nwsPortRemote=nws_server.port
    ) as s:
        assert s.eachWorker("SleighNws.server.serverHost, SleighNws.server.serverPort")
        assert s.eachElem(abs, [-1]) == [1]
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    with pytest.raises(SleighNwsException, match=str(port)):
        with Sleigh(workerCount=1, nwsPort=nws_server.port, nwsPortRemote=port) as s:
            s.eachElem(abs, [-1])


def test_a_package_without_its_program_says_what_is_missing(monkeypatch):
    def missing():
        raise FileNotFoundError("the program nws is not in this package")

    monkeypatch.setattr("nws._sleigh.starting.binary_path", missing)
    with pytest.raises(SleighScriptException, match="the program nws"):
        Sleigh()


def test_everything_public_is_listed():
    documented = {
        "Sleigh", "SleighPending", "SleighResultIterator", "SleighException", "SleighNwsException",
        "SleighGatheredException", "SleighStoppedException", "SleighOccupiedException", "SleighIllegalValueException",
        "SleighScriptException", "SleighTaskException", "SleighJoinException",
    }  # fmt: skip
    assert documented <= set(sleigh.__all__)
    assert all(hasattr(sleigh, name) for name in sleigh.__all__)
