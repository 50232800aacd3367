//! The command `nws`: a thin shell over the crates.
//!
//! `commands` has one file a subcommand, `flags` the server's settings as options; `remote` says how a command
//! finds its server, `value` how values are read and shown, `babelfish` who tells what others wrote, `exit` how commands end, `manual` makes the
//! manual pages, completions and documentation. `map` is the subcommand of that name.

mod babelfish;
mod commands;
mod exit;
mod flags;
mod long;
mod manual;
mod map;
mod names;
mod platform;
mod registry;
mod remote;
mod table;
mod value;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{Exit, Failure};

/// Shared variables over a network, and work spread over many processes.
#[derive(Debug, Parser)]
#[command(name = "nws", version, after_help = manual::EXIT_CODES, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(commands::serve::Arguments),
    Start(commands::start::Arguments),
    Stop(commands::stop::Arguments),
    Status(commands::status::Arguments),
    Ls(commands::ls::Arguments),
    Vars(commands::vars::Arguments),
    Store(commands::store::Arguments),
    Fetch(commands::fetch::Fetch),
    Find(commands::fetch::Find),
    Watch(commands::watch::Arguments),
    Declare(commands::declare::Arguments),
    Delete(commands::delete::Arguments),
    Map(map::Arguments),
    Ping(commands::ping::Arguments),
    Doctor(commands::doctor::Arguments),
    Completions(commands::completions::Arguments),
    #[command(hide = true)]
    Generate(manual::Arguments),
    #[command(hide = true)]
    Host(commands::host::Arguments),
}

impl Command {
    fn run(self) -> (&'static str, Result<(), Failure>) {
        match self {
            Command::Serve(arguments) => ("serve", commands::serve::run(&arguments)),
            Command::Start(arguments) => ("start", commands::start::run(&arguments)),
            Command::Stop(arguments) => ("stop", commands::stop::run(&arguments)),
            Command::Status(arguments) => ("status", commands::status::run(&arguments)),
            Command::Ls(arguments) => ("ls", commands::ls::run(&arguments)),
            Command::Vars(arguments) => ("vars", commands::vars::run(&arguments)),
            Command::Store(arguments) => ("store", commands::store::run(&arguments)),
            Command::Fetch(arguments) => ("fetch", commands::fetch::run(&arguments.arguments, true)),
            Command::Find(arguments) => ("find", commands::fetch::run(&arguments.arguments, false)),
            Command::Watch(arguments) => ("watch", commands::watch::run(&arguments)),
            Command::Declare(arguments) => ("declare", commands::declare::run(&arguments)),
            Command::Delete(arguments) => ("delete", commands::delete::run(&arguments)),
            Command::Map(arguments) => ("map", map::run(&arguments)),
            Command::Ping(arguments) => ("ping", commands::ping::run(&arguments)),
            Command::Doctor(arguments) => ("doctor", commands::doctor::run(&arguments)),
            Command::Completions(arguments) => ("completions", commands::completions::run(&arguments)),
            Command::Generate(arguments) => ("generate", manual::run(&arguments)),
            Command::Host(arguments) => ("host", commands::host::run(&arguments)),
        }
    }
}

/// Does what the arguments of this process say, and tells how it ended.
pub fn run() -> ExitCode {
    let (name, result) = Arguments::parse().command.run();
    match result {
        Ok(()) => Exit::Done.into(),
        Err(Failure { exit, message }) => {
            if !message.is_empty() {
                eprintln!("nws {name}: {message}");
            }
            exit.into()
        }
    }
}
