//! What a task can ask of the worker that runs it.
//!
//! ```
//! # use nws::sleigh::Sleigh;
//! use nws::worker;
//!
//! #[nws::task]
//! fn note(word: &str) -> Result<(), nws::Error> {
//!     let line = format!("{word} from worker {:?}", worker::rank());
//!     worker::user_workspace()?.store("notes", line)
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     nws::init();
//!     let sleigh = Sleigh::builder().workers(1).build()?;
//!     sleigh.each_elem(note::task(), ["hello"])?;
//!     let noted: String = sleigh.user_workspace().fetch("notes")?;
//!     assert_eq!(noted, "hello from worker Some(0)");
//!     assert_eq!(worker::rank(), None); // this is the master
//!     Ok(())
//! }
//! ```

pub(crate) mod panics;
mod tasks;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use nws_client::Connection;
use nws_work::control::Bootstrap;
use serde::{Deserialize, Serialize};

use crate::blocking::{Server, Workspace};
use crate::{Error, ErrorCode, Fault};

pub(crate) use tasks::{PANIC, serve};

/// In the sleigh's workspace: the name of the user's, as for workers in Python.
pub(crate) const USER_SPACE: &str = "user workspace";

/// The definition of a task that each worker runs before any other, and its arguments.
pub(crate) type First = (Vec<u8>, Vec<u8>);

/// What the master tells each worker through the host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) first: Option<First>,
    /// How much of a task's output on each stream goes to the master; `None`: it is not captured.
    #[serde(default)]
    pub(crate) output_limit_bytes: Option<usize>,
}

#[derive(Debug)]
struct Context {
    rank: u32,
    worker_count: u32,
    server: Server,
    workspace: String,
    opened: Mutex<Opened>,
}

/// The workspaces that were used so far.
#[derive(Debug, Default)]
struct Opened {
    own: Option<Workspace>,
    user: Option<Workspace>,
}

static CONTEXT: OnceLock<Context> = OnceLock::new();

/// The rank of this worker, from 0; `None` in a process that is no worker.
pub fn rank() -> Option<u32> {
    CONTEXT.get().map(|context| context.rank)
}

/// How many workers this worker's sleigh has; `None` in a process that is no worker.
pub fn worker_count() -> Option<u32> {
    CONTEXT.get().map(|context| context.worker_count)
}

/// The workspace through which the sleigh's tasks travel. Other variables in it are the program's to
/// use, and go with the sleigh.
///
/// # Errors
/// This process is no worker; those of the connection.
pub fn workspace() -> Result<Workspace, Error> {
    let context = context()?;
    context.own(&mut context.opened())
}

/// A workspace for the program and its tasks, which goes with the sleigh: what
/// [`Sleigh::user_workspace`](crate::sleigh::Sleigh::user_workspace) is in the master.
///
/// # Errors
/// This process is no worker; those of the connection.
pub fn user_workspace() -> Result<Workspace, Error> {
    let context = context()?;
    let mut opened = context.opened();
    if let Some(user) = &opened.user {
        return Ok(user.clone());
    }
    let name: String = context.own(&mut opened)?.find(USER_SPACE)?;
    let user = context.server.use_workspace(name)?;
    Ok(opened.user.insert(user).clone())
}

fn context() -> Result<&'static Context, Error> {
    let message = "expected to be in a worker of a sleigh; this process is none";
    CONTEXT.get().ok_or_else(|| Fault::new(ErrorCode::BadArguments, message).into())
}

impl Context {
    fn opened(&self) -> MutexGuard<'_, Opened> {
        // What is written under this lock is written in one step, so the state is whole.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self, opened: &mut Opened) -> Result<Workspace, Error> {
        if let Some(own) = &opened.own {
            return Ok(own.clone());
        }
        let own = self.server.use_workspace(&self.workspace)?;
        Ok(opened.own.insert(own).clone())
    }
}

/// Lets tasks ask from here on.
fn introduce(bootstrap: &Bootstrap, connection: &Connection) {
    // A process is made a worker once, so nothing was there before.
    CONTEXT.get_or_init(|| Context {
        rank: bootstrap.rank,
        worker_count: bootstrap.worker_count,
        server: connection.clone().into(),
        workspace: bootstrap.workspace.clone(),
        opened: Mutex::default(),
    });
}

/// What the master said is for this worker to read.
fn settings(bootstrap: &Bootstrap) -> Result<Settings, String> {
    let text = bootstrap.settings.as_str().unwrap_or("{}");
    serde_json::from_str(text).map_err(|error| format!("this worker's settings cannot be read: {error}"))
}
