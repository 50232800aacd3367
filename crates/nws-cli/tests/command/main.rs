//! The command `nws` as scripts see it: exit code, standard output and standard error of each
//! subcommand, against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admission;
mod babelfish;
mod background;
mod endings;
mod home;
mod limits;
mod listings;
mod long;
mod map;
mod map_choices;
mod map_ends;
mod map_limits;
mod map_terminal;
mod pages;
#[allow(dead_code)]
#[path = "../host/processes.rs"]
mod processes;
mod settings;
mod users;
mod values;
