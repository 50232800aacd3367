//! The variables that a workspace has bound, by name.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use nws_proto::{ErrorCode, Fault, Request, VariableHandle, WorkspaceHandle};

use crate::shared::lock;
use crate::{Connection, Error};

/// So many names are remembered a workspace; the oldest is unbound when one more comes.
const NAMES: usize = 4096;

/// A name that is bound.
#[derive(Debug)]
pub(crate) struct Bound {
    connection: Connection,
    pub(crate) handle: VariableHandle,
    name: Vec<u8>,
    /// Why it could not be bound, once that is known.
    fault: Arc<OnceLock<Fault>>,
    /// Forgotten by its workspace, and to be unbound when the last request with it is on its way.
    forgotten: AtomicBool,
}

impl Bound {
    /// What is wrong, where binding was what failed: replies come in order, so that is known by now.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match (&error, self.fault.get()) {
            (Error::Fault(fault), Some(cause)) if fault.code == ErrorCode::UnknownHandle => Error::Fault(cause.clone()),
            _ => error.about(&self.name),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if *self.forgotten.get_mut() {
            self.connection.request_and_forget(&Request::Unbind { variable: self.handle });
        }
    }
}

/// The names that one workspace has bound.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<Vec<u8>, Arc<Bound>>,
    oldest_first: VecDeque<Vec<u8>>,
}

impl Variables {
    /// The variable of this name, bound where it is not yet. The binding is sent before anybody else
    /// can use it.
    pub(crate) fn bound(&self, connection: &Connection, workspace: WorkspaceHandle, name: &[u8]) -> Arc<Bound> {
        let mut known = lock(&self.known);
        if let Some(bound) = known.by_name.get(name)
            && bound.fault.get().is_none()
        {
            return Arc::clone(bound);
        }
        let bound = bind(connection, workspace, name);
        if known.by_name.insert(name.to_vec(), Arc::clone(&bound)).is_none() {
            known.oldest_first.push_back(name.to_vec());
        }
        if known.oldest_first.len() > NAMES
            && let Some(oldest) = known.oldest_first.pop_front()
            && let Some(oldest) = known.by_name.remove(&oldest)
        {
            oldest.forgotten.store(true, Ordering::Relaxed);
        }
        bound
    }
}

fn bind(connection: &Connection, workspace: WorkspaceHandle, name: &[u8]) -> Arc<Bound> {
    let fault = Arc::new(OnceLock::new());
    let failed = Arc::clone(&fault);
    let variable = connection.new_variable_handle();
    connection.request_then(Request::Bind { variable, workspace, name: name.to_vec() }, move |outcome| {
        if let Err(Error::Fault(fault)) = outcome {
            // Nobody else sets it.
            let _ = failed.set(fault);
        }
    });
    let (connection, name, forgotten) = (connection.clone(), name.to_vec(), AtomicBool::new(false));
    Arc::new(Bound { connection, handle: variable, name, fault, forgotten })
}
