//! The NetWorkSpaces server: event loop, sessions, admission, HTTP.
