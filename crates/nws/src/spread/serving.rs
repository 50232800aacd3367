//! The command's side.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::lines::Said;

/// Why a command does not do a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// It is too busy, and would like to be left alone for so many seconds; another does the task.
    TooBusy {
        /// In seconds.
        delay_s: f64,
    },
    /// The task has failed, which ends the job.
    Failed(String),
}

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Refusal::Failed(error.to_string())
    }
}

/// Answers tasks until standard input ends: all that a command in Rust has to do. What `compute` and
/// its children write to standard output goes to standard error, and their standard input is empty.
///
/// # Errors
/// Those of standard input and output, and `InvalidData` for a task that is of another type.
///
/// # Example
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// nws::spread::serve(|x: i64| x.checked_mul(x).ok_or(nws::spread::Refusal::Failed(format!("{x} is too large"))))
/// # }
/// ```
pub fn serve<T: DeserializeOwned, R: Serialize>(mut compute: impl FnMut(T) -> Result<R, Refusal>) -> io::Result<()> {
    let (mut tasks, mut answers) = own_streams()?;
    let mut line = String::new();
    loop {
        line.clear();
        if tasks.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let outcome = compute(serde_json::from_str(&line)?);
        let said = match &outcome {
            Ok(result) => Said::Result(result),
            Err(Refusal::TooBusy { delay_s }) => Said::TooBusy(*delay_s),
            Err(Refusal::Failed(message)) => Said::Error(message),
        };
        let mut answer = serde_json::to_vec(&said).or_else(|error| {
            serde_json::to_vec(&Said::<()>::Error(&format!("the result cannot be written as JSON: {error}")))
        })?;
        answer.push(b'\n');
        answers.write_all(&answer)?;
    }
}

/// Standard input and output for us alone: others find the first at its end, and write to standard error.
fn own_streams() -> io::Result<(impl BufRead, File)> {
    io::stdout().flush()?;
    let answers = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?);
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    let tasks = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    // What the program has read ahead is all that is left there.
    let mut early = Vec::new();
    io::stdin().read_to_end(&mut early)?;
    Ok((BufReader::new(Cursor::new(early).chain(tasks)), answers))
}
