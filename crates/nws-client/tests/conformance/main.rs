//! What the documentation promises, over the wire: a real server in this process, real sockets, and
//! every test over TCP and over a Unix socket. Any other backend has to pass it too: with
//! `NWS_CONFORMANCE_URL` the same tests run against the server there, and delete what it holds.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod batches;
mod concurrency;
mod deletes;
mod iterators;
mod leases;
mod modes;
mod sessions;
mod site;
mod typed;
mod waiting;
mod workspaces;
