import faulthandler
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

faulthandler.enable()


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., str]:
    """Runs a program text as a script of its own, and returns what it printed."""

    def run(text: str, *, by_stdin: bool = False, expect: int = 0, timeout_s: float = 50) -> str:
        script = tmp_path / "script.py"
        script.write_text(text)
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", *([] if by_stdin else [str(script)])],
            input=text if by_stdin else "",
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    return run
