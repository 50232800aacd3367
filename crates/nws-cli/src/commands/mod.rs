//! The subcommands, one file each: its arguments, and what it does.

pub(crate) mod completions;
pub(crate) mod declare;
pub(crate) mod delete;
pub(crate) mod doctor;
pub(crate) mod fetch;
pub(crate) mod host;
pub(crate) mod ls;
pub(crate) mod ping;
pub(crate) mod serve;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod store;
pub(crate) mod vars;
pub(crate) mod watch;
