//! A server in this process, a master, and workers that are threads.

use std::time::{Duration, Instant};

use nws_proto::Token;
use nws_server::{Config, Handle, Server};
use nws_work::WorkError;
use nws_work::control::{Bootstrap, ServerAddress};
use nws_work::envelope::{Outcome, RESULT_HEAD_BYTES};
use nws_work::master::{Arrival, Master, TaskResult, Tasks};
use nws_work::page::Page;
use nws_work::worker::{Next, Task, Worker};

/// Longer than anything takes that does not hang.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Bench {
    address: ServerAddress,
    pub(crate) master: Master,
    pub(crate) handle: Handle,
    serving: Option<std::thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(limits: impl FnOnce(&mut nws_server::Limits)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let unix = folder.path().join("nws.sock");
        let token = Token([7; 32]);
        let mut config = Config { unix: Some(unix.clone()), ..Config::new(token.clone()) };
        limits(&mut config.limits);
        let server = Server::bind(config).unwrap();
        let handle = server.handle();
        let serving = Some(std::thread::spawn(move || server.run().unwrap()));
        let address = ServerAddress { unix: Some(unix), tcp: None, token: Some(token.to_hex()) };
        let master = Master::connect(&address, "test_%d").unwrap();
        Self { address, master, handle, serving, _folder: folder }
    }

    pub(crate) fn worker(&self, rank: u32) -> Worker {
        let bootstrap = Bootstrap {
            server: self.address.clone(),
            workspace: self.master.workspace_name().to_owned(),
            guardian: 0,
            rank,
            worker_count: 2,
            careful: false,
            captures: false,
            settings: serde_json::Value::Null,
        };
        Worker::join(&bootstrap, Page::create().unwrap().0).unwrap()
    }

    pub(crate) fn submit(&self, run: u32, payloads: impl IntoIterator<Item = Vec<u8>>) -> u64 {
        self.submit_as(Tasks::new(run, 2, None), run, payloads)
    }

    /// As bundles, as if many short tasks had gone before.
    pub(crate) fn submit_bundles(&self, run: u32, payloads: impl IntoIterator<Item = Vec<u8>>) -> u64 {
        let mut tasks = Tasks::new(run, 2, None);
        tasks.took(1_000_000, 10_000);
        self.submit_as(tasks, run, payloads)
    }

    pub(crate) fn submit_as(&self, mut tasks: Tasks, run: u32, payloads: impl IntoIterator<Item = Vec<u8>>) -> u64 {
        self.master.define(run, b"definition".to_vec()).unwrap();
        for payload in payloads {
            let encode = |buffer: &mut Vec<u8>| {
                buffer.extend_from_slice(&payload);
                Ok::<(), WorkError>(())
            };
            tasks.push(encode).unwrap();
            if tasks.is_full() {
                self.master.submit(&mut tasks);
            }
        }
        self.master.submit(&mut tasks);
        tasks.next_index()
    }

    /// Index and payload of so many results, in order of index.
    pub(crate) fn results(&self, run: u32, count: u64) -> Vec<(u64, Vec<u8>)> {
        let deadline = Instant::now() + LIMIT;
        let mut results = Vec::new();
        while (results.len() as u64) < count {
            assert!(Instant::now() < deadline, "{} of {count} results came", results.len());
            for arrival in self.master.arrivals(Duration::from_millis(100)).unwrap() {
                let Arrival::Results(arrived) = arrival else { continue };
                for (head, payload) in arrived.iter().flat_map(TaskResult::read) {
                    if head.task.run == run {
                        results.push((head.task.index, payload.to_vec()));
                    }
                }
            }
        }
        results.sort();
        results
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.master.close();
        self.handle.shutdown();
        if let Some(serving) = self.serving.take() {
            serving.join().unwrap();
        }
    }
}

pub(crate) fn next_task(worker: &Worker) -> Option<Task> {
    task_after(worker, None)
}

pub(crate) fn task_after(worker: &Worker, before: Option<Task>) -> Option<Task> {
    let mut task = before;
    let deadline = Instant::now() + LIMIT;
    loop {
        match worker.try_next(&mut task) {
            Next::Task => return task,
            Next::Over(_) => return None,
            Next::Nothing => {
                assert!(Instant::now() < deadline, "no task comes");
                worker.wait(Duration::from_millis(100));
            }
        }
    }
}

pub(crate) fn answer(worker: &Worker, task: &mut Task) {
    let began_ns = worker.begin(task, None);
    let mut result = vec![0; RESULT_HEAD_BYTES];
    result.extend_from_slice(task.payload());
    worker.finish(task, began_ns, Outcome::Done, &mut result);
}

pub(crate) fn work(worker: &Worker) {
    let mut before = None;
    while let Some(mut task) = task_after(worker, before.take()) {
        answer(worker, &mut task);
        before = Some(task);
    }
}
