//! `nws host`: the supervisor of one machine, started by masters and not by hand.

use crate::exit::Failure;

/// Supervise the workers of one machine; masters start this by themselves.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The warden's process id: this is the host proper that it starts.
    #[arg(long, hide = true)]
    warden: Option<i32>,
}

/// Runs until all that the host started has ended.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match arguments.warden {
        Some(warden_pid) => nws_work::host::serve(warden_pid)?,
        None => nws_work::host::warden()?,
    }
    Ok(())
}
