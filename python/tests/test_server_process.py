"""The server of the tests does not outlive them."""

import os
import select
import subprocess
import sys
from pathlib import Path

KILLED = """
import os, sys
from pathlib import Path
from server_process import ServerProcess

with ServerProcess(Path(sys.argv[1])) as server:
    print(server.process.pid, flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), 9)
"""


def test_a_server_ends_where_the_tests_are_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path / "nws"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    ) as tests:
        assert tests.stdin is not None and tests.stdout is not None
        server = os.pidfd_open(int(tests.stdout.readline()))
        try:
            assert not select.select([server], [], [], 0)[0]
            tests.stdin.close()
            assert select.select([server], [], [], 30)[0], "the server is still there"
        finally:
            os.close(server)
