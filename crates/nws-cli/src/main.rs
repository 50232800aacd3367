//! The command `nws`: a thin shell over the crates, one file a subcommand.

mod host;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Shared variables over a network, and work spread over many processes.
#[derive(Debug, Parser)]
#[command(name = "nws", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    #[command(hide = true)]
    Host(host::Arguments),
}

fn main() -> ExitCode {
    let (name, result) = match Arguments::parse().command {
        Command::Serve(arguments) => ("serve", serve::run(arguments)),
        Command::Host(arguments) => ("host", host::run(&arguments)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nws {name}: {error}");
            ExitCode::FAILURE
        }
    }
}
