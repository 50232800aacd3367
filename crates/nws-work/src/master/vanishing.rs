//! Notices that somebody has deleted a variable through which a run travels: what was in it is lost, and
//! the run would never end.
//!
//! Nothing tells of it by itself. So while a run is quiet it is looked, once in a while, whether its
//! variables are those that it began with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nws_proto::{Cursor, ErrorCode, Index, Reply, Request, Retrieve, VariableId, Wait};

use super::{Arrival, Shared};
use crate::link;

/// How long nothing has come in before it is looked, and between two looks.
const QUIET: Duration = Duration::from_secs(1);

/// The run that goes on, and its variables.
#[derive(Debug, Default)]
pub(super) struct Vanishing {
    going: Mutex<Option<Going>>,
}

#[derive(Debug)]
struct Going {
    run: u32,
    variables: Vec<(String, VariableId)>,
    heard: Instant,
}

impl Vanishing {
    fn going(&self) -> MutexGuard<'_, Option<Going>> {
        // No code that can panic runs under this lock, so the state is whole.
        self.going.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, run: u32) {
        *self.going() = Some(Going { run, variables: Vec::new(), heard: Instant::now() });
    }

    /// The run that goes on.
    pub(super) fn run(&self) -> Option<u32> {
        self.going().as_ref().map(|going| going.run)
    }

    pub(super) fn end(&self, run: u32) {
        self.going().take_if(|going| going.run == run);
    }

    /// Something has come in, or nothing: the variables to look at now, and their run.
    pub(super) fn heard(&self, something: bool) -> Option<(u32, Vec<(String, VariableId)>)> {
        let mut going = self.going();
        let going = going.as_mut()?;
        let now = Instant::now();
        let due = !something && now.duration_since(going.heard) >= QUIET;
        if something || due {
            going.heard = now;
        }
        due.then(|| (going.run, going.variables.clone()))
    }
}

impl Shared {
    /// From now on the run needs the variable as it is when the server comes to this.
    pub(super) fn rely_on(self: &Arc<Self>, run: u32, name: &str) {
        let shared = Arc::downgrade(self);
        let name = name.to_owned();
        self.look_at(&name.clone(), Cursor::Mode, move |found| {
            let (Some(shared), Ok(Reply::Values { variable, .. })) = (shared.upgrade(), found) else { return };
            let mut going = shared.vanishing.going();
            if let Some(going) = going.as_mut().filter(|going| going.run == run) {
                going.variables.push((name, variable));
            }
        });
    }

    /// Looks whether a variable is still the same one.
    pub(super) fn check(self: &Arc<Self>, run: u32, name: String, variable: VariableId) {
        let shared = Arc::downgrade(self);
        // Behind all values, so that none comes.
        let cursor = Cursor::After { variable, index: Index(u64::MAX) };
        self.look_at(&name.clone(), cursor, move |found| {
            if let (Some(shared), Err(nws_client::Error::Fault(fault))) = (shared.upgrade(), found)
                && fault.code == ErrorCode::VariableGone
            {
                shared.inbox.put(Arrival::Vanished { run, name }, 0);
            }
        });
    }

    fn look_at(
        &self,
        name: &str,
        cursor: Cursor,
        then: impl FnOnce(Result<Reply<bytes::Bytes>, nws_client::Error>) + Send + 'static,
    ) {
        let variable = link::bind(&self.connection, self.workspace, name);
        let find =
            Retrieve { variable, take: false, lease: false, wait: Wait::No, cursor, max_values: 1, max_bytes: 1 };
        self.connection.request_then(Request::Retrieve(find), then);
        self.connection.request_and_forget(&Request::Unbind { variable });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_variables_of_a_run_that_is_quiet_are_looked_at() {
        let vanishing = Vanishing::default();
        assert!(vanishing.heard(false).is_none());
        vanishing.begin(3);
        assert!(vanishing.heard(false).is_none(), "it has just begun");
        if let Some(going) = vanishing.going().as_mut() {
            going.variables.push(("tasks".to_owned(), VariableId(7)));
            going.heard -= QUIET;
        }
        assert_eq!(vanishing.heard(false), Some((3, vec![("tasks".to_owned(), VariableId(7))])));
        assert!(vanishing.heard(false).is_none(), "it was just looked");
        if let Some(going) = vanishing.going().as_mut() {
            going.heard -= QUIET;
        }
        assert!(vanishing.heard(true).is_none());
        assert!(vanishing.heard(false).is_none());
        vanishing.end(2);
        assert_eq!(vanishing.run(), Some(3));
        vanishing.end(3);
        assert_eq!(vanishing.run(), None);
    }
}
