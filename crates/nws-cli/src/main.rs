//! The program `nws`; its library has it all.

use std::process::ExitCode;

fn main() -> ExitCode {
    nws_cli::run()
}
