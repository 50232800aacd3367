"""The program `pybabelfish`: shows people what Python stored, where other programs cannot read it.

It fetches values from the variable `food` of the workspace `Python babelfish` and stores the text of each in `doof`, as
the command `nws find`, and whoever else wants to show values to people, expects it. It unpickles the values to do so,
which runs what their senders wrote, as the user that it runs as: start it only where you would run their programs.

Each value is read in a process of its own that ends with it, within bounds of time and memory, and its text is cut. One
that raises, hangs, crashes or is huge gets a text that says so.
"""

import argparse
import contextlib
import signal
import sys
from types import FrameType
from typing import Final

from nws._client.listings import HOST, PORT
from nws._reader import TIMEOUT_S, Reader
from nws.client import NetWorkSpace, NwsException, NwsNoWorkSpaceException, NwsOperationException, NwsServer

__all__ = ["main", "serve"]

WORKSPACE: Final = "Python babelfish"
FOOD: Final = "food"
TEXT: Final = "doof"


def serve(server: NwsServer, timeout_s: float = TIMEOUT_S) -> None:
    """Serve until the connection ends; where the workspace is deleted, make it again.

    A value may take `timeout_s` seconds. Raises `NwsServerException` at the end of the connection.
    """
    with Reader(timeout_s) as reader:
        while True:
            with contextlib.suppress(NwsNoWorkSpaceException):
                _serve_workspace(server.openWs(WORKSPACE), reader)


def _serve_workspace(space: NetWorkSpace, reader: Reader) -> None:
    while True:
        try:
            # As it is stored: nothing is unpickled here.
            food = space._workspace.retrieve(FOOD, True, None, raw=True).wait()
            space.store(TEXT, reader.text(food.descriptor, food.view()), encoding="text")
        except NwsNoWorkSpaceException:
            raise
        except NwsOperationException as error:
            # Whoever deletes a variable or has no room for a text ends nothing here.
            print(f"pybabelfish: {error}", file=sys.stderr, flush=True)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    # -h is the host, as it has always been.
    parser = argparse.ArgumentParser("pybabelfish", add_help=False, description=__doc__.partition("\n\n")[0])
    parser.add_argument("-h", "--host", default=HOST, help="the server's host, or the path of its Unix socket")
    parser.add_argument("-p", "--port", type=int, default=PORT, help="its port (default: 8765)")
    parser.add_argument(
        "-t", "--timeout", type=float, default=TIMEOUT_S, help=f"seconds that a value may take (default: {TIMEOUT_S})"
    )
    parser.add_argument("--help", action="help", help="show this and exit")
    arguments = parser.parse_args(argv)
    if not arguments.timeout > 0:
        parser.error(f"argument -t/--timeout: expected more than 0 seconds, got {arguments.timeout}")
    return arguments


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM or Ctrl-C (0), or until there is no server any more (1)."""
    arguments = _arguments(argv)
    signal.signal(signal.SIGTERM, _end)
    try:
        with NwsServer(arguments.host, arguments.port) as server:
            # Who reads the next line may ask at once.
            server.openWs(WORKSPACE)
            print(f"pybabelfish: serving at {server.serverHost}:{server.serverPort}", flush=True)
            serve(server, arguments.timeout)
    except KeyboardInterrupt:
        return 0
    except NwsException as error:
        print(f"pybabelfish: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
