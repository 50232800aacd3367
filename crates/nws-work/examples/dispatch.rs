//! How many trivial tasks a second go through master, server and two workers, without any language:
//! `cargo run --release -p nws-work --example dispatch [TASKS] [ROUNDS]`.

use std::time::{Duration, Instant};

use nws_proto::Token;
use nws_server::{Config, Server};
use nws_work::WorkError;
use nws_work::control::{Bootstrap, ServerAddress};
use nws_work::envelope::{Outcome, RESULT_HEAD_BYTES};
use nws_work::master::{Arrival, Master, TaskResult, Tasks};
use nws_work::page::Page;
use nws_work::worker::{Next, Worker};

const WORKERS: u32 = 2;

fn work(bootstrap: &Bootstrap) -> Result<(), WorkError> {
    let (page, _) = Page::create()?;
    let worker = Worker::join(bootstrap, page)?;
    let (mut next, mut result) = (None, Vec::new());
    loop {
        match worker.try_next(&mut next) {
            Next::Task => {
                let Some(task) = &mut next else { continue };
                let began_ns = worker.begin(task, None);
                result.resize(RESULT_HEAD_BYTES, 0);
                result.extend_from_slice(task.payload());
                worker.finish(task, began_ns, Outcome::Done, &mut result);
            }
            Next::Nothing => worker.wait(Duration::from_millis(200)),
            Next::Over(_) => return Ok(()),
        }
    }
}

fn round(master: &Master, count: u64) -> Result<Duration, WorkError> {
    let began = Instant::now();
    let run = master.next_run();
    master.define(run, Vec::new())?;
    let mut tasks = Tasks::new(run, WORKERS, None);
    for number in 0..count {
        tasks.push(|buffer| {
            buffer.push(3);
            buffer.extend_from_slice(&number.to_le_bytes());
            Ok::<(), WorkError>(())
        })?;
        if tasks.is_full() {
            master.submit(&mut tasks);
        }
    }
    master.submit(&mut tasks);
    let mut outstanding = count;
    while outstanding > 0 {
        let arrivals = master.arrivals(Duration::from_secs(10))?;
        assert!(!arrivals.is_empty(), "{outstanding} results do not come");
        for arrival in arrivals {
            if let Arrival::Results(results) = arrival {
                outstanding -= results.iter().flat_map(TaskResult::read).count() as u64;
            }
        }
    }
    master.end_run(run);
    Ok(began.elapsed())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let rounds = arguments.next().map_or(Ok(10), |text| text.parse::<u32>())?;
    let folder = tempfile::tempdir()?;
    let unix = folder.path().join("nws.sock");
    let token = Token([7; 32]);
    let server = Server::bind(Config { unix: Some(unix.clone()), token: token.clone(), ..Config::default() })?;
    let handle = server.handle();
    let serving = std::thread::spawn(move || server.run());
    let address = ServerAddress { unix: Some(unix), tcp: None, token: Some(token.to_hex()) };
    let master = Master::connect(&address, "bench_%d")?;
    let bootstrap = |rank| Bootstrap {
        server: address.clone(),
        workspace: master.workspace_name().to_owned(),
        guardian: 0,
        rank,
        worker_count: WORKERS,
        careful: false,
        captures: false,
        settings: serde_json::Value::Null,
    };
    std::thread::scope(|scope| -> Result<(), WorkError> {
        for rank in 0..WORKERS {
            let bootstrap = bootstrap(rank);
            scope.spawn(move || work(&bootstrap));
        }
        for _ in 0..rounds {
            let took = round(&master, count)?;
            println!("{count} tasks in {took:?}: {:.2} million/s", count as f64 / took.as_secs_f64() / 1e6);
        }
        master.close();
        handle.shutdown();
        Ok(())
    })?;
    serving.join().map_err(|_| "the server panicked")??;
    Ok(())
}
