//! Processes: start them, watch them, say why they ended, and end whole trees. Knows no protocol.
//!
//! Start with [`Supervisor`]: it lives on one thread, starts processes from a [`Spawn`], and tells
//! in [`Happening`]s what became of them, each [`End`] with its cause.
//!
//! - `spawn`: what to start. `image`: the same as the kernel is told of it.
//! - `supervisor`: the event loop. `child`: what it knows of each child.
//! - `tree`: which processes belong to a child, and how they are ended. `numbers`: by which a child that
//!   lived shortly is known to have left none.
//! - `output`: the children's lines, passed on and their last ones kept.
//! - `end`: the cause of an end; `memory`: whether the kernel ran out of memory.
//! - `cores`: how many cores there are for us.
//! - `resident`: how much memory a tree of processes holds.
//! - `shortage`: want of what others give back when they end.
//! - `signals`: what a supervisor itself does about signals.
//! - `platform`: everything `unsafe`, and what only Linux has; in `fork`, what a child does before it is
//!   its program.
//!
//! # Example
//! ```
//! use nws_supervise::{Happening, Spawn, Status, Supervisor};
//!
//! let mut supervisor = Supervisor::new()?;
//! let id = supervisor.spawn(Spawn::new("/bin/sh").arg("-c").arg("echo why >&2; kill -9 $$"))?;
//! let Some(Happening::Ended(ended, end)) = supervisor.next_event(None)? else { panic!("nothing else can happen") };
//! assert_eq!(ended, id);
//! assert_eq!(end.status, Status::Signaled { signal: 9, core_dumped: false });
//! assert_eq!(end.stderr_tail, ["why"]);
//! # Ok::<(), std::io::Error>(())
//! ```

mod child;
mod cores;
mod end;
mod image;
mod memory;
mod numbers;
mod output;
mod platform;
mod resident;
mod shortage;
mod signals;
mod spawn;
mod supervisor;
mod tree;
mod waker;

pub use cores::{fitting_workers, usable_cores};
pub use end::{End, OutOfMemory, Status, signal_name};
pub use resident::resident_bytes;
pub use shortage::{is_shortage, with_advice};
pub use signals::{
    end_by_signal, ignore_interrupts, interruption_requests, new_session, taken_signal, termination_requests,
};
pub use spawn::{Output, PROCESS_MARKER, Spawn};
pub use supervisor::{Happening, ProcessId, Supervisor};
pub use waker::Waker;
