//! The attributes of the crate `nws`, which re-exports and documents them.
//!
//! [`macro@task`] is made in `task`, from what `signature` reads; [`macro@main`] in `entry`.

mod entry;
mod signature;
mod task;

use proc_macro::TokenStream;

/// Makes a function one that the workers of a sleigh can run.
///
/// The function stays what it is. Its name is also that of its task: `name::task()` is what the methods
/// of `nws::sleigh::Sleigh` are given. Arguments and result travel by serde, so their types implement
/// `serde::Serialize` and `serde::Deserialize`; a reference as argument (`&str`, `&[f64]`, `&Config`)
/// is given what was sent. A function that returns a `Result` fails its task with `Err`, as one that
/// panics does; the error implements `Display`.
///
/// An argument marked `#[fixed]` is the same for all tasks of a call and travels to each worker once;
/// `name::with(value)` is the task with it.
///
/// It must be a function by itself: no `self`, not `async`, `unsafe` or generic, with at most eight
/// arguments of each kind.
#[proc_macro_attribute]
pub fn task(attribute: TokenStream, item: TokenStream) -> TokenStream {
    task::expand(attribute.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Makes `nws::init()` the first thing that `main` does.
///
/// It goes above other attributes of `main`, such as those of async runtimes.
#[proc_macro_attribute]
pub fn main(attribute: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(attribute.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}
