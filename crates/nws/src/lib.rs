//! NetWorkSpaces for Rust programs: shared variables over a network, work spread over cores.
