//! The client that comes last, and takes what is left.

use nws_proto::{Cursor, Request, Retrieve, SessionId, VariableHandle, Wait};

use super::{Asked, Own};
use crate::client::Out;
use crate::ledger::{Seen, VOLATILE};

impl Own {
    /// Who takes what is left when all is over.
    pub(crate) fn last() -> Self {
        Self { takes: Seen::Left, ..Self::new(0, SessionId(0)) }
    }

    /// Takes what there is of a variable of `kept`, at most so many values.
    pub(crate) fn take_all(&mut self, out: &mut Out, variable: usize, most: u32) {
        let retrieve = Retrieve {
            variable: VariableHandle(variable as u32 + 1),
            take: true,
            lease: false,
            wait: Wait::No,
            cursor: Cursor::Mode,
            max_values: most,
            max_bytes: u32::MAX,
        };
        self.request(out, &Request::Retrieve(retrieve), Asked::Retrieve(Seen::Left));
    }

    pub(crate) fn delete_volatile(&mut self, out: &mut Out) {
        self.request(out, &Request::DeleteWorkspace { name: VOLATILE.as_bytes().to_vec() }, Asked::Other);
    }
}
