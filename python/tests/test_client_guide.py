"""Every fact that the user guide states of its module `nws.client` (chapters 2.3 and 3.1, and appendix A.1), and the
tests that hold it.

The table is in our words. What no other file tests is tested below.
"""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nws import client
from nws.client import NetWorkSpace, NwsServer, NwsServerException, NwsValueIterator
from waits import in_thread, until_waiting

HERE = Path(__file__).parent

# Place in the guide: what it states, and which tests hold it (file::test; this file where none is named).
FACTS: list[tuple[str, str, list[str]]] = [
    ("2.3.2", "a workspace by its name alone, at the usual place", ["test_without_arguments_it_is_the_usual_place"]),
    (
        "2.3.2",
        "a babelfish tells values that are no strings",
        ["test_babelfish::test_a_value_is_told_as_python_writes_it"],
    ),
    ("2.3.2", "-h and -p say where its server is", ["test_babelfish::test_old_programs_ask_as_they_always_did"]),
    ("3.1", "store, and find again and again", ["test_the_tutorial_runs_as_it_is_told"]),
    ("3.1", "findTry gives None, or what is named, for what is not there", ["test_the_tutorial_runs_as_it_is_told"]),
    ("3.1", "values are kept in order; find gives the first", ["test_the_tutorial_runs_as_it_is_told"]),
    (
        "3.1",
        "fetch one after the other, a known number or until there are none",
        ["test_the_tutorial_runs_as_it_is_told"],
    ),
    ("3.1", "a second program opens the same workspace and does not make it anew", ["test_two_programs_meet"]),
    ("3.1", "a fetch in one goes on when the other stores", ["test_two_programs_meet"]),
    ("A.1", "store and fetch a number in a workspace", ["test_client::test_a_value_comes_back_as_it_was"]),
    ("A.1.1", "the constants and their values", ["test_the_constants_are_the_documented_ones"]),
    ("A.1.2", "a variable is a list of pickled objects", ["test_client::test_arrays_and_functions_come_back"]),
    ("A.1.2", "store adds a value", ["test_client::test_the_modes_order_their_values"]),
    ("A.1.2", "which value find gives is up to the mode", ["test_find_gives_the_value_that_the_mode_says"]),
    ("A.1.2", "find waits where there is none", ["test_client::test_fetch_and_find_wait_for_a_value"]),
    ("A.1.2", "a Try gives the default instead", ["test_client::test_missing_is_given_where_there_is_no_value"]),
    ("A.1.2", "fetch also removes the value", ["test_client::test_a_value_comes_back_as_it_was"]),
    ("A.1.2", "one of many blocked fetchers gets it", ["test_client::test_many_threads_wait_on_one_connection"]),
    ("__init__", "the arguments and their defaults", ["test_the_signatures_are_the_documented_ones"]),
    ("__init__", "two clients meet by a workspace's name", ["test_client::test_fetch_and_find_wait_for_a_value"]),
    ("__init__", "the first who is willing owns it", ["test_the_first_who_opens_a_workspace_owns_it"]),
    (
        "__init__",
        "serverHost, serverPort without server",
        ["test_client::test_networkspace_makes_or_takes_its_connection"],
    ),
    ("__init__", "they do not count beside server", ["test_host_and_port_do_not_count_beside_a_server"]),
    ("__init__", "useUse: never the owner", ["test_the_first_who_opens_a_workspace_owns_it"]),
    ("__init__", "server: the connection to use", ["test_client::test_networkspace_makes_or_takes_its_connection"]),
    (
        "__init__",
        "persistent: it outlives its owner",
        ["test_client::test_a_workspace_goes_with_its_owner_unless_it_is_persistent"],
    ),
    ("__init__", "persistent counts only of who becomes owner", ["test_only_who_becomes_owner_makes_it_persistent"]),
    ("__init__", "create: whether to make it", ["test_client::test_create_false_opens_only_what_is_there"]),
    ("__init__", "no other keywords", ["test_keywords_that_are_not_there_are_refused"]),
    ("__str__", "both classes have one", ["test_client::test_networkspace_makes_or_takes_its_connection"]),
    ("currentWs", "the name as a string", ["test_client::test_create_false_opens_only_what_is_there"]),
    ("declare", "four modes and their orders", ["test_client::test_the_modes_order_their_values"]),
    ("declare", "single keeps one value, replaced by a store", ["test_client::test_the_modes_order_their_values"]),
    ("declare", "store makes a variable fifo", ["test_client::test_a_mode_does_not_change"]),
    ("declare", "a mode that is none of the four", ["test_a_mode_that_is_none_of_the_four_fails"]),
    ("declare", "a mode never changes", ["test_client::test_a_mode_does_not_change"]),
    (
        "deleteVar",
        "values are destroyed, blocked operations aborted",
        ["test_client::test_deleting_a_variable_ends_the_waits_for_it", "test_deleting_a_variable_destroys_its_values"],
    ),
    ("fetch", "returns and removes; blocks", ["test_client::test_fetch_and_find_wait_for_a_value"]),
    ("fetch", "others may have seen it by find", ["test_a_value_that_was_found_is_still_fetched_once"]),
    (
        "fetchFile",
        "returns how many bytes were written",
        ["test_client_files::test_bytes_and_strings_go_to_binary_files_and_to_files_of_text"],
    ),
    ("fetchFile", "blocks", ["test_client_files::test_a_file_waits_for_its_value"]),
    ("fetchTry", "missing, None by default", ["test_client::test_missing_is_given_where_there_is_no_value"]),
    (
        "fetchTryFile",
        "does not block",
        ["test_client_files::test_trying_writes_nothing_where_there_is_no_value"],
    ),
    ("find", "the value stays", ["test_client::test_a_value_comes_back_as_it_was"]),
    ("findFile", "writes and leaves the value", ["test_client_files::test_a_file_waits_for_its_value"]),
    ("findTry", "missing, None by default", ["test_client::test_missing_is_given_where_there_is_no_value"]),
    ("findTryFile", "does not block", ["test_client_files::test_trying_writes_nothing_where_there_is_no_value"]),
    (
        "ifetch",
        "an iterator that fetches",
        ["test_client_iterators::test_each_value_is_seen_once_and_in_order"],
    ),
    ("ifetch", "fifo and single only", ["test_client_iterators::test_lifo_and_multi_have_no_iterators"]),
    (
        "ifetchTry",
        "an iterator that fetches while there are values",
        ["test_client_iterators::test_a_trying_iterator_ends_until_it_is_restarted"],
    ),
    ("ifetchTry", "fifo and single only", ["test_client_iterators::test_lifo_and_multi_have_no_iterators"]),
    (
        "ifind",
        "every value, and never twice",
        ["test_client_iterators::test_each_value_is_seen_once_and_in_order"],
    ),
    (
        "ifind",
        "blocks for a new value",
        ["test_client_iterators::test_a_waiting_iterator_waits_for_the_next_value"],
    ),
    (
        "ifind",
        "fifo and single only",
        [
            "test_client_iterators::test_lifo_and_multi_have_no_iterators",
            "test_client_iterators::test_every_new_value_of_a_single_variable_is_seen",
        ],
    ),
    (
        "ifindTry",
        "finishes where there are no more",
        ["test_client_iterators::test_a_trying_iterator_ends_until_it_is_restarted"],
    ),
    ("ifindTry", "fifo and single only", ["test_client_iterators::test_lifo_and_multi_have_no_iterators"]),
    (
        "listVars",
        "both formats, this workspace or another",
        ["test_client::test_the_listings_have_their_documented_forms"],
    ),
    ("listVars", "fetchers and finders are counted", ["test_fetchers_and_finders_are_listed"]),
    ("store", "a new value", ["test_client::test_a_value_comes_back_as_it_was"]),
    (
        "storeFile",
        "returns how many bytes were read",
        ["test_client_files::test_a_file_becomes_values_of_at_most_n_bytes"],
    ),
    ("storeFile", "0 and no store at the end", ["test_client_files::test_the_end_of_a_file_stores_nothing"]),
    ("storeFile", "n is the most, 0 is all", ["test_client_files::test_all_of_a_file_is_stored_where_n_is_0"]),
    ("A.1.3", "no connection can be made", ["test_client::test_no_server_says_how_to_start_one"]),
    ("A.1.4", "the connection is dropped", ["test_client::test_the_end_of_the_server_ends_the_waits"]),
    ("A.1.5", "a declaration fails", ["test_client::test_a_mode_does_not_change"]),
    ("A.1.6", "the base of all exceptions", ["test_errors::test_the_tree_of_exceptions_is_the_documented_one"]),
    ("A.1.7", "no such workspace", ["test_client::test_deleting_a_workspace_ends_what_it_was"]),
    ("A.1.8", "an operation fails", ["test_client::test_deleting_a_variable_ends_the_waits_for_it"]),
    ("A.1.9", "NwsServer: host and port", ["test_the_signatures_are_the_documented_ones"]),
    (
        "close",
        "workspaces owned go, unless they are persistent",
        ["test_client::test_a_workspace_goes_with_its_owner_unless_it_is_persistent"],
    ),
    ("deleteWs", "deletes the named workspace", ["test_client::test_deleting_a_workspace_ends_what_it_was"]),
    ("listWss", "lines of fields, and who owns it", ["test_client::test_the_listings_have_their_documented_forms"]),
    ("mktempWs", "a unique name from the template", ["test_client::test_a_temporary_workspace_has_a_name_of_its_own"]),
    ("mktempWs", "unowned until it is opened", ["test_a_temporary_workspace_is_owned_by_who_opens_it"]),
    (
        "mktempWs",
        "the template has one integer conversion",
        ["test_client::test_a_temporary_workspace_has_a_name_of_its_own"],
    ),
    ("openWs", "makes a space of this server", ["test_open_and_use_make_spaces_of_the_server"]),
    ("openWs", "space must bear the name", ["test_client::test_wrong_arguments_are_told"]),
    ("openWs", "persistent and create", ["test_client::test_create_false_opens_only_what_is_there"]),
    ("openWs", "nearly the same as NetWorkSpace(name)", ["test_open_and_use_make_spaces_of_the_server"]),
    ("useWs", "makes a space that is never the owner's", ["test_open_and_use_make_spaces_of_the_server"]),
    ("useWs", "space must bear the name", ["test_the_given_space_is_the_one_that_is_opened"]),
    ("useWs", "create", ["test_client::test_create_false_opens_only_what_is_there"]),
    ("A.1.10", "the server cannot be talked to", ["test_errors::test_the_tree_of_exceptions_is_the_documented_one"]),
    ("A.1.11", "an unknown operation", ["test_errors::test_a_code_becomes_its_exception"]),
    (
        "A.1.12",
        "what the iterator methods return",
        ["test_client_iterators::test_each_value_is_seen_once_and_in_order"],
    ),
    ("A.1.12", "__init__, __iter__, next", ["test_the_signatures_are_the_documented_ones"]),
    ("reset", "as when it was made", ["test_client_iterators::test_reset_goes_back_to_the_beginning"]),
    (
        "restart",
        "StopIteration goes on until it is called; then new values only",
        ["test_client_iterators::test_a_trying_iterator_ends_until_it_is_restarted"],
    ),
    ("writeTo", "all values go to a file, and stay", ["test_all_values_go_to_a_file_and_stay"]),
    (
        "writeTo",
        "in little memory",
        ["test_client_streams::test_a_value_that_cannot_be_written_whole_is_back_at_its_place"],
    ),
    (
        "writeTo",
        "writes the next value, returns its bytes",
        ["test_client_iterators::test_write_to_writes_the_next_value"],
    ),
]


def named_tests(file: str) -> set[str]:
    tree = ast.parse((HERE / f"{file}.py").read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize(("place", "fact", "tests"), FACTS)
def test_a_fact_of_the_guide_has_its_test(place: str, fact: str, tests: list[str]) -> None:
    assert tests, (place, fact)
    for test in tests:
        file, _, name = test.rpartition("::")
        assert name in named_tests(file or Path(__file__).stem), f"{place}: {fact}"


def test_every_method_of_the_guide_has_its_facts() -> None:
    places = {place for place, _, _ in FACTS}
    for kind in (NetWorkSpace, NwsServer, NwsValueIterator):
        documented = set(SIGNATURES[kind]) - {"next"}
        assert documented <= places, kind


def test_the_constants_are_the_documented_ones() -> None:
    expected = {
        "DICT": "dict", "STRING": "string", "FIFO": "fifo", "LIFO": "lifo", "MULTI": "multi", "SINGLE": "single",
        "V_VARIABLE": 0, "V_VALUES": 1, "V_FETCHERS": 2, "V_FINDERS": 3, "V_MODE": 4,
        "WS_NAME": 0, "WS_MINE": 1, "WS_OWNER": 2, "WS_PERSISTENT": 3, "WS_NUMVARS": 4, "WS_VARLIST": 5,
    }  # fmt: skip
    assert {name: getattr(client, name) for name in expected} == expected
    assert expected.keys() <= set(client.__all__)


SIGNATURES: dict[type, dict[str, str]] = {
    NetWorkSpace: {
        "__init__": "wsName='__default', serverHost='localhost', serverPort=8765, useUse=False, server=None",
        "currentWs": "",
        "declare": "varName, mode",
        "deleteVar": "varName",
        "fetch": "varName",
        "fetchFile": "varName, fobj",
        "fetchTry": "varName, missing=None",
        "fetchTryFile": "varName, fobj",
        "find": "varName",
        "findFile": "varName, fobj",
        "findTry": "varName, missing=None",
        "findTryFile": "varName, fobj",
        "ifetch": "varName",
        "ifetchTry": "varName",
        "ifind": "varName",
        "ifindTry": "varName",
        "listVars": "wsName=None, format='string'",
        "store": "varName, val",
        "storeFile": "varName, fobj, n=0",
    },
    NwsServer: {
        "__init__": "host='localhost', port=8765",
        "close": "",
        "deleteWs": "wsName",
        "listWss": "format='string'",
        "mktempWs": "wsName='__pyws__%d'",
        "openWs": "wsName, space=None",
        "useWs": "wsName, space=None",
    },
    NwsValueIterator: {"__init__": "ws, varName, op", "next": "", "reset": "", "restart": "", "writeTo": "fobj"},
}


@pytest.mark.parametrize(
    ("kind", "method", "documented"),
    [(kind, method, documented) for kind, methods in SIGNATURES.items() for method, documented in methods.items()],
)
def test_the_signatures_are_the_documented_ones(kind: type, method: str, documented: str) -> None:
    """What we add are keywords, so that no documented call means anything else."""
    parameters = list(inspect.signature(getattr(kind, method)).parameters.values())[1:]
    positional = [
        name.name if name.default is name.empty else f"{name.name}={name.default!r}"
        for name in parameters
        if name.kind is name.POSITIONAL_OR_KEYWORD
    ]
    assert ", ".join(positional) == documented
    assert all(
        name.kind is name.KEYWORD_ONLY and name.default is not name.empty for name in parameters[len(positional) :]
    )
    if method in ("openWs", "useWs") or (kind is NetWorkSpace and method == "__init__"):
        assert {name.name for name in parameters[len(positional) :]} == {"persistent", "create"}


def test_without_arguments_it_is_the_usual_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody may be there: what counts is where it is looked for."""
    monkeypatch.setenv("NWS_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("NWS_URL", raising=False)
    places: list[tuple[str, int]] = []

    def connect(host: str, port: int) -> None:
        places.append((host, port))
        raise NwsServerException("nobody is there")

    monkeypatch.setattr("nws._native.Connection", connect)
    for make in (lambda: NetWorkSpace("Python space"), NwsServer):
        with pytest.raises(NwsServerException, match="nobody is there"):
            make()
    assert places == [("localhost", 8765)] * 2


def test_the_tutorial_runs_as_it_is_told(ws: NetWorkSpace) -> None:
    ws.store("age", 17)
    assert [ws.find("age"), ws.find("age")] == [17, 17]
    assert ws.findTry("not there") is None
    assert ws.findTry("not there", 0) == 0
    ages = [16, 19, 25, 22]
    for age in ages:
        ws.store("ages", age)
    assert ws.find("ages") == 16
    assert [ws.fetch("ages") for _ in range(4)] == ages
    ws.storeMany("ages", ages)
    assert list(iter(lambda: ws.fetchTry("ages"), None)) == ages


def test_two_programs_meet(connect: Callable[[], NwsServer]) -> None:
    one = connect().openWs("bay port")
    one.store("kept", 1)
    other = NetWorkSpace("bay port", server=connect())
    assert other.find("kept") == 1
    waiting = in_thread(one.fetch, "frank")
    until_waiting(other, "frank", 1)
    other.store("frank", 18)
    assert waiting.result(10) == 18


def test_keywords_that_are_not_there_are_refused(connect: Callable[[], NwsServer]) -> None:
    server = connect()
    with pytest.raises(TypeError, match="lasting"):
        NetWorkSpace("x", server=server, lasting=True)  # type: ignore[call-arg]
    for make in (server.openWs, server.useWs):
        with pytest.raises(TypeError, match="lasting"):
            make("x", lasting=True)  # type: ignore[call-arg]


def test_a_mode_that_is_none_of_the_four_fails(ws: NetWorkSpace) -> None:
    for mode in ("FIFO", "", "queue"):
        with pytest.raises(client.NwsDeclarationFailedException, match="'fifo', 'lifo', 'multi' or 'single'"):
            ws.declare("x", mode)  # type: ignore[arg-type]
    assert ws.listVars() == ""


def write_next(values: NwsValueIterator, file: Any) -> int | None:
    try:
        return values.writeTo(file)
    except StopIteration:
        return None


def test_all_values_go_to_a_file_and_stay(ws: NetWorkSpace, tmp_path: Path) -> None:
    lines = [f"line {number}\n" for number in range(100)]
    ws.storeMany("log", lines)
    for _ in range(2):
        values = ws.ifindTry("log")
        with (tmp_path / "log").open("wb") as file:
            counts = list(iter(lambda: write_next(values, file), None))  # noqa: B023
        assert counts == [len(line) for line in lines]
        assert (tmp_path / "log").read_text() == "".join(lines)


def test_find_gives_the_value_that_the_mode_says(ws: NetWorkSpace) -> None:
    for mode, expected in [("fifo", {0}), ("lifo", {4}), ("multi", {0, 1, 2, 3, 4}), ("single", {4})]:
        ws.declare(mode, mode)  # type: ignore[arg-type]
        ws.storeMany(mode, range(5))
        assert {ws.find(mode) for _ in range(300)} == expected


def test_the_first_who_opens_a_workspace_owns_it(connect: Callable[[], NwsServer]) -> None:
    first, second, third = connect(), connect(), connect()

    def owners() -> list[bool]:
        return [server.listWss("dict")["owned"][client.WS_MINE] for server in (first, second, third)]

    NetWorkSpace("owned", useUse=True, server=first)
    assert owners() == [False, False, False]
    NetWorkSpace("owned", server=second)
    assert owners() == [False, True, False]
    NetWorkSpace("owned", server=third)
    assert owners() == [False, True, False]


def test_host_and_port_do_not_count_beside_a_server(connect: Callable[[], NwsServer]) -> None:
    server = connect()
    assert NetWorkSpace("x", "no.such.host.invalid", 1, server=server).server is server


def test_only_who_becomes_owner_makes_it_persistent(connect: Callable[[], NwsServer]) -> None:
    owner, other = connect(), connect()
    NetWorkSpace("lasts", useUse=True, server=other, persistent=True)
    assert other.listWss("dict")["lasts"][client.WS_PERSISTENT] is False
    owner.openWs("lasts")
    other.openWs("lasts", persistent=True)
    assert other.listWss("dict")["lasts"][client.WS_PERSISTENT] is False


def test_deleting_a_variable_destroys_its_values(ws: NetWorkSpace) -> None:
    ws.storeMany("x", range(5))
    ws.deleteVar("x")
    assert ws.listVars() == ""
    assert ws.fetchTry("x", "none") == "none"


def test_a_value_that_was_found_is_still_fetched_once(ws: NetWorkSpace) -> None:
    ws.store("x", 1)
    assert [ws.find("x"), ws.findTry("x"), ws.fetchTry("x"), ws.fetchTry("x")] == [1, 1, 1, None]


def test_fetchers_and_finders_are_listed(ws: NetWorkSpace) -> None:
    waits = [in_thread(ws.fetch, "x"), in_thread(ws.fetch, "x"), in_thread(ws.find, "x")]
    until_waiting(ws, "x", 2, 1)
    assert ws.listVars() == "x\t0\t2\t1\tunknown"
    ws.storeMany("x", [1, 2])
    assert {wait.result(10) for wait in waits} == {1, 2}


def test_a_temporary_workspace_is_owned_by_who_opens_it(connect: Callable[[], NwsServer]) -> None:
    server, other = connect(), connect()
    name = server.mktempWs("example_%d")
    assert name.startswith("example_")
    assert server.listWss("dict")[name][client.WS_OWNER] == ""
    other.openWs(name)
    assert other.listWss("dict")[name][client.WS_MINE] is True


def test_open_and_use_make_spaces_of_the_server(connect: Callable[[], NwsServer]) -> None:
    server = connect()
    for make, mine in [(server.useWs, False), (server.openWs, True)]:
        made = make("foo")
        assert isinstance(made, NetWorkSpace)
        assert made.server is server
        assert server.listWss("dict")["foo"][client.WS_MINE] is mine


def test_the_given_space_is_the_one_that_is_opened(connect: Callable[[], NwsServer]) -> None:
    server = connect()
    space: Any = NetWorkSpace("foo", server=server)
    for bind in (server.openWs, server.useWs):
        assert bind("foo", space) is space
        with pytest.raises(ValueError, match="expected the name of the space"):
            bind("bar", space)


def test_the_server_exceptions_are_one_family() -> None:
    for name in ("NwsConnectException", "NwsConnectionDroppedException", "NwsUnsupportedOperationException"):
        assert issubclass(getattr(client, name), NwsServerException)
