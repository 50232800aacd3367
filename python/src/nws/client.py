"""Workspaces: named variables on a server, which any number of programs share.

```python
from nws.client import NetWorkSpace

ws = NetWorkSpace("example")  # at a server on localhost:8765, which `nws serve` starts
ws.store("answer", 42)
print(ws.fetch("answer"))
```

A variable holds a queue of values. `store` adds one, `fetch` takes one away, `find` reads one; both wait until there is
one, `fetchTry` and `findTry` do not. Exactly one client ever fetches a given value. While one thread waits, the others
go on, and Ctrl-C ends the wait. `nws.aio` has the same names for asyncio.

Values are any objects that can be pickled. None, bool, int, float, str and bytes travel without pickle; `bytes` come
back as `bytes`, and text of other clients that is not UTF-8 comes as `bytes` too. Reading a pickle runs what its sender
wrote: share a server with those that you trust.
"""

from nws._client.iterator import NwsValueIterator
from nws._client.lease import Lease
from nws._client.listings import (
    DICT,
    FIFO,
    LIFO,
    MULTI,
    SINGLE,
    STRING,
    V_FETCHERS,
    V_FINDERS,
    V_MODE,
    V_VALUES,
    V_VARIABLE,
    WS_MINE,
    WS_NAME,
    WS_NUMVARS,
    WS_OWNER,
    WS_PERSISTENT,
    WS_VARLIST,
)
from nws._client.server import NwsServer
from nws._client.workspace import NetWorkSpace
from nws._errors import (
    NwsConnectException,
    NwsConnectionDroppedException,
    NwsDeclarationFailedException,
    NwsException,
    NwsNoWorkSpaceException,
    NwsOperationException,
    NwsServerException,
    NwsTimeoutException,
    NwsUnsupportedOperationException,
)

__all__ = [
    "DICT",
    "FIFO",
    "LIFO",
    "MULTI",
    "SINGLE",
    "STRING",
    "V_FETCHERS",
    "V_FINDERS",
    "V_MODE",
    "V_VALUES",
    "V_VARIABLE",
    "WS_MINE",
    "WS_NAME",
    "WS_NUMVARS",
    "WS_OWNER",
    "WS_PERSISTENT",
    "WS_VARLIST",
    "Lease",
    "NetWorkSpace",
    "NwsConnectException",
    "NwsConnectionDroppedException",
    "NwsDeclarationFailedException",
    "NwsException",
    "NwsNoWorkSpaceException",
    "NwsOperationException",
    "NwsServer",
    "NwsServerException",
    "NwsTimeoutException",
    "NwsUnsupportedOperationException",
    "NwsValueIterator",
]
