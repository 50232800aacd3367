//! Master and workers against a real server, in one process: each worker is a thread with a
//! connection of its own.
#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod bench;
mod bundles;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nws_work::WorkError;
use nws_work::envelope::{Outcome, RESULT_HEAD_BYTES};
use nws_work::master::Tasks;
use nws_work::worker::Next;

use bench::{Bench, LIMIT, answer, next_task, work};

#[test]
fn every_task_has_one_result_whatever_its_size() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for rank in 0..3 {
            let worker = bench.worker(rank);
            scope.spawn(move || work(&worker));
        }
        let sizes = [0, 1, 100, 5_000, 100_000, 3_000_000];
        let payloads: Vec<Vec<u8>> =
            (0..6_000).map(|n| vec![n as u8; sizes[if n % 97 == 0 { n % 6 } else { n % 3 }]]).collect();
        let run = bench.master.next_run();
        let count = bench.submit(run, payloads.clone());
        let results = bench.results(run, count);
        assert!(results.iter().map(|(_, payload)| payload).eq(&payloads));
        assert!(results.iter().map(|(index, _)| *index).eq(0..count));
        bench.master.close();
    });
}

#[test]
fn tasks_of_a_worker_that_is_cut_off_go_to_another() {
    let bench = Bench::new();
    let lost = bench.worker(0);
    let run = bench.master.next_run();
    let count = bench.submit(run, (0..500u32).map(|n| n.to_le_bytes().to_vec()));
    for _ in 0..20 {
        answer(&lost, &mut next_task(&lost).unwrap());
    }
    let _running = next_task(&lost).unwrap();
    lost.connection().close();
    std::thread::scope(|scope| {
        let worker = bench.worker(1);
        scope.spawn(move || work(&worker));
        assert_eq!(bench.results(run, count).len(), 500);
        bench.master.close();
    });
}

#[test]
fn a_worker_that_waits_gets_what_another_has_not_begun() {
    let bench = Bench::new();
    let slow = bench.worker(0);
    slow.begin_run(Some(400));
    let run = bench.master.next_run();
    let count = bench.submit(run, (0..400u32).map(|n| n.to_le_bytes().to_vec()));
    // One task by one until a whole batch has been fetched.
    for _ in 0..3 {
        answer(&slow, &mut next_task(&slow).unwrap());
    }
    let mut held = next_task(&slow).unwrap();
    let began_ns = slow.begin(&held, None);
    let (done, wait) = mpsc::channel();
    std::thread::scope(|scope| {
        let quick = bench.worker(1);
        scope.spawn(move || {
            wait.recv_timeout(LIMIT).unwrap();
            slow.finish(&mut held, began_ns, Outcome::Done, &mut vec![0; RESULT_HEAD_BYTES]);
            slow.leave();
        });
        scope.spawn(move || work(&quick));
        assert_eq!(bench.results(run, count - 1).len() as u64, count - 1);
        done.send(()).unwrap();
        assert_eq!(bench.results(run, 1).len(), 1);
        bench.master.close();
    });
}

#[test]
fn a_run_that_is_given_up_leaves_nothing_to_the_next() {
    let bench = Bench::new();
    let ran = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let worker = bench.worker(0);
        let first = bench.master.next_run();
        bench.submit(first, (0..50_000u32).map(|n| n.to_le_bytes().to_vec()));
        let mut held = next_task(&worker).unwrap();
        bench.master.give_up(first, 2);
        let second = bench.master.next_run();
        let count = bench.submit(second, (0..100u32).map(|n| n.to_le_bytes().to_vec()));
        answer(&worker, &mut held);
        let ran = &ran;
        scope.spawn(move || {
            while let Some(mut task) = next_task(&worker) {
                ran.fetch_add(u64::from(task.head.run == first), Ordering::Relaxed);
                answer(&worker, &mut task);
            }
        });
        assert_eq!(bench.results(second, count).len() as u64, count);
        bench.master.close();
    });
    assert!(ran.load(Ordering::Relaxed) < 100, "tasks of a run that was given up went on running");
}

#[test]
fn a_result_that_travels_with_one_that_was_given_up_takes_none_of_its_run_along() {
    let bench = Bench::new();
    let worker = bench.worker(0);
    let first = bench.master.next_run();
    bench.submit(first, [b"given up".to_vec()]);
    let mut held = next_task(&worker).unwrap();
    bench.master.give_up(first, 1);
    let second = bench.master.next_run();
    bench.master.define(second, Vec::new()).unwrap();
    let mut tasks = Tasks::new(second, 1, None);
    let mut submit = |payload: &[u8]| {
        let encode = |buffer: &mut Vec<u8>| {
            buffer.extend_from_slice(payload);
            Ok::<(), WorkError>(())
        };
        tasks.push(encode).unwrap();
        bench.master.submit_to(0, &mut tasks);
    };
    submit(b"b");
    worker.wait(LIMIT);
    // Both at once, so that they leave in one frame.
    answer(&worker, &mut held);
    answer(&worker, &mut next_task(&worker).unwrap());
    assert_eq!(bench.results(second, 1), [(0, b"b".to_vec())]);
    submit(b"c");
    let mut next = next_task(&worker).unwrap();
    assert_eq!(next.payload(), b"c");
    answer(&worker, &mut next);
    // A result of nothing, so that what waits is sent.
    assert!(matches!(worker.try_next(&mut None), Next::Nothing));
    assert_eq!(bench.results(second, 1), [(1, b"c".to_vec())]);
}

#[test]
fn a_task_for_one_worker_is_run_by_no_other() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for rank in 0..3 {
            let worker = bench.worker(rank);
            scope.spawn(move || {
                while let Some(mut task) = next_task(&worker) {
                    assert_eq!(task.payload(), rank.to_le_bytes());
                    answer(&worker, &mut task);
                }
            });
        }
        let run = bench.master.next_run();
        bench.master.define(run, Vec::new()).unwrap();
        let mut tasks = Tasks::new(run, 2, None);
        for rank in 0..3u32 {
            let encode = |buffer: &mut Vec<u8>| {
                buffer.extend_from_slice(&rank.to_le_bytes());
                Ok::<(), WorkError>(())
            };
            tasks.push(encode).unwrap();
            bench.master.submit_to(rank, &mut tasks);
        }
        assert_eq!(bench.results(run, 3).len(), 3);
        bench.master.close();
    });
}

#[test]
fn a_definition_is_found_while_its_run_lasts() {
    let bench = Bench::new();
    let worker = bench.worker(0);
    let run = bench.master.next_run();
    bench.submit(run, [vec![1]]);
    assert!(next_task(&worker).is_some());
    assert_eq!(worker.definition(run).unwrap(), &b"definition"[..]);
    bench.master.end_run(run);
    // The master's next answer comes after the deletion: requests of one session keep their order.
    bench.submit(bench.master.next_run(), [vec![2]]);
    answer(&worker, &mut next_task(&worker).unwrap());
    bench.results(run + 1, 1);
    assert!(worker.definition(run).is_err());
}

#[test]
fn a_master_whose_server_ends_is_told() {
    let bench = Bench::new();
    bench.handle.shutdown();
    let deadline = Instant::now() + LIMIT;
    while bench.master.arrivals(Duration::from_millis(100)).is_ok() {
        assert!(Instant::now() < deadline, "the master does not notice");
    }
}

#[test]
fn results_that_the_server_does_not_take_are_failures_of_their_tasks_alone() {
    let bench = Bench::with(|limits| {
        limits.values_bytes = 1 << 20;
        // Else it would take a result on disk.
        limits.values_disk_bytes = Some(0);
    });
    std::thread::scope(|scope| {
        let worker = bench.worker(0);
        scope.spawn(move || {
            while let Some(mut task) = next_task(&worker) {
                let began_ns = worker.begin(&task, None);
                // The largest is more than the server keeps.
                let size = usize::from(task.payload()[0]) << 14;
                let mut result = vec![0; RESULT_HEAD_BYTES + size];
                worker.finish(&mut task, began_ns, Outcome::Done, &mut result);
            }
        });
        let run = bench.master.next_run();
        let count = bench.submit(run, [vec![1], vec![255], vec![2]].into_iter().cycle().take(30));
        let results = bench.results(run, count);
        for (index, payload) in results {
            let refused = String::from_utf8_lossy(&payload).contains("the server did not take its result");
            assert_eq!(refused, index % 3 == 1, "task {index}");
        }
        bench.master.close();
    });
}
