//! Tasks for commands: any programs that read tasks on standard input and answer on standard output.
//!
//! A [`Job`] starts commands, hands each of them one task after the other, and gives the results in
//! order. There is no server. A command that is too busy is left alone for a while; one that dies, or
//! writes what is no answer, gives its task back and is started again, and is given up after three ends
//! in a row without an answer. No command outlives the program, whatever becomes of that.
//!
//! Tasks and answers are lines of JSON, so that a command may be written in anything; [`Job::run`] has
//! them typed by serde. A task is its value in JSON. An answer is an object with one of `result`,
//! `too_busy` (seconds) and `error` (a text, or a list), and perhaps `stdout` and `stderr`: lists of
//! lines that the program prints. [`serve`] is the command's side in Rust. For anything else, such as
//! pickles of `nws.spread_jobs`, [`Job::run_raw`] hands over bytes.
//!
//! # Example
//! ```
//! use nws::spread::{Command, Job};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! nws::init();
//! let script = r#"while read x; do echo "{\"result\": $((x * x))}"; done; echo bye"#;
//! let worker = Command::new("sh").args(["-c", script]);
//! let done = Job::new([worker.clone(), worker]).run::<u32, u64>(1..=5)?;
//! assert_eq!(done.results, [1, 4, 9, 16, 25]);
//! assert_eq!(done.tails, [b"bye\n", b"bye\n"]);
//! # Ok(())
//! # }
//! ```
//!
//! As with a [sleigh](crate::sleigh), what watches the commands is this program, started again: its
//! `main` begins with [`nws::init()`](crate::init), or is marked by [`#[nws::main]`](macro@crate::main).

mod error;
mod job;
mod lines;
mod run;
mod serving;

pub use error::{Ended, Failure, Reason};
pub use job::{Done, Event, Job, Outcome, Reply};
pub use nws_work::commands::Command;
pub use nws_work::control::Cause;
pub use nws_work::spread::framing::Framing;
pub use serving::{Refusal, serve};
