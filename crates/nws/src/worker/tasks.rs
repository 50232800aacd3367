//! A worker's loop.

use std::io::{self, Write};
use std::time::Duration;

use nws_proto::limits;
use nws_work::envelope::{Failure, FailureKind, Outcome, RESULT_HEAD_BYTES};
use nws_work::page::Wanted;
use nws_work::platform::fork_generation;
use nws_work::worker::{Joining, Marks, Newcomer, Next, Task, Worker};

use super::panics::{self, Panic};
use super::{introduce, settings};
use crate::task::{Definition, Runner, TaskError, find};

/// How long a worker waits before it looks again whether its sleigh is over.
const TURN: Duration = Duration::from_secs(1);
/// Longest result with its head, in bytes.
const RESULT_BYTES: usize = limits::VALUE_BYTES as usize;
/// Longest message or backtrace that travels, in bytes; of a longer one the ends do.
const TEXT_BYTES: usize = 100_000;
/// The type that the failure of a task that panicked bears.
pub(crate) const PANIC: &str = "panic";

/// Is a worker, until its sleigh is over.
pub(crate) fn serve() -> Result<(), String> {
    let received = Newcomer::receive().map_err(|error| format!("this worker cannot begin: {error}"))?;
    // The sleigh was stopped before its workers had a server to join.
    let Some(mut newcomer) = received else { return Ok(()) };
    if newcomer.is_too_late() {
        let message = "too late: the group of workers was closed before this one had joined";
        newcomer.fail(message);
        return Err(message.to_owned());
    }
    panics::keep();
    let joining = newcomer.connect().map_err(|error| error.to_string())?;
    introduce(&joining.bootstrap, joining.worker.connection());
    let captures = match prepare(&joining) {
        Ok(captures) => captures,
        Err(message) => {
            joining.fail(&message);
            return Err(message);
        }
    };
    joining.set_ready();
    run(&joining.worker, captures);
    Ok(())
}

/// Runs the task that every worker runs before any other, and has what is written from then on go to the master
/// where it is to; whether it is.
fn prepare(joining: &Joining) -> Result<bool, String> {
    let settings = settings(&joining.bootstrap)?;
    settings.first.map_or(Ok(()), |(definition, given)| run_first(&definition, &given))?;
    let (Some(limit), Some(descriptors)) = (settings.output_limit_bytes, joining.take_capture()) else {
        return Ok(false);
    };
    let captured = joining.worker.capture(descriptors, limit, Marks::No);
    captured.map(|_| true).map_err(|error| format!("the output of tasks cannot be captured: {error}"))
}

fn run_first(definition: &[u8], given: &[u8]) -> Result<(), String> {
    let runner = load(definition)?.1;
    let failure = call(&*runner, given, &mut Vec::new());
    failure.map_err(|failure| {
        let place = failure.traceback.lines().next().map(|place| format!(" at {place}")).unwrap_or_default();
        format!("the task that each worker runs first has failed{place}: {}", failure.message)
    })
}

/// The tasks of one call, as this worker runs them.
struct Known {
    run: u32,
    runner: Result<Box<dyn Runner>, String>,
}

fn run(worker: &Worker, captures: bool) {
    let mut known: Option<Known> = None;
    let mut result = Vec::new();
    let generation = fork_generation();
    let (mut next, mut ended_ns) = (None, None);
    loop {
        match worker.try_next(&mut next) {
            Next::Task => {}
            Next::Over(_) => break,
            Next::Nothing => {
                ended_ns = None;
                worker.wait(TURN);
            }
        }
        let Some(task) = &mut next else { continue };
        if known.as_ref().is_none_or(|known| known.run != task.head.run) {
            ended_ns = None;
            known = Some(define(worker, task));
        }
        let Some(known) = &known else { continue };
        let began_ns = worker.begin(task, ended_ns);
        result.resize(RESULT_HEAD_BYTES, 0);
        let outcome = match worker.wanted(task) {
            Wanted::Yes => answer(known, task, &mut result),
            Wanted::Cancelled => {
                result.extend(Failure::cancelled().to_json());
                Outcome::Failed
            }
            Wanted::Dropped => {
                worker.pass_over(task);
                continue;
            }
        };
        if fork_generation() != generation {
            // The task forked, and this is the child that came back from it: all here is its parent's.
            nws_work::platform::leave_fork();
        }
        if captures {
            // A line without an end is in this process still. Where it cannot be written, it is lost.
            let _ = io::stdout().flush();
        }
        let finished = worker.finish(task, began_ns, outcome, &mut result);
        ended_ns = (!finished.is_behind).then_some(finished.at_ns);
        if finished.is_behind {
            worker.pause();
        }
    }
    worker.leave();
}

/// Prepares for the tasks of another call.
fn define(worker: &Worker, task: &Task) -> Known {
    // Reading what all tasks share may kill already: a task pays for that, or the next worker would
    // begin with the same, without end.
    worker.load(task);
    let run = task.head.run;
    let Ok(bytes) = worker.definition(run) else {
        worker.begin_run(None);
        // The call was given up while its task was on the way here, and then nobody takes this answer;
        // or it goes on, and without an answer would do so for ever.
        let message = format!("what tasks of run {run} share is gone: somebody deleted it in the sleigh's workspace");
        return Known { run, runner: Err(message) };
    };
    let (chunk_size, runner) = match panics::catch(|| load(&bytes)) {
        Ok(Ok((chunk_size, runner))) => (chunk_size, Ok(runner)),
        Ok(Err(message)) => (None, Err(message)),
        Err(panic) => (None, Err(format!("the fixed arguments cannot be read: {}", panic.message))),
    };
    worker.begin_run(chunk_size);
    Known { run, runner }
}

fn load(definition: &[u8]) -> Result<(Option<u32>, Box<dyn Runner>), String> {
    let definition = Definition::from_bytes(definition)?;
    let runner = find(&definition)?.prepare(&definition.fixed);
    let runner = runner.map_err(|message| format!("the fixed arguments cannot be read: {message}"))?;
    Ok((definition.chunk_size, runner))
}

/// Runs one task and appends its encoded result or failure.
fn answer(known: &Known, task: &Task, result: &mut Vec<u8>) -> Outcome {
    let answered = match &known.runner {
        Ok(runner) => call(&**runner, task.payload(), result),
        Err(message) => Err(failure("ArgumentError", message.clone(), String::new())),
    };
    let Err(failure) = answered else { return Outcome::Done };
    result.truncate(RESULT_HEAD_BYTES);
    result.extend(failure.to_json());
    Outcome::Failed
}

fn call(runner: &dyn Runner, given: &[u8], result: &mut Vec<u8>) -> Result<(), Box<Failure>> {
    match panics::catch(|| runner.run(given, result)) {
        Ok(Ok(())) if result.len() <= RESULT_BYTES => Ok(()),
        Ok(Ok(())) => Err(failure("ResultError", too_long(result.len()), String::new())),
        Ok(Err(TaskError { type_name, message })) => Err(failure(type_name, message, String::new())),
        Err(Panic { message, location, backtrace }) => {
            Err(failure(PANIC, message, cut(format!("{location}\n{backtrace}"))))
        }
    }
}

fn too_long(bytes: usize) -> String {
    format!(
        "the result takes {bytes} bytes; at most {RESULT_BYTES} fit: store it in a file or a workspace and return the \
         name"
    )
}

fn failure(type_name: &str, message: String, traceback: String) -> Box<Failure> {
    let type_name = type_name.to_owned();
    let message = cut(message);
    let kind = FailureKind::Exception;
    Box::new(Failure { kind, type_name, message, traceback, cause: None, deaths: 0 })
}

fn cut(text: String) -> String {
    if text.len() <= TEXT_BYTES {
        return text;
    }
    let boundary = |from: usize| (from..text.len()).find(|&place| text.is_char_boundary(place)).unwrap_or(text.len());
    let (start, end) = (boundary(TEXT_BYTES / 2), boundary(text.len() - TEXT_BYTES / 2));
    format!("{} ... ({} bytes left out) ... {}", &text[..start], end - start, &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_text_that_is_too_long_the_ends_travel() {
        assert_eq!(cut("short".to_owned()), "short");
        let long = cut("é".repeat(TEXT_BYTES));
        assert!(long.len() < TEXT_BYTES + 100);
        assert!(long.starts_with("éé") && long.ends_with("éé") && long.contains("bytes left out"));
    }
}
