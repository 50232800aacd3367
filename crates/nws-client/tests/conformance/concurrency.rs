//! Many clients at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nws_client::{Error, Value, Workspace};

use crate::site::{LONG, Site, info, number, over_both, soon, until};

/// Tells one fetcher that there are no more values.
const END: i64 = -1;

/// Fetches one by one and many at a time.
fn fetch_until_the_end(workspace: &Workspace, most: u32) -> Vec<i64> {
    let mut got = Vec::new();
    loop {
        match number(&soon(workspace.fetch("x")).unwrap()) {
            END => return got,
            first => got.push(first),
        }
        let more = soon(workspace.fetch_many_try::<Value>("x", most)).unwrap();
        let (ends, more): (Vec<i64>, Vec<i64>) = more.iter().map(number).partition(|n| *n == END);
        got.extend(more);
        // They are meant for others, and one for the next round.
        soon(workspace.store_many("x", ends)).unwrap();
    }
}

/// Of so many values, each one time.
fn assert_each_once(mut got: Vec<i64>, count: i64) {
    got.sort_unstable();
    assert_eq!(got.len() as i64, count);
    assert!(got.iter().zip(0..).all(|(got, n)| *got == n), "some value came twice, another never");
}

over_both! {
    fn each_of_100_000_values_is_fetched_exactly_once(site: &Site) {
        const VALUES: i64 = 100_000;
        const STORERS: i64 = 2;
        let got: Vec<i64> = thread::scope(|scope| {
            let store = |storer| {
                let workspace = site.workspace("ws");
                let mine: Vec<i64> = (0..VALUES).filter(|n| n % STORERS == storer).collect();
                let stores: Vec<_> = mine.chunks(97).map(|some| workspace.store_many("x", some.to_vec())).collect();
                stores.into_iter().for_each(|store| soon(store).unwrap());
            };
            let storers: Vec<_> = (0..STORERS).map(|storer| scope.spawn(move || store(storer))).collect();
            let fetch = |most| fetch_until_the_end(&site.workspace("ws"), most);
            let fetchers: Vec<_> = [1, 51, 101, 151].map(|most| scope.spawn(move || fetch(most))).into();
            storers.into_iter().for_each(|storer| storer.join().unwrap());
            soon(site.workspace("ws").store_many("x", [END; 4])).unwrap();
            fetchers.into_iter().flat_map(|fetcher| fetcher.join().unwrap()).collect()
        });
        assert_each_once(got, VALUES);
    }

    fn results_are_stored_exactly_once_though_workers_end_at_any_moment(site: &Site) {
        const TASKS: i64 = 3_000;
        let master = site.workspace("ws");
        soon(master.store_many("tasks", 0..TASKS)).unwrap();
        let ended = Arc::new(AtomicU64::new(0));
        thread::scope(|scope| {
            for worker in 0..3_u64 {
                let ended = Arc::clone(&ended);
                scope.spawn(move || {
                    for life in 0.. {
                        let workspace = site.workspace("ws");
                        // Each life ends in the middle of something: with leases held, and with
                        // finishes on their way.
                        for step in 0..5 + (worker * 7 + life * 3) % 11 {
                            let leases = match soon(workspace.fetch_leases_try("tasks", 20)) {
                                Ok(leases) if leases.is_empty() => return,
                                Ok(leases) => leases,
                                Err(error) => panic!("{error}"),
                            };
                            let finishes: Vec<_> = leases
                                .into_iter()
                                .map(|lease| { let n = number(lease.value()); lease.finish(&workspace, "results", n) })
                                .collect();
                            if step % 3 != 2 {
                                finishes.into_iter().for_each(|finish| soon(finish).unwrap());
                            }
                        }
                        ended.fetch_add(1, Ordering::Relaxed);
                        workspace.connection().close();
                    }
                });
            }
        });
        assert!(ended.load(Ordering::Relaxed) > 3, "workers ended on the way");
        // What the last ones held may have come back after the others had gone.
        loop {
            until("no lease is left", || info(&master, "tasks").leased == 0);
            let leases = soon(master.fetch_leases_try("tasks", 1000)).unwrap();
            if leases.is_empty() {
                break;
            }
            for lease in leases {
                let n = number(lease.value());
                soon(lease.finish(&master, "results", n)).unwrap();
            }
        }
        let results = soon(master.fetch_many("results", 4096)).unwrap();
        assert_each_once(results.iter().map(number).collect(), TASKS);
    }

    fn connections_come_and_go(site: &Site) {
        thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for n in 0..50 {
                        let workspace = site.workspace("ws");
                        soon(workspace.store("x", thread * 50 + n)).unwrap();
                    }
                });
            }
        });
        let values = soon(site.workspace("ws").fetch_many("x", 1000)).unwrap();
        assert_each_once(values.iter().map(number).collect(), 200);
    }

    fn large_values_of_many_clients_do_not_lock_each_other_out(site: &Site) {
        // Each stores and fetches more than any kernel buffer holds, all at once.
        thread::scope(|scope| {
            for thread in 0..4_u8 {
                scope.spawn(move || {
                    let workspace = site.workspace("ws");
                    let name = format!("x{thread}");
                    let stores: Vec<_> = (0..6).map(|_| workspace.store(&name, vec![thread; 3_000_000])).collect();
                    let fetches: Vec<_> = (0..6).map(|_| workspace.fetch::<Value>(&name)).collect();
                    stores.into_iter().for_each(|store| soon(store).unwrap());
                    for fetch in fetches {
                        let value = soon(fetch).unwrap();
                        assert!(value.bytes.len() == 3_000_000 && value.bytes.iter().all(|byte| *byte == thread));
                    }
                });
            }
        });
    }

    fn one_connection_serves_many_threads(site: &Site) {
        let workspace = site.workspace("ws");
        thread::scope(|scope| {
            for thread in 0..8 {
                let workspace = &workspace;
                scope.spawn(move || {
                    let name = format!("x{thread}");
                    for n in 0..200 {
                        let fetch = workspace.fetch(&name);
                        soon(workspace.store(&name, n)).unwrap();
                        assert_eq!(number(&soon(fetch).unwrap()), n);
                    }
                });
            }
        });
    }

    fn a_pipeline_of_functions_runs_on_the_io_thread(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("x", 0..1000)).unwrap();
        let connection = workspace.connection().clone();
        let (handle, opened) = connection.open(b"ws", nws_proto::OpenMode::Use, false);
        crate::site::reply(opened).unwrap();
        let variable = connection.bind(handle, b"x");
        let (sender, done) = std::sync::mpsc::channel();
        fetch_next(connection, variable, 0, sender);
        assert_eq!(done.recv_timeout(LONG).unwrap(), Ok(1000));
    }
}

/// Fetches one by one until there is none, and says how many there were.
fn fetch_next(
    connection: nws_client::Connection,
    variable: nws_proto::VariableHandle,
    count: usize,
    done: std::sync::mpsc::Sender<Result<usize, Error>>,
) {
    let request = nws_proto::Request::Retrieve(nws_proto::Retrieve {
        variable,
        take: true,
        lease: false,
        wait: nws_proto::Wait::No,
        cursor: nws_proto::Cursor::Mode,
        max_values: 1,
        max_bytes: 0,
    });
    let again = connection.clone();
    connection.request_then(request, move |outcome| match outcome {
        Ok(nws_proto::Reply::Values { values, .. }) if !values.is_empty() => {
            fetch_next(again, variable, count + 1, done);
        }
        Ok(_) => done.send(Ok(count)).unwrap(),
        Err(error) => done.send(Err(error)).unwrap(),
    });
}
