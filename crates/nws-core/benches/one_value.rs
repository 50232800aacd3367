//! What one value costs on its way through the core: stored, fetched by lease, finished, and its
//! result fetched. `cargo bench -p nws-core`.

// A panic here is how a wrong measurement ends.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use nws_core::{Core, Effect, SessionInit, Settings};
use nws_proto::{
    Cursor, Descriptor, FinishItem, Item, LeaseId, OpenMode, Reply, Request, RequestId, Retrieve, SessionId,
    VariableHandle, Wait, WorkspaceHandle,
};

const SESSION: SessionId = SessionId(1);
const TASKS: VariableHandle = VariableHandle(1);
const RESULTS: VariableHandle = VariableHandle(2);

struct Bench {
    core: Core<Bytes>,
    effects: Vec<Effect<Bytes>>,
}

impl Bench {
    fn new() -> Self {
        let mut core = Core::new(Settings::default(), ());
        let init = SessionInit { session: SESSION, address: vec![], label: vec![], guardian: SessionId(0) };
        core.session_opened(init).unwrap();
        let mut bench = Self { core, effects: Vec::new() };
        let workspace = WorkspaceHandle(1);
        bench.ask(Request::Open { workspace, name: b"w".to_vec(), mode: OpenMode::Use, create: true });
        for (variable, name) in [(TASKS, b"tasks".to_vec()), (RESULTS, b"results".to_vec())] {
            bench.ask(Request::Bind { variable, workspace, name });
        }
        bench
    }

    fn ask(&mut self, request: Request<Bytes>) -> Option<Reply<Bytes>> {
        self.effects.clear();
        self.core.request(0, 0, SESSION, RequestId(1), request, &mut self.effects);
        match self.effects.pop() {
            Some(Effect::Reply { reply, .. }) => Some(reply),
            _ => None,
        }
    }

    fn retrieve(variable: VariableHandle, lease: bool, max_values: u32) -> Request<Bytes> {
        let (wait, cursor, max_bytes) = (Wait::Forever, Cursor::Mode, u32::MAX);
        Request::Retrieve(Retrieve { variable, take: true, lease, wait, cursor, max_values, max_bytes })
    }
}

/// How long each step took for `rounds` batches.
fn run(batch: u32, rounds: u32, kept_before: u32) -> [Duration; 4] {
    let mut bench = Bench::new();
    let value = Bytes::from(vec![7; 100]);
    let item = || Item { descriptor: Descriptor(0), value: value.clone() };
    let store = |count: u32| Request::Store { variable: TASKS, items: (0..count).map(|_| item()).collect() };
    for _ in 0..kept_before / batch {
        bench.ask(store(batch));
    }
    let mut took = [Duration::ZERO; 4];
    let mut step = |bench: &mut Bench, step: usize, request| {
        let start = Instant::now();
        let reply = bench.ask(request);
        took[step] += start.elapsed();
        reply
    };
    for _ in 0..rounds {
        step(&mut bench, 0, store(batch));
        let leased = step(&mut bench, 1, Bench::retrieve(TASKS, true, batch));
        let Some(Reply::Values { first_lease, values, .. }) = leased else { panic!("values at once") };
        assert_eq!(values.len(), batch as usize);
        let items = (first_lease.0..).map(LeaseId).take(values.len());
        let items = items.map(|lease| FinishItem { lease, result: item() }).collect();
        step(&mut bench, 2, Request::Finish { variable: RESULTS, items });
        step(&mut bench, 3, Bench::retrieve(RESULTS, false, batch));
    }
    took
}

fn main() {
    let values = if std::env::args().any(|argument| argument == "--bench") { 2_000_000 } else { 1024 };
    println!(
        "{:>6} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}  ns a value",
        "batch", "kept", "store", "lease", "finish", "fetch", "sum"
    );
    for (batch, kept) in [(1, 0), (16, 0), (1024, 0), (1, 1 << 20), (16, 1 << 20), (1024, 1 << 20)] {
        let rounds = values / batch;
        let took = run(batch, rounds, kept.min(values));
        let ns = took.map(|took| took.as_nanos() as f64 / f64::from(rounds * batch));
        let sum: f64 = ns.iter().sum();
        println!("{batch:>6} {kept:>9} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {sum:>8.1}", ns[0], ns[1], ns[2], ns[3]);
    }
}
