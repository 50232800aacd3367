//! The private module `nws._native`: client and dispatch for Python.
