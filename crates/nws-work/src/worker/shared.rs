//! A worker's connection, and what it does about tasks and results on each of its threads.

use std::sync::Arc;

use bytes::Bytes;
use nws_client::Connection;
use nws_proto::{
    Cursor, ErrorCode, Event, Fault, FinishItem, Item, LeaseId, Reply, Request, Retrieve, VariableHandle, Wait,
    WorkspaceHandle,
};

use super::hand::Rest;
use super::outbox::{BUNDLE_PATIENCE_NS, Outbox, Part, Sent, Urgency, item};
use super::queue::Queue;
use super::task::Task;
use crate::clock::monotonic_ns;
use crate::envelope::{Bundle, Failure, Outcome, ResultHead, TaskHead, add_result, begin_results};
use crate::page::Page;

/// Most bytes of tasks in one fetch; the first task always goes.
const FETCH_BYTES: u32 = 4 << 20;

/// What the thread that runs tasks has in common with those that fetch and send.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) connection: Connection,
    pub(super) page: Arc<Page>,
    pub(super) queue: Queue,
    pub(super) outbox: Outbox,
    pub(super) tasks: VariableHandle,
    pub(super) own_tasks: VariableHandle,
    pub(super) results: VariableHandle,
    pub(super) rank: u32,
    /// Each result is waited for before the next task: what a bundle has is not given to others meanwhile.
    pub(super) careful: bool,
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
                    let bundle = Bundle::decode(&grant.item.value)?;
                    Task::new(lease, grant.index, grant.deaths, bundle, grant.item.value)
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

    /// Adds a result, with which the lease `ends`; whether that was the moment to send.
    pub(super) fn put(&self, task: &Task, ends: bool, result: &mut Vec<u8>, now_ns: u64, duration_ns: u64) -> bool {
        self.outbox.put(task, ends, result, now_ns, duration_ns) == Urgency::Now
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
        let Sent { said, partial, open, items, parts, runs } = sent;
        self.store(said);
        if !partial.is_empty() {
            let shared = self.clone();
            let store = Request::Store { variable: self.results, items: partial };
            self.connection.request_then(store, move |reply| match reply {
                Err(nws_client::Error::Fault(fault)) => shared.fail(&open, &fault),
                reply => shared.stored(&open, reply),
            });
        }
        if items.is_empty() {
            return;
        }
        let shared = self.clone();
        let finish = Request::Finish { variable: self.results, items };
        self.connection.request_then(finish, move |reply| match reply {
            // Without a word the next worker would bring the same results, without end.
            Err(nws_client::Error::Fault(fault)) => shared.fail(&parts, &fault),
            reply => {
                shared.note_delivered(&parts);
                shared.delivered(&runs, reply);
            }
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
    fn fail(self: &Arc<Self>, parts: &[Part], fault: &Fault) {
        let (partial, items, runs) = self.failures(parts, fault);
        self.store(partial);
        if !items.is_empty() {
            let finish = Request::Finish { variable: self.results, items };
            let shared = self.clone();
            self.connection.request_then(finish, move |reply| shared.delivered(&runs, reply));
        }
    }

    /// What is stored, and what ends leases, in the stead of results that were refused.
    fn failures(&self, parts: &[Part], fault: &Fault) -> (Vec<Item<Bytes>>, Vec<FinishItem<Bytes>>, Vec<u32>) {
        let failure = Failure::refused(fault);
        let (mut partial, mut items, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            let mut value = Vec::new();
            begin_results(&mut value);
            for task in part.tasks() {
                let began_ns = monotonic_ns();
                let head = ResultHead { task, rank: self.rank, outcome: Outcome::Failed, began_ns, duration_ns: 0 };
                add_result(&mut value, &failure.to_result(head));
            }
            let result = item(Bytes::from(value));
            if part.ends {
                items.push(FinishItem { lease: part.lease, result });
                runs.push(part.first.run);
            } else {
                partial.push(result);
            }
        }
        (partial, items, runs)
    }

    /// Sends a result after what waits, and waits until it has arrived; whether it has.
    pub(super) fn deliver(&self, task: &Task, ends: bool, result: &mut Vec<u8>, now_ns: u64) -> bool {
        let variable = self.results;
        let sent = self.outbox.put_and_send(task, ends, result, now_ns, |sent| {
            let Sent { said, partial, open, items, parts, runs } = sent;
            self.store(said);
            let ask = |is_empty: bool, request| (!is_empty).then(|| self.connection.request(request));
            let stored = ask(partial.is_empty(), Request::Store { variable, items: partial });
            let finished = ask(items.is_empty(), Request::Finish { variable, items });
            [(stored, open, Vec::new()), (finished, parts, runs)]
        });
        let Some(sent) = sent else { return false };
        sent.into_iter().all(|(reply, parts, runs)| {
            let arrived = reply.is_none_or(|reply| self.delivered_or_failed(reply.wait(), &parts, &runs));
            if arrived {
                self.note_delivered(&parts);
            }
            arrived
        })
    }

    /// Whether results, or in their stead why the server refused them, have arrived.
    fn delivered_or_failed(
        &self,
        mut reply: Result<Reply<Bytes>, nws_client::Error>,
        parts: &[Part],
        runs: &[u32],
    ) -> bool {
        if let Err(nws_client::Error::Fault(fault)) = &reply {
            let (partial, items, _) = self.failures(parts, fault);
            let instead = match items.is_empty() {
                true => Request::Store { variable: self.results, items: partial },
                false => Request::Finish { variable: self.results, items },
            };
            reply = self.connection.request(instead).wait();
        }
        let arrived = reply.is_ok();
        self.delivered(runs, reply);
        arrived
    }

    /// Tells the host which results of the bundle that is run are there: those tasks need not be run again.
    fn note_delivered(&self, parts: &[Part]) {
        if let Some(part) = parts.iter().rfind(|part| !part.ends) {
            self.page.set_delivered(part.lease, part.first.index + u64::from(part.count));
        }
    }

    fn stored(&self, parts: &[Part], reply: Result<Reply<Bytes>, nws_client::Error>) {
        match reply {
            Ok(_) => self.note_delivered(parts),
            Err(error) => self.queue.close(&error.to_string()),
        }
    }

    fn delivered(&self, runs: &[u32], reply: Result<Reply<Bytes>, nws_client::Error>) {
        match reply {
            Ok(Reply::Finished { refused }) => {
                // The server ends the leases of a run that the master gave up; results of the next one
                // may have travelled in the same frame.
                let ended = refused.iter().filter(|(_, code)| *code == ErrorCode::LeaseEnded);
                let runs = ended.filter_map(|(position, _)| runs.get(*position as usize));
                if let Some(run) = runs.max() {
                    self.queue.drop_run(*run);
                }
            }
            Ok(_) => {}
            Err(error) => self.queue.close(&error.to_string()),
        }
    }

    /// Sends results of short tasks that would otherwise wait for a long one to end, and gives back what a bundle
    /// has that goes on for longer than was thought.
    pub(super) fn flush_when_due(self: Arc<Self>) {
        while self.outbox.wait_until_due(|| self.queue.hand.has_rest()) {
            self.flush();
            self.part_with_slow();
        }
    }

    /// Others get what was not begun of a bundle that takes long.
    fn part_with_slow(self: &Arc<Self>) {
        if self.careful {
            return;
        }
        let before_ns = monotonic_ns().saturating_sub(BUNDLE_PATIENCE_NS);
        // The lease of the bundle must not end before the rest is on its way.
        self.outbox.in_turn(|| {
            let Some(rest) = self.queue.hand.part(before_ns) else { return };
            let tasks = rest.tasks().map(|task| item(Bytes::from(task))).collect();
            let store = Request::Store { variable: self.tasks, items: tasks };
            let shared = self.clone();
            self.connection.request_then(store, move |reply| shared.parted(rest, reply));
        });
    }

    fn parted(self: &Arc<Self>, rest: Rest, reply: Result<Reply<Bytes>, nws_client::Error>) {
        match reply {
            Ok(_) => {
                let (lease, TaskHead { run, index }) = (rest.lease, rest.first);
                self.page.set_cut(lease, index);
                let mut ended = false;
                rest.parting.taken(|| {
                    self.outbox.put_end(lease, run);
                    ended = true;
                });
                if ended {
                    self.flush();
                }
            }
            Err(nws_client::Error::Fault(_)) => {
                rest.parting.refused();
                rest.into_task().into_iter().for_each(|task| self.queue.put_back(task));
            }
            Err(error) => self.queue.close(&error.to_string()),
        }
    }
}
