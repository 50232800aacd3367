//! What `#[nws::task]` makes of a function, and what can be handed to it.
//!
//! - [`Task`]: a function that workers find by its name. [`Job`]: a task with all that its calls have
//!   in common, which is what a sleigh runs; [`Bound`] is one with fixed arguments.
//! - [`Given`] and [`Argument`]: what may stand for a task's arguments in the master.
//! - `registry`: how workers find tasks. `compact`: how arguments and results are written.

mod arguments;
mod compact;
mod registry;

use std::marker::PhantomData;

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

/// A function that workers can run. `#[nws::task]` makes a type of the function's name that is one.
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
/// assert!(<shout as Task>::NAME.ends_with("::shout"));
/// ```
///
/// The compiler refuses functions without the attribute, arguments that do not fit, fixed arguments that are
/// left out, and types that cannot be sent, each with what to do:
///
/// ```compile_fail,E0277
/// # let sleigh = nws::sleigh::Sleigh::builder().build().unwrap();
/// fn plain(x: i64) -> i64 {
///     x
/// }
/// sleigh.each_elem(plain, [1]); // "is not a task: put #[nws::task] on the function"
/// ```
/// ```compile_fail,E0277
/// # let sleigh = nws::sleigh::Sleigh::builder().build().unwrap();
/// #[nws::task]
/// fn cube(x: i64) -> i64 {
///     x * x * x
/// }
/// sleigh.each_elem(cube::task(), ["three"]); // "`&str` does not fit the arguments `(i64,)` of this task"
/// ```
/// ```compile_fail,E0277
/// # let sleigh = nws::sleigh::Sleigh::builder().build().unwrap();
/// #[nws::task]
/// fn add(x: i64, #[fixed] y: i64) -> i64 {
///     x + y
/// }
/// sleigh.each_elem(add::task(), [1]); // "the task has #[fixed] arguments, and they are not given"
/// ```
/// ```compile_fail,E0277
/// struct Point; // "consider adding `#[derive(serde::Deserialize)]`"
/// #[nws::task]
/// fn origin() -> Point {
///     Point
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    note = "put #[nws::task] on the function, and hand over its task: `name::task()`"
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
}

/// A task with its fixed arguments. `#[nws::task]` gives each task a function `with` that makes it.
///
/// ```
/// #[nws::task]
/// fn scale(x: f64, #[fixed] factors: &[f64]) -> Vec<f64> {
///     factors.iter().map(|factor| factor * x).collect()
/// }
///
/// let scaled = scale::with(&[1.0, 10.0][..]); // for Sleigh::each_elem(scaled, inputs)
/// # let _ = scaled;
/// ```
#[derive(Clone, Debug)]
pub struct Bound<T> {
    fixed: Result<Vec<u8>, String>,
    task: PhantomData<T>,
}

impl<T: Task> Bound<T> {
    /// A task with its fixed arguments: one of them, or a tuple of several.
    pub fn new(fixed: impl Given<T::Fixed>) -> Self {
        let mut bytes = Vec::new();
        let encoded = fixed.encode(&mut bytes).map(|()| bytes);
        Self { fixed: encoded, task: PhantomData }
    }
}

/// What a sleigh runs: a task without fixed arguments, or one [with](Bound) them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be run by a sleigh as it is",
    note = "a function gets a task by #[nws::task] above it, and that is handed over: `name::task()`"
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

impl<T: Task> Job for T
where
    T::Fixed: Nothing,
{
    type Task = T;

    fn fixed(&self) -> Result<&[u8], String> {
        Ok(&[])
    }
}

impl<T: Task> Job for Bound<T> {
    type Task = T;

    fn fixed(&self) -> Result<&[u8], String> {
        self.fixed.as_deref().map_err(Clone::clone)
    }
}

/// The fixed arguments of a task that has none.
#[diagnostic::on_unimplemented(
    message = "the task has #[fixed] arguments, and they are not given",
    note = "hand over `name::with(value)`, or `name::with((first, second))`, rather than `name::task()`"
)]
pub trait Nothing {}

impl Nothing for () {}

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
