"""`NWS_URL` names the server, in the same forms for everybody."""

import asyncio
from pathlib import Path

import pytest

from nws import aio
from nws._sleigh.options import Options
from nws.client import NetWorkSpace, NwsServer
from nws.sleigh import SleighIllegalValueException
from server_process import ServerProcess

FORMS = {
    "nws://node7:9000": ("node7", 9000),
    "nws://node7:9000/": ("node7", 9000),
    "node7:9000": ("node7", 9000),
    "nws://node7": ("node7", 8765),
    "node7": ("node7", 8765),
    "nws://[::1]:9000": ("::1", 9000),
    "[::1]": ("::1", 8765),
    "/run/nws.sock": ("/run/nws.sock", 0),
    "unix:/run/nws.sock": ("/run/nws.sock", 0),
    "nws:///run/nws.sock": ("/run/nws.sock", 0),
    "unix:nws.sock": ("./nws.sock", 0),
}
WRONG = ["http://node7", "nws://", "nws://node7:x", "nws://node7:0", "node 7:1", "unix:"]


@pytest.mark.parametrize("url", FORMS)
def test_a_url_is_the_same_place_for_all(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host, port = FORMS[url]
    monkeypatch.setenv("NWS_URL", url)
    server = aio.NwsServer()
    assert (server.serverHost, server.serverPort) == (host, port)
    assert type(server.serverHost) is str
    assert type(server.serverPort) is int
    assert Options.checked({}).server() == ((f"unix:{host}", 0) if "/" in host else (host, port))


@pytest.mark.parametrize("url", WRONG)
def test_what_names_no_server_is_told_with_the_forms_that_do(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWS_URL", url)
    expected = r"NWS_URL: expected a server as nws://HOST:PORT, HOST:PORT, HOST, unix:PATH or /PATH, got "
    for connect in (NetWorkSpace, NwsServer, aio.NetWorkSpace, aio.NwsServer):
        with pytest.raises(ValueError, match=expected):
            connect()
    with pytest.raises(SleighIllegalValueException, match=expected):
        Options.checked({}).server()


@pytest.mark.parametrize("form", ["nws://localhost:{port}", "localhost:{port}", "{socket}", "unix:{socket}"])
def test_the_environment_names_the_server_of_a_workspace(
    nws_server: ServerProcess, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("NWS_URL", form.format(port=nws_server.port, socket=nws_server.socket))
    with NetWorkSpace("by url") as ws:
        ws.store("x", 1)

        async def main() -> int:
            async with aio.NetWorkSpace("by url") as other:
                return await other.fetch("x")

        assert asyncio.run(main()) == 1
    with NwsServer() as server:
        assert "__default" in server.listWss("dict")


def test_what_is_given_goes_before_the_environment(
    nws_server: ServerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NWS_URL", str(tmp_path / "nobody"))
    with NetWorkSpace("given", serverPort=nws_server.port) as ws:
        assert (ws.server.serverHost, ws.server.serverPort) == ("localhost", nws_server.port)
    # Also where it is what would be taken without a URL.
    assert aio.NwsServer("localhost").serverPort == 8765
    assert aio.NwsServer(port=8765).serverHost == "localhost"


@pytest.mark.parametrize("url", ["", None])
def test_without_a_url_it_is_the_usual_place(url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if url is None:
        monkeypatch.delenv("NWS_URL", raising=False)
    else:
        monkeypatch.setenv("NWS_URL", url)
    server = aio.NwsServer()
    assert (server.serverHost, server.serverPort) == ("localhost", 8765)
