"""Processes that a host starts for a Python master."""

import os
import select
import signal
import subprocess
import sys
import textwrap

import pytest

from leftovers import tree, wait_for_ends
from nws._binary import binary_path
from nws._native import CommandEvent, CommandHost


@pytest.fixture
def host():
    host = CommandHost(binary_path())
    yield host
    host.stop()


def next_of(host: CommandHost, kind: str) -> CommandEvent:
    """The next event of this kind; `host_died` where that comes first."""
    while (event := host.next_event(30)) is not None:
        if event.kind in (kind, "host_died"):
            return event
    raise AssertionError(f"no event {kind!r} came")


def test_a_command_reads_and_writes_its_pipes_and_its_end_has_a_cause(host):
    (its_input, stdin), (stdout, its_output) = os.pipe(), os.pipe()
    number = host.launch(["sh", "-c", "cat; echo last >&2; exit 3"], stdin=its_input, stdout=its_output)
    os.close(its_input)
    os.close(its_output)
    os.write(stdin, b"a\0b")
    os.close(stdin)
    with open(stdout, "rb") as stream:
        assert stream.read() == b"a\0b"
    assert next_of(host, "started").pid > 1
    ended = next_of(host, "ended")
    assert (ended.id, ended.cause.exit_code, ended.cause.signal) == (number, 3, None)
    assert ended.cause.stderr_tail == ["last"]
    assert str(ended.cause) == ended.cause.text
    assert "exit code 3" in ended.cause.text


def test_environment_folder_and_further_descriptors(host, tmp_path):
    out, its_output = os.pipe()
    script = "pwd >&9; echo $ONE${HOME-none}$1 >&9"
    env = [("ONE", "1"), ("HOME", None)]
    host.launch(["sh", "-c", script, "sh", "caf\udce9"], descriptors=[(its_output, 9)], env=env, cwd=tmp_path)
    os.close(its_output)
    with open(out, "rb") as stream:
        assert stream.read().splitlines() == [os.fsencode(tmp_path.resolve()), b"1nonecaf\xe9"]


def test_what_cannot_be_started_is_an_event_and_what_cannot_be_asked_an_error(host):
    number = host.launch(["no-such-program-anywhere"])
    event = next_of(host, "not_started")
    assert (event.id, event.pid, event.cause) == (number, None, None)
    assert "no such program" in event.message
    with pytest.raises(ValueError, match="got no arguments"):
        host.launch([])
    with pytest.raises(ValueError, match="open descriptor, got -1"):
        host.launch(["true"], stdout=-1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        host.launch(["true"], stdout=999)
    with pytest.raises(ValueError, match="3 to 63, got 2"):
        host.launch(["true"], descriptors=[(0, 2)])
    with pytest.raises(OSError, match="cannot start"):
        CommandHost("/no/such/program")


def test_the_descriptor_is_readable_while_an_event_waits(host):
    assert host.next_event(0) is None
    assert select.select([host.fileno()], [], [], 0)[0] == []
    host.launch(["true"])
    for kind in ("started", "ended"):
        assert select.select([host.fileno()], [], [], 30)[0] == [host.fileno()]
        assert host.next_event(0).kind == kind
    assert select.select([host.fileno()], [], [], 0)[0] == []


def test_who_is_ended_or_asked_to_end_ends(host):
    asked, ended = host.launch(["sleep", "1000"]), host.launch(["sleep", "1000"])
    host.ask_to_end(asked)
    host.end(ended)
    signals = {event.id: event.cause.signal for event in (next_of(host, "ended"), next_of(host, "ended"))}
    assert signals == {asked: signal.SIGTERM, ended: signal.SIGKILL}


def test_a_host_that_is_stopped_or_forgotten_leaves_nothing():
    host = CommandHost(binary_path())
    host.launch(["sh", "-c", "setsid sleep 1000 & sleep 1000"])
    assert next_of(host, "started")
    processes = tree(host.pid)
    host.stop()
    wait_for_ends(processes)
    assert next_of(host, "host_died").cause.text == "it was stopped"
    with pytest.raises(ChildProcessError, match="has ended"):
        host.launch(["true"])
    host = CommandHost(binary_path())
    host.launch(["sleep", "1000"])
    assert next_of(host, "started")
    processes = tree(host.pid)
    del host
    wait_for_ends(processes)


def test_a_host_that_is_killed_is_told_and_leaves_nothing(host):
    host.launch(["sleep", "1000"])
    assert next_of(host, "started")
    processes = tree(host.pid)
    os.kill(processes[1], signal.SIGKILL)
    assert "SIGKILL" in next_of(host, "host_died").cause.text
    wait_for_ends(processes)


def test_a_forks_copy_ends_nothing(host):
    host.launch(["sleep", "1000"])
    assert next_of(host, "started")
    pid = os.fork()
    if pid == 0:
        try:
            host.stop()
            host.launch(["true"])
        except ChildProcessError:
            try:
                host.next_event(0)
            except RuntimeError:
                os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    number = host.launch(["true"])
    assert next_of(host, "ended").id == number


def test_control_c_ends_a_wait_and_the_program_with_all_it_started():
    script = """
        import nws._native as native
        from nws._binary import binary_path
        host = native.CommandHost(binary_path())
        host.launch(["sleep", "1000"])
        print(host.next_event().pid, host.pid, flush=True)
        host.next_event()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as program:
        processes = tree(int(program.stdout.readline().split()[1]))
        os.killpg(program.pid, signal.SIGINT)
        _, errors = program.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    wait_for_ends(processes)
