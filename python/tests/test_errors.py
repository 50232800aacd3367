"""Every error code has its one exception."""

import pickle

import pytest

from nws import _errors, _native

SERVER, OPERATION = "NwsServerException", "NwsOperationException"

EXPECTED = {
    "malformed-frame": (100, SERVER),
    "unknown-opcode": (101, "NwsUnsupportedOperationException"),
    "version-mismatch": (102, "NwsConnectException"),
    "not-authorized": (200, "NwsConnectException"),
    "frame-too-long": (201, OPERATION),
    "name-too-long": (202, OPERATION),
    "too-many-workspaces": (203, OPERATION),
    "too-many-variables": (204, OPERATION),
    "too-many-waiting": (205, OPERATION),
    "too-many-leases": (206, OPERATION),
    "memory-full": (207, OPERATION),
    "too-many-connections": (208, "NwsConnectException"),
    "protected-workspace": (209, OPERATION),
    "shutting-down": (210, "NwsConnectionDroppedException"),
    "silent": (211, "NwsConnectionDroppedException"),
    "value-too-long": (212, OPERATION),
    "disk-full": (213, OPERATION),
    "too-many-transfers": (214, OPERATION),
    "too-many-readings": (215, OPERATION),
    "disk-failed": (216, OPERATION),
    "no-such-workspace": (300, "NwsNoWorkSpaceException"),
    "no-such-variable": (301, OPERATION),
    "mode-conflict": (302, "NwsDeclarationFailedException"),
    "workspace-gone": (303, "NwsNoWorkSpaceException"),
    "variable-gone": (304, OPERATION),
    "not-iterable": (305, OPERATION),
    "lease-ended": (306, OPERATION),
    "no-such-guardian": (307, SERVER),
    "unknown-handle": (400, SERVER),
    "handle-in-use": (401, SERVER),
    "request-in-use": (402, SERVER),
    "bad-template": (403, OPERATION),
    "bad-arguments": (404, "ValueError"),
    "internal": (900, SERVER),
}


def test_the_table_is_complete() -> None:
    assert {slug: (code, name) for slug, code, name in _native.error_table()} == EXPECTED


@pytest.mark.parametrize(("slug", "code", "name"), [(s, c, n) for s, (c, n) in EXPECTED.items()])
def test_a_code_becomes_its_exception(slug: str, code: int, name: str) -> None:
    error = _native.error_of(code, "what to do")
    expected = ValueError if name == "ValueError" else getattr(_errors, name)
    assert type(error) is expected
    assert str(error) == "what to do"
    assert error.slug == slug  # type: ignore[attr-defined]
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.slug) == (expected, "what to do", slug)


def test_an_unknown_code_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the number of an error code, got 1"):
        _native.error_of(1, "")


def test_the_tree_of_exceptions_is_the_documented_one() -> None:
    tree = {
        _errors.NwsServerException: _errors.NwsException,
        _errors.NwsConnectException: _errors.NwsServerException,
        _errors.NwsConnectionDroppedException: _errors.NwsServerException,
        _errors.NwsUnsupportedOperationException: _errors.NwsServerException,
        _errors.NwsOperationException: _errors.NwsException,
        _errors.NwsDeclarationFailedException: _errors.NwsOperationException,
        _errors.NwsNoWorkSpaceException: _errors.NwsOperationException,
        _errors.NwsTimeoutException: _errors.NwsException,
    }
    for child, parent in tree.items():
        assert child.__bases__[0] is parent
    assert issubclass(_errors.NwsTimeoutException, TimeoutError)


@pytest.mark.parametrize(
    ("errno", "expected"), [(32, BrokenPipeError), (13, PermissionError), (2, FileNotFoundError), (28, OSError)]
)
def test_a_file_that_fails_is_pythons_own_error(errno: int, expected: type[OSError]) -> None:
    error = _native.error_of_file(errno)
    assert type(error) is expected
    assert "writing the value failed: " in str(error)
