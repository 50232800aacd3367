import pytest

from nws._sleigh import arguments, functions
from nws._sleigh.exceptions import SleighIllegalValueException
from nws._sleigh.options import Options


def rows(element_args):
    items, total = arguments.rows_of(arguments.columns_of(element_args))
    return list(items), total


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (range(3), [0, 1, 2]),
        ([1, 2], [1, 2]),
        ((1, 2), [1, 2]),
        ([[1, 2]], [1, 2]),
        ([[1, 2], [3, 4]], [(1, 3), (2, 4)]),
        (["ab", "cd"], [("a", "c"), ("b", "d")]),
        (("ab", "cd"), ["ab", "cd"]),
        ([range(2), "xy"], [(0, "x"), (1, "y")]),
        ([], []),
        ([[]], []),
        ("abc", ["a", "b", "c"]),
    ],
)
def test_a_list_whose_first_item_is_iterable_is_a_list_of_columns(given, expected):
    assert rows(given) == (expected, len(expected))


def test_a_column_without_a_length_is_taken_item_by_item():
    items, total = arguments.rows_of(arguments.columns_of([(n for n in range(2)), [5, 6]]))
    assert total is None
    assert list(items) == [(0, 5), (1, 6)]


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(SleighIllegalValueException, match="lengths 2, 3"):
        rows([[1, 2], [1, 2, 3]])
    items, _ = arguments.rows_of([iter([1]), iter([1, 2])])
    with pytest.raises(SleighIllegalValueException, match="column 0 is shorter"):
        list(items)


def test_what_is_no_column_is_refused():
    with pytest.raises(SleighIllegalValueException, match="got int as column 1"):
        arguments.columns_of([[1], 2])
    with pytest.raises(TypeError, match="got int"):
        arguments.columns_of(7)


def test_fixed_arguments_that_are_no_list_are_one():
    assert arguments.fixed_of([1, 2]) == [1, 2]
    assert arguments.fixed_of((1, 2)) == [(1, 2)]
    assert arguments.fixed_of("ab") == ["ab"]
    assert arguments.fixed_of(None) == [None]


def test_a_permutation_chooses_and_orders_the_arguments():
    assert functions.Arrange(lambda *a: a, [30], (1, 0))(10) == (30, 10)
    assert functions.Arrange(lambda *a: a, [30], ())(10) == ()
    assert functions.Arrange(lambda *a: a, [30, 40], (2, 2))(10) == (40, 40)
    assert arguments.checked_permutation(range(2), 2) == (0, 1)


@pytest.mark.parametrize("bad", [[2], [-1], [0.5], ["a"]])
def test_a_permutation_that_points_nowhere_is_refused(bad):
    with pytest.raises(SleighIllegalValueException, match="indexes from 0 to 1"):
        arguments.checked_permutation(bad, 2)


def test_an_unknown_option_is_a_type_error_that_knows_the_nearest():
    with pytest.raises(TypeError, match="did you mean 'workerCount'"):
        Options.checked({"workercount": 3})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("workerCount", 0),
        ("workerCount", 2.5),
        ("workerCount", True),
        ("workerCount", "3"),
        ("nwsHostRemote", 7),
        ("nwsPortRemote", 0),
        ("nodeList", []),
        ("nodeList", "localhost"),
        ("nodeList", ["a", 1]),
        ("logDir", "/no/such/folder"),
        ("outfile", ""),
        ("userNwsName", ""),
        ("scriptExec", "env"),
        ("scriptDir", 3),
        ("scriptName", ""),
        ("user", 0),
        ("userWsNameTemplate", "none"),
        ("launch", "web"),
        ("nwsPort", 70000),
        ("nwsHost", ""),
        ("workingDir", "/no/such/folder"),
        ("modulePath", "/no/such/folder"),
        ("wsNameTemplate", "no number"),
        ("wsNameTemplate", "%s%d"),
        ("wsNameTemplate", "%s"),
        ("wsNameTemplate", "%d%i"),
        ("wsNameTemplate", "%5.1f"),
        ("wsNameTemplate", "%1025d"),
        ("verbose", "yes"),
        ("retries", -1),
    ],
)
def test_a_wrong_value_of_an_option_is_named(option, value):
    with pytest.raises(SleighIllegalValueException, match=option):
        Options.checked({option: value})


@pytest.mark.parametrize("template", ["%d", "a%ib", "100%%-%04d", "%1024d", "two\nlines %d"])
def test_a_template_has_one_integer_specifier(template):
    assert Options.checked({"wsNameTemplate": template}).wsNameTemplate == template


def test_the_environment_names_a_server_where_no_argument_does(monkeypatch):
    for name in ("NWS_URL", "PythonSleighNwsHost", "PythonSleighNwsPort"):
        monkeypatch.delenv(name, raising=False)
    assert Options.checked({}).server() is None
    monkeypatch.setenv("PythonSleighNwsPort", "9999")
    assert Options.checked({}).server() == ("localhost", 9999)
    monkeypatch.setenv("NWS_URL", "nws://elsewhere:1234")
    assert Options.checked({}).server() == ("elsewhere", 1234)
    assert Options.checked({"nwsHost": "here"}).server() == ("here", 8765)
    monkeypatch.setenv("NWS_URL", "/run/socket")
    assert Options.checked({}).server() == ("unix:/run/socket", 0)
    monkeypatch.setenv("NWS_URL", "http://elsewhere")
    with pytest.raises(SleighIllegalValueException, match="nws://HOST:PORT"):
        Options.checked({}).server()
