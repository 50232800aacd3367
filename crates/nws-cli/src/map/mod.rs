//! `nws map`: a command for each input, on all cores.
//!
//! - `arguments`: the command line, and the [`Plan`] it comes down to. `halt`: one of its values.
//! - `template`, `inputs`: the command with its placeholders, and what fills them.
//! - [`run`](mod@run): the loop that hears of jobs; `start`, `ends`: how they begin and are ended; `job`: one.
//! - `output`: who prints when. `spool`: what waits for that. `printer`: the thread that writes.
//! - `tag`, `record`: lines with tags, and objects of JSON. `joblog`, `quote`: the log.
//! - `bar`: progress. `wake`: how other threads wake the loop.
//!
//! The jobs are started by a [command host](nws_work::commands), so that none outlives this process.

mod arguments;
mod bar;
mod ends;
mod halt;
mod inputs;
mod job;
mod joblog;
mod output;
mod printer;
mod quote;
mod record;
mod run;
mod spool;
mod start;
mod tag;
mod template;
mod wake;

use std::fs::File;
use std::io::{self, IsTerminal, Write};

pub(crate) use arguments::Arguments;

use crate::exit::{Exit, Failure};
use arguments::{Plan, Source};
use inputs::{Feed, Next};
use joblog::Log;
use wake::Waker;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plan = Plan::of(arguments)?;
    if plan.dry_run {
        return show(plan);
    }
    // Before the first thread, so that the signals come to nobody else.
    let requests = nws_supervise::interruption_requests()?;
    let log = plan.log.as_ref().map(Log::open).transpose()?;
    run::Run::new(plan, log, requests)?.run()
}

/// Where the inputs come from.
fn feed(plan: &mut Plan, waker: &Waker) -> Result<Feed, Failure> {
    let (end, lines) = (plan.end, plan.lines);
    Ok(match std::mem::replace(&mut plan.source, Source::Stdin) {
        Source::Listed(combinations) => Feed::Listed { combinations, lines },
        Source::Stdin => {
            if io::stdin().is_terminal() {
                eprintln!("nws map: the inputs are what you type, one a line; Ctrl-D ends them");
            }
            Feed::read(io::stdin(), "standard input".to_owned(), end, lines, waker.clone())?
        }
        Source::File(path) => {
            let file = File::open(&path)
                .map_err(|error| Failure::new(Exit::Failed, format!("{} cannot be read: {error}", path.display())))?;
            Feed::read(file, path.display().to_string(), end, lines, waker.clone())?
        }
    })
}

/// Prints the commands and runs none.
fn show(mut plan: Plan) -> Result<(), Failure> {
    let log = plan.log.as_ref().filter(|log| log.resume != arguments::Resume::No).map(Log::open).transpose()?;
    let mut feed = feed(&mut plan, &Waker::new()?)?;
    let mut output = io::stdout().lock();
    for number in 1.. {
        match feed.wait() {
            Next::Ready(inputs) => {
                let command = quote::command(&plan.template.fill(number, &inputs));
                if !log.as_ref().map_or(Ok(false), |log| log.knows(number, &command))? {
                    writeln!(output, "{command}")?;
                }
            }
            Next::Failed(problem) => return Err(Failure::new(Exit::Failed, problem)),
            Next::Over | Next::NotYet => break,
        }
    }
    Ok(())
}
