//! A worker's connection, and what it does about tasks and results on each of its threads.

use std::sync::Arc;

use bytes::Bytes;
use nws_client::Connection;
use nws_proto::{
    Cursor, Descriptor, ErrorCode, Event, Fault, FinishItem, Item, Language, LeaseId, Reply, Request, Retrieve,
    VariableHandle, Wait, WorkspaceHandle,
};

use super::outbox::{Outbox, Sent, Urgency};
use super::queue::{Queue, Task};
use crate::clock::monotonic_ns;
use crate::envelope::{Failure, Outcome, ResultHead, TaskHead};

/// Most bytes of tasks in one fetch; the first task always goes.
const FETCH_BYTES: u32 = 4 << 20;

/// What the thread that runs tasks has in common with those that fetch and send.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) connection: Connection,
    pub(super) queue: Queue,
    pub(super) outbox: Outbox,
    pub(super) tasks: VariableHandle,
    pub(super) own_tasks: VariableHandle,
    pub(super) results: VariableHandle,
    pub(super) rank: u32,
    pub(super) workspace: WorkspaceHandle,
}

impl Shared {
    /// Answers recalls, and lets the worker end when the connection does.
    pub(super) fn listen(self: &Arc<Self>) {
        // The connection keeps its handlers; a strong reference would keep both alive for ever.
        let shared = Arc::downgrade(self);
        self.connection.on_event(move |event| {
            if let (Some(shared), Event::Recall { wanted, .. }) = (shared.upgrade(), event) {
                let leases = shared.queue.give_back(wanted);
                shared.connection.request_and_forget(&Request::Release { leases, died: false, recalled: true });
            }
        });
        let shared = Arc::downgrade(self);
        self.connection.on_close(move |error| {
            if let Some(shared) = shared.upgrade() {
                shared.queue.close(&error.to_string());
                shared.outbox.close();
            }
        });
    }

    /// Asks for up to `count` tasks; the answer goes to the queue.
    pub(super) fn fetch(self: Arc<Self>, variable: VariableHandle, count: u32) {
        let fetch = Retrieve {
            variable,
            take: true,
            lease: true,
            wait: Wait::Forever,
            cursor: Cursor::Mode,
            max_values: count,
            max_bytes: FETCH_BYTES,
        };
        let shared = self.clone();
        self.connection.request_then(Request::Retrieve(fetch), move |reply| shared.fetched(variable, count, reply));
    }

    fn fetched(self: Arc<Self>, variable: VariableHandle, count: u32, reply: Result<Reply<Bytes>, nws_client::Error>) {
        match reply {
            Ok(Reply::Values { first_lease, values, .. }) => {
                let tasks = values.into_iter().enumerate().filter_map(|(offset, grant)| {
                    let lease = LeaseId(first_lease.0 + offset as u64);
                    let (head, _) = TaskHead::decode(&grant.item.value)?;
                    Some(Task { lease, head, value: grant.item.value })
                });
                let own = variable == self.own_tasks;
                self.queue.push(tasks, own);
                if own {
                    self.fetch(variable, count);
                }
            }
            // The master deletes the variable to end a run early, and goes on with another.
            Err(nws_client::Error::Fault(fault)) if fault.code == ErrorCode::VariableGone => {
                self.fetch(variable, count);
            }
            Ok(other) => self.queue.close(&format!("expected tasks from the server, got {:?}", other.opcode())),
            Err(error) => self.queue.close(&error.to_string()),
        }
    }

    /// Adds a result; whether that was the moment to send.
    pub(super) fn put(self: &Arc<Self>, task: &Task, result: &mut Vec<u8>, now_ns: u64, duration_ns: u64) -> bool {
        let now = self.outbox.put(task, result, now_ns, duration_ns) == Urgency::Now;
        if now {
            self.flush();
        }
        now
    }

    /// Adds what a task said.
    pub(super) fn say(self: &Arc<Self>, value: Vec<u8>) {
        if self.outbox.say(value, monotonic_ns()) == Urgency::Now {
            self.flush();
        }
    }

    pub(super) fn flush(self: &Arc<Self>) {
        self.outbox.send(|sent| self.send(sent));
    }

    fn send(self: &Arc<Self>, sent: Sent) {
        let Sent { said, items, tasks } = sent;
        self.store(said);
        if items.is_empty() {
            return;
        }
        let shared = self.clone();
        let finish = Request::Finish { variable: self.results, items };
        self.connection.request_then(finish, move |reply| match reply {
            // Without a word the next worker would bring the same results, without end.
            Err(nws_client::Error::Fault(fault)) => shared.fail(tasks, &fault),
            reply => shared.delivered(&tasks, reply),
        });
    }

    /// Requests are carried out in order, so that what tasks said comes before their results.
    fn store(&self, items: Vec<Item<Bytes>>) {
        if !items.is_empty() {
            // Where the server has no room for it, it is lost.
            self.connection.request_then(Request::Store { variable: self.results, items }, |_| {});
        }
    }

    /// The server did not take results: in their stead it gets the reason.
    fn fail(self: &Arc<Self>, tasks: Vec<(LeaseId, TaskHead)>, fault: &Fault) {
        let finish = Request::Finish { variable: self.results, items: self.failures(&tasks, fault) };
        let shared = self.clone();
        self.connection.request_then(finish, move |reply| shared.delivered(&tasks, reply));
    }

    fn failures(&self, tasks: &[(LeaseId, TaskHead)], fault: &Fault) -> Vec<FinishItem<Bytes>> {
        let failure = Failure::refused(fault);
        let item = |&(lease, task): &(LeaseId, TaskHead)| {
            let now = monotonic_ns();
            let head = ResultHead { task, rank: self.rank, outcome: Outcome::Failed, began_ns: now, duration_ns: 0 };
            let value = Bytes::from(failure.to_result(head));
            FinishItem { lease, result: Item { descriptor: Descriptor::bytes(Language::Rust), value } }
        };
        tasks.iter().map(item).collect()
    }

    /// Sends a result after what waits, and waits until it has arrived; whether it has.
    pub(super) fn deliver(&self, task: &Task, result: &mut Vec<u8>, now_ns: u64) -> bool {
        let variable = self.results;
        let sent = self.outbox.put_and_send(task, result, now_ns, |Sent { said, items, tasks }| {
            self.store(said);
            (self.connection.request(Request::Finish { variable, items }), tasks)
        });
        let Some((reply, tasks)) = sent else { return false };
        let mut reply = reply.wait();
        if let Err(nws_client::Error::Fault(fault)) = &reply {
            let items = self.failures(&tasks, fault);
            reply = self.connection.request(Request::Finish { variable, items }).wait();
        }
        let arrived = reply.is_ok();
        self.delivered(&tasks, reply);
        arrived
    }

    fn delivered(&self, tasks: &[(LeaseId, TaskHead)], reply: Result<Reply<Bytes>, nws_client::Error>) {
        match reply {
            Ok(Reply::Finished { refused }) => {
                // The server ends the leases of a run that the master gave up; results of the next one
                // may have travelled in the same frame.
                let ended = refused.iter().filter(|(_, code)| *code == ErrorCode::LeaseEnded);
                let runs = ended.filter_map(|(position, _)| Some(tasks.get(*position as usize)?.1.run));
                if let Some(run) = runs.max() {
                    self.queue.drop_run(run);
                }
            }
            Ok(_) => {}
            Err(error) => self.queue.close(&error.to_string()),
        }
    }

    /// Sends results of short tasks that would otherwise wait for a long one to end.
    pub(super) fn flush_when_due(self: Arc<Self>) {
        while self.outbox.wait_until_due() {
            self.flush();
        }
    }
}
