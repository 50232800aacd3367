//! `nws host`: the supervisor of one machine, started by masters and not by hand.

use nws_work::roles::Serves;

use crate::exit::Failure;

/// Supervise the workers of one machine; masters start this by themselves.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The warden's process id: this is the host proper that it starts.
    #[arg(long, hide = true)]
    warden: Option<i32>,
    /// Start commands for the master instead of a sleigh's workers.
    #[arg(long, hide = true)]
    commands: bool,
}

/// Runs until all that the host started has ended.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let serves = if arguments.commands { Serves::Commands } else { Serves::Sleigh };
    match (arguments.warden, serves) {
        (Some(warden_pid), Serves::Sleigh) => nws_work::host::serve(warden_pid)?,
        (Some(warden_pid), Serves::Commands) => nws_work::host::serve_commands(warden_pid)?,
        (None, serves) => nws_work::host::warden(serves)?,
    }
    Ok(())
}
