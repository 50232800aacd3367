//! Values that were fetched for somebody who does not wait any more.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use bytes::Bytes;
use nws_proto::{Grant, LeaseId, Reply, VariableId};

use crate::shared::lock;

type OldestFirst = VecDeque<(VariableId, Grant<Bytes>)>;

/// The values by the names of their variables, for the next fetches there.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    values: Mutex<HashMap<Vec<u8>, OldestFirst>>,
}

impl Kept {
    /// Keeps what a plain fetch was answered with.
    pub(crate) fn keep(&self, name: &[u8], reply: Reply<Bytes>) {
        if let Reply::Values { variable, values, .. } = reply
            && !values.is_empty()
        {
            let mut kept = lock(&self.values);
            kept.entry(name.to_vec()).or_default().extend(values.into_iter().map(|grant| (variable, grant)));
        }
    }

    /// The value that was kept first, as the answer to a fetch.
    pub(crate) fn take(&self, name: &[u8]) -> Option<Reply<Bytes>> {
        let mut kept = lock(&self.values);
        let of_name = kept.get_mut(name)?;
        let (variable, grant) = of_name.pop_front()?;
        if of_name.is_empty() {
            kept.remove(name);
        }
        Some(Reply::Values { variable, first_lease: LeaseId(0), values: vec![grant] })
    }
}
