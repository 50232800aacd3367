"""The program `nws` is found, and the command of the package becomes it."""

import subprocess
import sys
from pathlib import Path

import pytest

from nws import _binary


def test_the_program_runs_as_the_command_of_the_package() -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'nws'; from nws._binary import main; main()",
        "--version",
    ]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert told.returncode == 0
    assert told.stdout.startswith("nws ")


def test_the_environment_names_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nws"
    program.touch()
    monkeypatch.setenv("NWS_BINARY", str(program))
    with pytest.raises(FileNotFoundError, match="NWS_BINARY names .* which is no program"):
        _binary.binary_path()
    program.chmod(0o755)
    assert _binary.binary_path() == program


def test_a_missing_program_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NWS_BINARY", raising=False)
    monkeypatch.setattr(_binary, "_candidates", lambda: [tmp_path / "nws"])
    with pytest.raises(FileNotFoundError, match="expected the program 'nws' at .*make setup"):
        _binary.binary_path()
    monkeypatch.setattr(sys, "argv", ["nws", "serve"])
    with pytest.raises(SystemExit, match="nws: expected the program"):
        _binary.main()
