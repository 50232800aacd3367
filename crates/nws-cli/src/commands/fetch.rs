//! `nws fetch` and `nws find`: values of a variable, to standard output or a file.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use nws_client::blocking::{LongValue, Server};
use nws_client::{Call, Value, Workspace};

use crate::babelfish::Babelfish;
use crate::exit::{Exit, Failure};
use crate::long;
use crate::names;
use crate::remote::{Patience, WorkspaceChoice};
use crate::value::{self, Show};

/// Take a value away; waits until there is one.
///
/// No other client gets the value. Text and numbers are printed as a line, raw bytes as they are;
/// what only another language can read is shown as a babelfish of that language tells it, or
/// described, and taken away all the same: use find to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Fetch {
    #[command(flatten)]
    pub(crate) arguments: Arguments,
}

/// Read a value and leave it there; waits until there is one.
///
/// Text and numbers are printed as a line, raw bytes as they are; what only another language can read
/// is shown as a babelfish of that language tells it, such as pybabelfish for Python, or described.
#[derive(Debug, clap::Args)]
pub(crate) struct Find {
    #[command(flatten)]
    pub(crate) arguments: Arguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The variable.
    variable: OsString,
    /// Do not wait: exit with code 1 where there is no value now.
    #[arg(long = "try", conflicts_with = "timeout")]
    try_once: bool,
    /// All values that are there now, without waiting; find does so only for fifo and single.
    #[arg(long, conflicts_with_all = ["timeout", "try_once"])]
    all: bool,
    /// Write to this file instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    place: WorkspaceChoice,
}

/// How values are printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Form {
    /// Print the bytes of values as they are, whatever they mean, and nothing else.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print each value as an object of JSON on a line, with its kind, size and descriptor.
    #[arg(long)]
    json: bool,
    /// Do not ask a babelfish what values are that only another language can read.
    #[arg(long, conflicts_with = "raw")]
    no_babelfish: bool,
}

/// Prints values, and asks for the text of those that only others can read.
pub(crate) struct Printer {
    show: Show,
    babelfish: Option<Babelfish>,
}

impl Printer {
    pub(crate) fn print(&mut self, output: &mut impl Write, value: &Value) -> io::Result<()> {
        let babelfish = self.babelfish.as_mut().filter(|_| value::is_foreign(value));
        value::write(output, value, self.show, babelfish.map(|babelfish| babelfish.text(value)))
    }

    /// Prints a value, and is done with it. What cannot be written is not taken away.
    fn print_long(&mut self, output: &mut impl Write, value: nws_client::LongValue) -> Result<Call<()>, Failure> {
        let mut value = LongValue::from(value);
        if let Some(whole) = long::write(output, &mut value, self.show)? {
            self.print(output, &whole)?;
        }
        output.flush()?;
        Ok(nws_client::LongValue::from(value).done())
    }
}

impl Form {
    /// How they are printed, where `server` may be asked for a babelfish.
    pub(crate) fn printer(&self, server: Server) -> Printer {
        let asks = !self.raw && !self.no_babelfish;
        Printer { show: self.show(), babelfish: asks.then(|| Babelfish::new(server)) }
    }

    fn show(&self) -> Show {
        match (self.raw, self.json) {
            (true, _) => Show::Raw,
            (_, true) => Show::Json,
            _ => Show::Plain,
        }
    }
}

pub(crate) fn run(arguments: &Arguments, take: bool) -> Result<(), Failure> {
    let (server, workspace) = arguments.place.enter(false)?;
    // Opened before anything is taken away: what cannot be written anywhere stays.
    let mut output = open(arguments)?;
    let mut printer = arguments.form.printer(server);
    let workspace = workspace.as_async();
    let count = if arguments.all {
        every(arguments, workspace, take, |value| printer.print_long(&mut output, value))?
    } else if let Some(value) = one(arguments, workspace, take)? {
        printer.print_long(&mut output, value)?.wait()?;
        1
    } else {
        0
    };
    if count == 0 { Err(Failure::quiet(Exit::Nothing)) } else { Ok(()) }
}

fn open(arguments: &Arguments) -> Result<Box<dyn Write>, Failure> {
    let Some(path) = &arguments.output else { return Ok(Box::new(BufWriter::new(io::stdout()))) };
    let file = File::options().write(true).create(true).truncate(false).open(path);
    let file =
        file.map_err(|error| Failure::new(Exit::Failed, format!("{} cannot be written: {error}", path.display())))?;
    Ok(Box::new(BufWriter::new(Target { file, emptied: false })))
}

/// A file that keeps what it had until there is a value to write.
struct Target {
    file: File,
    emptied: bool,
}

impl Target {
    fn empty(&mut self) -> io::Result<()> {
        // A device or a pipe has no length.
        if !std::mem::replace(&mut self.emptied, true) && self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.empty()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.empty()?;
        self.file.flush()
    }
}

fn one(arguments: &Arguments, workspace: &Workspace, take: bool) -> Result<Option<nws_client::LongValue>, Failure> {
    let variable = names::bytes(&arguments.variable);
    Ok(match (take, arguments.try_once, arguments.patience.timeout) {
        (true, true, _) => workspace.fetch_long_try(variable).wait()?,
        (false, true, _) => workspace.find_long_try(variable).wait()?,
        (true, _, Some(timeout)) => Some(workspace.fetch_long_timeout(variable, timeout).wait()?),
        (false, _, Some(timeout)) => Some(workspace.find_long_timeout(variable, timeout).wait()?),
        (true, ..) => Some(workspace.fetch_long(variable).wait()?),
        (false, ..) => Some(workspace.find_long(variable).wait()?),
    })
}

/// Values that are fetched ahead, while they are short.
const AHEAD: usize = 64;
/// From this length on a value is fetched alone.
const SHORT_BYTES: u64 = 16 << 10;

/// Values that are stored meanwhile by who reads our output shall not keep us for ever: there are as
/// many as there were. Each is gone only when `each` has written it: where that fails it is back at its
/// place, with those that were fetched ahead.
fn every(
    arguments: &Arguments,
    workspace: &Workspace,
    take: bool,
    mut each: impl FnMut(nws_client::LongValue) -> Result<Call<()>, Failure>,
) -> Result<u64, Failure> {
    let variable = names::bytes(&arguments.variable);
    let infos = workspace.list_variables().wait()?;
    let there = infos.into_iter().find(|info| info.name == variable).map_or(0, |info| info.values);
    let (mut fetching, mut finishing) = (VecDeque::new(), VecDeque::new());
    let (mut asked, mut count, mut ahead, mut behind) = (0, 0, 1, None);
    while count < there {
        while take && asked < there && fetching.len() < ahead {
            fetching.push_back(workspace.fetch_long_try(variable));
            asked += 1;
        }
        let next = fetching.pop_front().unwrap_or_else(|| workspace.find_long_next(variable, behind));
        let Some(value) = next.wait()? else { break };
        behind = Some(value.place());
        ahead = if value.len_bytes() < SHORT_BYTES { AHEAD } else { 1 };
        finishing.push_back(each(value)?);
        count += 1;
        while finishing.len() > ahead {
            finishing.pop_front().map_or(Ok(()), Call::wait)?;
        }
    }
    finishing.into_iter().try_for_each(Call::wait)?;
    Ok(count)
}
