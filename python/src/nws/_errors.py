"""The exceptions of the package, which `nws.client` offers."""

__all__ = [
    "NwsConnectException",
    "NwsConnectionDroppedException",
    "NwsDeclarationFailedException",
    "NwsException",
    "NwsNoWorkSpaceException",
    "NwsOperationException",
    "NwsServerException",
    "NwsTimeoutException",
    "NwsUnsupportedOperationException",
]


class NwsException(Exception):
    """Base of all exceptions that the package raises on its own account.

    `slug` names the cause for programs: one of the codes of `docs/protocol.md`, or one that the client itself gives.
    """

    __module__ = "nws.client"
    slug: str = ""


class NwsServerException(NwsException):
    """The server could not be talked to."""

    __module__ = "nws.client"


class NwsConnectException(NwsServerException):
    """No connection to the server could be made."""

    __module__ = "nws.client"


class NwsConnectionDroppedException(NwsServerException):
    """The connection to the server has ended."""

    __module__ = "nws.client"


class NwsUnsupportedOperationException(NwsServerException):
    """The server does not know this operation."""

    __module__ = "nws.client"


class NwsOperationException(NwsException):
    """The server could not do what was asked."""

    __module__ = "nws.client"


class NwsDeclarationFailedException(NwsOperationException):
    """The variable has another mode, or the mode is none of the four."""

    __module__ = "nws.client"


class NwsNoWorkSpaceException(NwsOperationException):
    """There is no such workspace, or the one that was opened is gone."""

    __module__ = "nws.client"


class NwsTimeoutException(NwsException, TimeoutError):
    """A wait was over before there was a value."""

    __module__ = "nws.client"
