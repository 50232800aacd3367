//! Async and blocking client of the NetWorkSpaces server.
