//! `nws stop`: ends servers in good order.

use std::io::{self, Write};
use std::time::Duration;

use nws_runtime::Found;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::commands::status::by_port;
use crate::exit::{Exit, Failure};
use crate::registry;
use crate::remote::{port, time};

/// Stop a server of this user, and wait until it is gone.
///
/// Its clients are told. What it holds goes with it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The server with this port [default: 8765 or $NWS_SERVER_PORT].
    #[arg(long, value_name = "PORT", conflicts_with = "all", value_parser = port)]
    port: Option<u16>,
    /// All servers of this user but the embedded ones, which end with their programs.
    #[arg(long)]
    all: bool,
    /// How long to wait until it is gone.
    #[arg(long, short, value_name = "TIME", default_value = "10s", value_parser = time)]
    timeout: Duration,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let servers = if arguments.all {
        registry::servers()?.into_iter().filter(|found| !found.info.embedded).collect()
    } else {
        let port = arguments.port.map_or_else(registry::usual_port, Ok)?;
        let found = by_port(port)?;
        let missing = || Failure::new(Exit::NoServer, format!("no server of yours with port {port} runs"));
        vec![found.ok_or_else(missing)?]
    };
    if servers.is_empty() {
        return Err(Failure::new(Exit::NoServer, "no server of yours runs"));
    }
    for found in &servers {
        stop(found, arguments.timeout)?;
        writeln!(io::stdout().lock(), "stopped {} (process {})", registry::name(found), found.info.pid)?;
    }
    Ok(())
}

fn stop(found: &Found, timeout: Duration) -> Result<(), Failure> {
    let pid = found.info.pid;
    let failed = |step: &str, error: Errno| {
        Failure::new(Exit::Failed, format!("{step} process {pid}: {}", io::Error::from(error)))
    };
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(number) = number else { return Err(Failure::new(Exit::Failed, format!("{pid} is no process"))) };
    let process = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return Ok(()),
        Err(error) => return Err(failed("opening", error)),
    };
    // Only now is the number bound: the server may have ended before, and another process have got it.
    let lives = registry::servers()?.iter().any(|other| other.folder == found.folder);
    if !lives {
        return Ok(());
    }
    match pidfd_send_signal(&process, Signal::TERM) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => return Err(failed("ending", error)),
    }
    let mut ends = [PollFd::new(&process, PollFlags::IN)];
    let limit = Timespec::try_from(timeout).ok();
    loop {
        match poll(&mut ends, limit.as_ref()) {
            Ok(0) => {
                let message = format!("process {pid} was told to end and is still there; try `kill -9 {pid}`");
                return Err(Failure::new(Exit::Nothing, message));
            }
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed("waiting for", error)),
        }
    }
}
