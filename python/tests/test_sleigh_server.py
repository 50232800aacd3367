"""A sleigh on a server that was there before it."""

import pytest

from nws.sleigh import Sleigh


@pytest.mark.parametrize("by_environment", [False, True])
def test_a_named_server_is_used_and_outlives_the_sleigh(nws_server, connect, monkeypatch, by_environment):
    named = {"nwsHost": "localhost", "nwsPort": nws_server.port}
    if by_environment:
        monkeypatch.setenv("NWS_URL", f"nws://localhost:{nws_server.port}")
        named = {}
    server = connect()
    with Sleigh(workerCount=2, **named) as s:
        assert s.eachElem(abs, range(-20, 0)) == list(range(20, 0, -1))
        spaces = [name for name in server.listWss("dict") if name.startswith("sleigh_ride_")]
        assert len(spaces) == 1
    assert spaces[0] not in server.listWss("dict")
