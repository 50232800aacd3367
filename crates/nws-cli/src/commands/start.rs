//! `nws start`: runs a server in the background.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nws_client::blocking::Server;
use nws_runtime::RuntimeDir;
use nws_server::settings::{BadSettings, Settings, effective};

use crate::commands::status::{by_port, describe};
use crate::exit::{Exit, Failure};
use crate::flags::Flags;
use crate::registry;
use crate::remote::time;

/// What the log of a server that could not start is shown of, in bytes.
const SHOWN_LOG_BYTES: u64 = 4096;

/// Start a server in the background; returns when it answers.
///
/// Takes the settings of `nws serve`. Where a server of this user has the port already, that one is
/// shown, and nothing is started.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Read settings from this file [default: $XDG_CONFIG_HOME/nws/server.toml, where there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the server's log goes, at its end [default: $XDG_STATE_HOME/nws/server-PORT.log].
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// How long to wait until it answers.
    #[arg(long, short, value_name = "TIME", default_value = "20s", value_parser = time)]
    timeout: Duration,
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let usage = |bad: BadSettings| Failure::new(Exit::Usage, bad.to_string());
    let effective = effective(arguments.flags.given(), arguments.config.as_deref()).map_err(usage)?;
    let port = Settings::of(&effective).map_err(usage)?.options().port;
    if port != 0
        && let Some(found) = by_port(port)?
    {
        let text = format!("a server of yours runs on port {port} already; its settings stay\n{}", describe(&found));
        return Ok(io::stdout().lock().write_all(text.as_bytes())?);
    }
    let path = match &arguments.log_file {
        Some(path) => std::path::absolute(path)?,
        None => usual_log(port)?,
    };
    let mut log = open(&path)?;
    let began = log.seek(SeekFrom::End(0))?;
    let mut child = spawn(arguments, &log)?;
    if !says_where_it_is(&mut child, arguments.timeout)? {
        return Err(explain(child, &path, began, arguments.timeout));
    }
    let pid = child.id();
    let started = registry::servers()?.into_iter().find(|found| found.info.pid == pid);
    let Some(found) = started else { return Err(explain(child, &path, began, arguments.timeout)) };
    let (endpoint, options) = registry::route(&found);
    Server::connect(&endpoint, options)?.ping()?;
    let text = format!("started\n{}log      {}\n", describe(&found), path.display());
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}

fn usual_log(port: u16) -> Result<PathBuf, Failure> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    let folder = match state {
        Some(state) => state.join("nws"),
        None => RuntimeDir::open()?.path().to_owned(),
    };
    let name = if port == 0 { "server-any.log".to_owned() } else { format!("server-{port}.log") };
    Ok(folder.join(name))
}

fn open(path: &Path) -> Result<File, Failure> {
    let problem = |error: io::Error| Failure::new(Exit::Failed, format!("the log {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(problem)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(problem)
}

fn spawn(arguments: &Arguments, log: &File) -> Result<Child, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "--background"]).args(arguments.flags.to_arguments());
    if let Some(config) = &arguments.config {
        let mut named = OsString::from("--config=");
        named.push(std::path::absolute(config)?);
        command.arg(named);
    }
    // It shall not keep the folder that somebody happened to be in.
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.try_clone()?);
    Ok(command.spawn()?)
}

/// Waits for the line that a server says when it listens.
fn says_where_it_is(child: &mut Child, timeout: Duration) -> Result<bool, Failure> {
    let Some(output) = child.stdout.take() else { return Ok(false) };
    let (tell, told) = mpsc::channel();
    thread::Builder::new().name("nws-start".to_owned()).spawn(move || {
        let _ = tell.send(first_line(output));
    })?;
    Ok(told.recv_timeout(timeout).unwrap_or(false))
}

fn first_line(output: ChildStdout) -> bool {
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).is_ok_and(|count| count > 0)
}

/// Why it does not answer: it has ended and said why, or it takes too long and is ended.
fn explain(mut child: Child, path: &Path, began: u64, timeout: Duration) -> Failure {
    let code = match child.try_wait() {
        Ok(Some(status)) => status.code(),
        // Its output was closed, so it is about to end, or it hangs.
        _ => {
            let _ = child.kill();
            child.wait().ok().and_then(|status| status.code())
        }
    };
    let exit = if code == Some(Exit::Usage as i32) { Exit::Usage } else { Exit::Failed };
    let said = said_since(path, began).unwrap_or_default();
    let said = said.trim().trim_start_matches("nws serve: ");
    let message = if said.is_empty() {
        format!("the server did not answer within {} ms and said nothing in {}", timeout.as_millis(), path.display())
    } else {
        format!("the server could not start: {said}")
    };
    Failure::new(exit, message)
}

fn said_since(path: &Path, began: u64) -> io::Result<String> {
    let mut log = File::open(path)?;
    let end = log.seek(SeekFrom::End(0))?;
    log.seek(SeekFrom::Start(began.max(end.saturating_sub(SHOWN_LOG_BYTES))))?;
    let mut said = Vec::new();
    log.take(SHOWN_LOG_BYTES).read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}
