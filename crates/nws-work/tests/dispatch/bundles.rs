//! Tasks that share a lease.

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use nws_proto::{Cursor, Descriptor, Item, Language, OpenMode, Reply, Request, Retrieve, Wait};
use nws_work::WorkError;
use nws_work::envelope::{Bundle, Outcome, PassedOver, RESULT_HEAD_BYTES};
use nws_work::master::Tasks;
use nws_work::worker::Next;

use crate::bench::{Bench, LIMIT, answer, next_task, task_after, work};

#[test]
fn tasks_that_share_a_lease_have_each_its_result() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for rank in 0..2 {
            let worker = bench.worker(rank);
            scope.spawn(move || work(&worker));
        }
        let run = bench.master.next_run();
        let payloads: Vec<Vec<u8>> =
            (0..30_000u32).map(|n| vec![n as u8; if n % 997 == 0 { 5000 } else { 3 }]).collect();
        let count = bench.submit_bundles(run, payloads.clone());
        let results = bench.results(run, count);
        assert!(results.iter().map(|(_, payload)| payload).eq(&payloads));
        assert!(results.iter().map(|(index, _)| *index).eq(0..count));
        bench.master.close();
    });
}

#[test]
fn a_worker_that_waits_gets_what_another_has_not_begun_of_a_bundle() {
    let bench = Bench::new();
    let slow = bench.worker(0);
    let run = bench.master.next_run();
    let count = bench.submit_bundles(run, (0..100u32).map(|n| n.to_le_bytes().to_vec()));
    let mut held = next_task(&slow).unwrap();
    assert_eq!(held.head.index, 0);
    answer(&slow, &mut held);
    let mut held = task_after(&slow, Some(held)).unwrap();
    let (lease, began_ns) = (held.lease, slow.begin(&held, None));
    let (done, wait) = mpsc::channel();
    std::thread::scope(|scope| {
        let quick = bench.worker(1);
        scope.spawn(move || {
            wait.recv_timeout(LIMIT).unwrap();
            assert_eq!(held.lease, lease);
            slow.finish(&mut held, began_ns, Outcome::Done, &mut vec![0; RESULT_HEAD_BYTES]);
            assert_ne!(slow.try_next(&mut Some(held)), Next::Task, "the others are not its own any more");
            slow.leave();
        });
        scope.spawn(move || work(&quick));
        // Also that which was done before.
        assert_eq!(bench.results(run, count - 1).len() as u64, count - 1);
        done.send(()).unwrap();
        assert_eq!(bench.results(run, 1), [(1, vec![])]);
        bench.master.close();
    });
}

#[test]
fn a_bundle_that_the_server_has_no_room_for_a_second_time_stays_with_its_worker() {
    let bench = Bench::with(|limits| {
        limits.values_bytes = 64 << 10;
        limits.values_disk_bytes = Some(0);
    });
    let worker = bench.worker(0);
    let run = bench.master.next_run();
    let count = bench.submit_bundles(run, (0..12u8).map(|n| vec![n; 1000]));
    // What fills the memory of the server lies in the results, which nobody else stores now.
    let mut tasks = Tasks::new(run + 1, 1, Some(1));
    let filler = bench.master.next_run();
    assert_eq!(filler, run + 1);
    tasks
        .push(|buffer| {
            buffer.resize(44 << 10, 0);
            Ok::<(), WorkError>(())
        })
        .unwrap();
    bench.master.submit_to(9, &mut tasks);
    let first = next_task(&worker).unwrap();
    let began_ns = worker.begin(&first, None);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Long enough for the worker to part with the rest, which comes back.
            let mut first = first;
            worker.wait(Duration::from_secs(1));
            worker.finish(&mut first, began_ns, Outcome::Done, &mut vec![0; RESULT_HEAD_BYTES]);
            let mut before = Some(first);
            while let Some(mut task) = task_after(&worker, before.take()) {
                answer(&worker, &mut task);
                before = Some(task);
            }
        });
        let results = bench.results(run, count);
        assert!(results.iter().map(|(index, _)| *index).eq(0..count));
        bench.master.close();
    });
}

#[test]
fn what_the_host_says_is_done_is_not_run_again_with_its_bundle() {
    let bench = Bench::new();
    let run = bench.master.next_run();
    let count = bench.submit_bundles(run, (0..50u8).map(|n| vec![n]));
    // What a host does when a worker has died: it has the lease, says what is done, and gives the lease back.
    let connection = bench.master.connection();
    let space = connection.new_workspace_handle();
    let name = bench.master.workspace_name().as_bytes().to_vec();
    connection.request(Request::Open { workspace: space, name, mode: OpenMode::Use, create: false }).wait().unwrap();
    let bind = |name: &str| {
        let variable = connection.new_variable_handle();
        let name = name.as_bytes().to_vec();
        connection.request_and_forget(&Request::Bind { workspace: space, variable, name });
        variable
    };
    let fetch = Retrieve {
        variable: bind("tasks"),
        take: true,
        lease: true,
        wait: Wait::No,
        cursor: Cursor::Mode,
        max_values: 1,
        max_bytes: u32::MAX,
    };
    let Ok(Reply::Values { first_lease, values, .. }) = connection.request(Request::Retrieve(fetch)).wait() else {
        panic!("there are tasks");
    };
    assert_eq!(Bundle::decode(&values[0].item.value).unwrap().indexes(), 0..count);
    let ranges = [0..20, 30..31, 45..u64::MAX];
    let item = |indexes| {
        let value = Bytes::from(PassedOver { place: values[0].index, indexes }.to_value());
        Item { descriptor: Descriptor::bytes(Language::Rust), value }
    };
    let items = ranges.map(item).into_iter().collect();
    let variable = bind(&format!("passed over of {run}"));
    connection.request(Request::Store { variable, items }).wait().unwrap();
    let release = Request::Release { leases: vec![first_lease], died: true, recalled: false };
    connection.request(release).wait().unwrap();

    std::thread::scope(|scope| {
        let worker = bench.worker(0);
        scope.spawn(move || work(&worker));
        let results = bench.results(run, 24);
        let expected = (20..45).filter(|index| *index != 30);
        assert!(results.iter().map(|(index, _)| *index).eq(expected));
        // Were anything else of it run, its result would come before that of the next run.
        let next = bench.master.next_run();
        let count = bench.submit(next, [vec![1]]);
        assert_eq!(bench.results(next, count).len(), 1);
        bench.master.close();
    });
}
