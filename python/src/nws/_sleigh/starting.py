"""What a sleigh starts with: its host process, its workers, and what each worker is told."""

import json
import os
import sys
from typing import Any

from nws import _native
from nws._binary import binary_path
from nws._sleigh.exceptions import SleighScriptException
from nws._sleigh.options import Options

__all__ = ["start"]


def start(options: Options, awaits_set_up: bool) -> _native.SleighCore:
    """Start host, workers, and a server where none is named.

    Workers that await what they are set up with do not begin without it.

    Raises `SleighScriptException` where the program `nws` is not in this package, `SleighNwsException` where the server
    cannot be reached or nothing can be started.
    """
    try:
        binary = binary_path()
    except FileNotFoundError as error:
        raise SleighScriptException(str(error)) from None
    program = options.program()
    return _native.SleighCore(
        binary=str(binary),
        template=options.wsNameTemplate,
        server=options.server(),
        worker_server=options.worker_server(),
        worker_count=options.workerCount,
        program=program,
        args=_arguments(program),
        env=options.environment(),
        cwd=options.workingDir or os.getcwd(),
        captures=options.captured() != "inherit",
        memory_limit_bytes=options.memoryLimit,
        outfile=options.outfile,
        settings=json.dumps({**_settings(options), "awaits_set_up": awaits_set_up}),
    )


def _settings(options: Options) -> dict[str, Any]:
    path = [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]
    if options.modulePath:
        path.insert(0, options.modulePath)
    return {
        "argv": [argument for argument in sys.argv if isinstance(argument, str)],
        "path": path,
        "verbose": options.verbose,
        "output_limit": options.outputLimit,
        "log_folder": options.logDir or ("." if options.verbose else None),
        "faulthandler": True,
    }


def _arguments(python: str) -> list[str]:
    """Return the arguments of the Python that becomes a worker."""
    if python != sys.executable:
        return ["-c", "from nws._worker import main; main()"]
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

    # The same Python finds this package where this process found it, however that was.
    place = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    find = f"import sys; sys.path.insert(0, {place!r}); from nws._worker import main; main()"
    return [*_args_from_interpreter_flags(), "-c", find]
