//! Workers that die at any byte: every task's result exists, and exists once.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use nws_proto::*;
use support::*;

const TASKS: u32 = 3000;
const WORKERS: u64 = 6;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// Lives for a few batches, then dies in the middle of a frame or of an answer.
fn live_and_die(mut worker: Raw, random: &mut Random) {
    worker.bind("w");
    worker.bind_as(2, "results");
    for _ in 0..random.below(6) {
        let wanted = 1 + random.below(20) as u32;
        let lease = Retrieve { take: true, lease: true, wait: Wait::Ms(50), max_values: wanted, ..find() };
        let asked = worker.send(&Request::Retrieve(lease));
        let leased @ Reply::Values { .. } = reply_to(&mut worker, asked) else { return };
        let (first, tasks) = values(leased);
        let finished = tasks.into_iter().enumerate().take(1 + random.below(20));
        let items: Vec<_> =
            finished.map(|(i, task)| FinishItem { lease: LeaseId(first + i as u64), result: item(task) }).collect();
        let finish = request_frame(RequestId(1_000_000), &Request::Finish { variable: VariableHandle(2), items });
        match random.below(4) {
            0 => return worker.send_bytes(&finish[..random.below(finish.len())]),
            1 => return worker.send_bytes(&finish),
            _ => worker.send_bytes(&finish),
        }
        let reply = reply_to(&mut worker, RequestId(1_000_000));
        assert!(matches!(reply, Reply::Finished { .. }), "{reply:?}");
    }
}

/// The reply to this request; recalls on the way are passed over.
fn reply_to(worker: &mut Raw, request: RequestId) -> Reply<Bytes> {
    loop {
        let (header, payload) = worker.receive_frame().unwrap();
        if header.request == request {
            return Reply::decode(header.opcode, payload).unwrap();
        }
    }
}

#[test]
fn every_result_exists_once_though_workers_die_at_any_byte() {
    let server = Running::start();
    let mut master = server.client_at("w");
    master.bind_as(2, "results");
    let items = (0..TASKS).map(|i| item(i.to_le_bytes())).collect();
    master.done(&Request::Store { variable: VariableHandle(1), items });

    let done = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..WORKERS)
        .map(|seed| {
            let (tcp, unix, done) = (server.tcp, server.unix.clone(), Arc::clone(&done));
            thread::spawn(move || {
                let mut random = Random(seed);
                while !done.load(Ordering::Relaxed) {
                    let raw = if random.below(2) == 0 { Raw::tcp(tcp) } else { Raw::unix(&unix) };
                    live_and_die(raw.welcome(Ask::default()), &mut random);
                }
            })
        })
        .collect();

    let deadline = Instant::now() + PATIENCE;
    let mut results: HashMap<Vec<u8>, u32> = HashMap::new();
    while results.len() < TASKS as usize {
        assert!(Instant::now() < deadline, "{} of {TASKS} results", results.len());
        let (variable, wait) = (VariableHandle(2), Wait::Ms(1000));
        let fetch = Request::Retrieve(Retrieve { variable, take: true, wait, max_values: 500, ..find() });
        if let reply @ Reply::Values { .. } = master.ask(&fetch) {
            values(reply).1.into_iter().for_each(|result| *results.entry(result).or_default() += 1);
        }
    }
    done.store(true, Ordering::Relaxed);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let Reply::Variables(left) = master.ask(&Request::ListVariables { workspace: WorkspaceHandle(1) }) else {
        panic!("expected a listing");
    };
    for variable in left {
        assert_eq!((variable.values, variable.leased), (0, 0), "nothing is left in {:?}", variable.name);
    }
    assert!(results.values().all(|times| *times == 1), "a result came twice");
}
