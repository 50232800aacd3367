//! What `#[nws::task]` makes of a function, and what can be handed to it.
//!
//! - [`Task`]: a function that workers find by its name. [`Job`]: a task with all that its calls have
//!   in common, which is what a sleigh runs; [`Bound`] is one with fixed arguments.
//! - [`Given`] and [`Argument`]: what may stand for a task's arguments in the master.
//! - `registry`: how workers find tasks. `compact`: how arguments and results are written.

mod arguments;
mod compact;
mod registry;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use arguments::{Argument, Arguments, Borrowed, Given};
pub(crate) use compact::{decode, encode};
pub use registry::Entry;
pub(crate) use registry::{Definition, Runner, find, register};

/// For what the attributes expand to.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
}

/// A function that workers can run, under the name of the function. `#[nws::task]` makes it.
///
/// ```
/// use nws::task::Task;
///
/// #[nws::task]
/// fn shout(text: &str) -> String {
///     text.to_uppercase()
/// }
///
/// assert_eq!(shout("hello"), "HELLO"); // it is called as ever
/// assert!(shout::NAME.ends_with("::shout"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    note = "put #[nws::task] on the function, and hand it over by its name"
)]
pub trait Task: Copy + Send + Sync + 'static {
    /// Path and name of the function.
    const NAME: &'static str;
    /// Where the function stands: file, line, column.
    const PLACE: &'static str;
    /// The arguments that each task has of its own, as a tuple.
    type Given: Arguments;
    /// The arguments that all tasks of a call share, as a tuple.
    type Fixed: Arguments;
    /// The result.
    type Output: Serialize + DeserializeOwned + Send;

    /// Calls the function.
    ///
    /// # Errors
    /// Those that the function returns.
    fn run(given: Self::Given, fixed: &Self::Fixed) -> Result<Self::Output, TaskError>;

    /// This task with its fixed arguments: one of them, or a tuple of several.
    ///
    /// ```
    /// # use nws::task::Task;
    /// #[nws::task]
    /// fn scale(x: f64, #[fixed] factors: &[f64]) -> Vec<f64> {
    ///     factors.iter().map(|factor| factor * x).collect()
    /// }
    ///
    /// let scaled = scale.with(&[1.0, 10.0][..]); // for Sleigh::each_elem(scaled, inputs)
    /// # let _ = scaled;
    /// ```
    fn with(self, fixed: impl Given<Self::Fixed>) -> Bound<Self> {
        let mut bytes = Vec::new();
        let encoded = fixed.encode(&mut bytes).map(|()| bytes);
        Bound { task: self, fixed: encoded }
    }
}

/// A task with its fixed arguments. [`Task::with`] makes it.
#[derive(Clone, Debug)]
pub struct Bound<T> {
    task: T,
    fixed: Result<Vec<u8>, String>,
}

/// What a sleigh runs: a task without fixed arguments, or one [with](Task::with) them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be run by a sleigh as it is",
    note = "a function becomes a task by #[nws::task] above it; a task with #[fixed] arguments is given them by \
            `.with(...)`"
)]
pub trait Job {
    /// The task.
    type Task: Task;

    /// The encoded fixed arguments.
    ///
    /// # Errors
    /// Why they cannot be encoded.
    #[doc(hidden)]
    fn fixed(&self) -> Result<&[u8], String>;
}

impl<T: Task<Fixed = ()>> Job for T {
    type Task = T;

    fn fixed(&self) -> Result<&[u8], String> {
        Ok(&[])
    }
}

impl<T: Task> Job for Bound<T> {
    type Task = T;

    fn fixed(&self) -> Result<&[u8], String> {
        let _ = self.task;
        self.fixed.as_deref().map_err(Clone::clone)
    }
}

/// Why a function did not return a value.
#[derive(Debug)]
pub struct TaskError {
    /// The error's type.
    pub(crate) type_name: &'static str,
    /// Its text.
    pub(crate) message: String,
}

/// Results of functions that may fail: `Err` fails the task.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how a task fails",
    note = "a task whose result is named `Result` returns `Result<T, E>`, where `E` implements `std::fmt::Display`"
)]
pub trait Fallible {
    /// What comes back when it does not fail.
    type Value;

    /// The value, or the error's text.
    ///
    /// # Errors
    /// That of the function.
    fn settle(self) -> Result<Self::Value, TaskError>;
}

impl<T, E: std::fmt::Display> Fallible for Result<T, E> {
    type Value = T;

    fn settle(self) -> Result<T, TaskError> {
        // The alternate form of errors that keep a chain of causes tells all of it.
        self.map_err(|error| TaskError { type_name: std::any::type_name::<E>(), message: format!("{error:#}") })
    }
}
