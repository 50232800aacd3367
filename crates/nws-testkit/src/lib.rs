//! Virtual time, in-memory links and a plain model for the tests. Not published.
