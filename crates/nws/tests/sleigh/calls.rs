//! Tasks that do what they should.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nws::sleigh::{Error, FailureKind, Outcome};
use serde::{Deserialize, Serialize};

use crate::{builder, limited, sleigh};

#[nws::task]
fn cube(x: i64) -> i64 {
    x * x * x
}

#[nws::task]
fn describe(name: &str, sizes: &[u32], place: &Path, deep: Option<Shape>) -> String {
    format!("{name} {sizes:?} {} {deep:?}", place.display())
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle { radius: f64 },
    Many(Vec<Shape>, BTreeMap<String, u128>),
}

#[nws::task]
fn same(shape: Shape, json: serde_json::Value) -> (Shape, serde_json::Value) {
    (shape, json)
}

#[nws::task]
fn weighed(x: f64, #[fixed] weights: &[f64], #[fixed] offset: f64) -> f64 {
    weights.iter().map(|weight| weight * x).sum::<f64>() + offset
}

/// The names of tasks may be those of anything that the attribute's own code might use.
#[nws::task]
fn fixed(given: i64, #[fixed] value: i64) -> i64 {
    given + value
}

#[nws::task]
fn result(error: &str) -> Result<String, String> {
    if error.is_empty() { Ok("none".to_owned()) } else { Err(error.to_owned()) }
}

static CALLS: AtomicU64 = AtomicU64::new(0);

#[nws::task]
fn count_calls() -> u64 {
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

#[nws::task]
fn remember(number: u64) {
    CALLS.store(number, Ordering::Relaxed);
}

#[nws::task]
fn remembered(_: u64) -> u64 {
    CALLS.load(Ordering::Relaxed)
}

#[test]
fn results_are_in_the_order_of_the_inputs_whatever_these_are() {
    limited(|| {
        let sleigh = sleigh(3);
        let expected: Vec<i64> = (0..20_000).map(|x| x * x * x).collect();
        assert_eq!(sleigh.each_elem(cube::task(), 0..20_000).unwrap(), expected);
        let inputs: Vec<i64> = (0..20_000).collect();
        assert_eq!(sleigh.each_elem(cube::task(), &inputs).unwrap(), expected);
        assert_eq!(
            sleigh.call(cube::task()).chunk_size(7).load_factor(2).each_elem(&inputs[..99]).unwrap(),
            expected[..99]
        );
        assert!(sleigh.each_elem(cube::task(), Vec::<i64>::new()).unwrap().is_empty());
        assert_eq!(cube(3), 27, "a task is called as the function it was");
    });
}

#[test]
fn arguments_are_tuples_of_what_the_task_borrows_or_owns() {
    limited(|| {
        let sleigh = sleigh(1);
        let point = Some(Shape::Point);
        let inputs = [("a", &[1, 2][..], Path::new("/x"), point.clone()), ("b", &[][..], Path::new("y"), None)];
        let expected = ["a [1, 2] /x Some(Point)", "b [] y None"];
        assert_eq!(sleigh.each_elem(describe::task(), &inputs).unwrap(), expected);
        let owned = [
            ("a".to_owned(), vec![1, 2], PathBuf::from("/x"), point),
            ("b".to_owned(), vec![], PathBuf::from("y"), None),
        ];
        assert_eq!(sleigh.each_elem(describe::task(), owned).unwrap(), expected);
    });
}

#[test]
fn what_serde_knows_comes_back_as_it_was() {
    limited(|| {
        let sleigh = sleigh(1);
        let mut numbers = BTreeMap::from([("huge".to_owned(), u128::MAX)]);
        numbers.insert(String::new(), 0);
        let shape = Shape::Many(vec![Shape::Point, Shape::Circle { radius: f64::MIN_POSITIVE }], numbers);
        let json = serde_json::json!({"a": [1, -1, 1.5, null, true], "b": {"c": "ü"}, "d": u64::MAX});
        let inputs = [(shape.clone(), json.clone())];
        assert_eq!(sleigh.each_elem(same::task(), &inputs).unwrap(), [(shape, json)]);
    });
}

#[test]
fn fixed_arguments_are_the_same_for_all_tasks() {
    limited(|| {
        let sleigh = sleigh(2);
        let weights = vec![1.0, 2.0];
        let job = weighed::with((&weights, 0.5));
        assert_eq!(sleigh.each_elem(job, [0.0, 1.0, 2.0]).unwrap(), [0.5, 3.5, 6.5]);
        assert_eq!(sleigh.each_elem(weighed::with((vec![], 1.0)), [7.0]).unwrap(), [1.0]);
    });
}

#[test]
fn a_task_may_have_any_name() {
    limited(|| {
        let sleigh = sleigh(1);
        assert_eq!(sleigh.each_elem(fixed::with(1), [1, 2]).unwrap(), [2, 3]);
        assert_eq!(sleigh.each_elem(result::task(), [""]).unwrap(), ["none"]);
    });
}

#[test]
fn each_worker_is_asked_once_and_keeps_its_state() {
    limited(|| {
        let sleigh = sleigh(3);
        assert_eq!(sleigh.each_worker(count_calls::task(), ()).unwrap(), [1, 1, 1]);
        assert_eq!(sleigh.each_worker(count_calls::task(), ()).unwrap(), [2, 2, 2]);
        let info = sleigh.worker_info().unwrap();
        assert!(info.iter().map(|worker| worker.rank).eq(0..3));
        assert!(info.iter().all(|worker| worker.pid != std::process::id() && !worker.host.is_empty()));
    });
}

#[test]
fn what_workers_run_first_is_run_by_those_that_replace_others_too() {
    limited(|| {
        let sleigh = builder(2).first(remember::task(), 40).build().unwrap();
        assert_eq!(sleigh.each_elem(remembered::task(), [0, 0, 0]).unwrap(), [40, 40, 40]);
        let outcomes = sleigh.call(crate::failures::end::task()).retries(0).each_worker("abort").unwrap_err();
        assert!(matches!(&outcomes, Error::Tasks(failures) if failures.failed.len() == 2), "{outcomes:?}");
        assert_eq!(sleigh.call(remembered::task()).each_worker(0).unwrap(), [40, 40]);
    });
}

#[test]
fn an_accumulator_gets_each_result_with_its_place() {
    limited(|| {
        let sleigh = sleigh(2);
        let mut got = vec![0; 1000];
        sleigh
            .call(cube::task())
            .each_elem_into(0..1000, |index, outcome| got[index as usize] = outcome.unwrap())
            .unwrap();
        assert!(got.iter().copied().eq((0..1000).map(|x: i64| x * x * x)));
    });
}

#[test]
fn a_pending_call_can_be_checked_waited_for_and_cancelled() {
    limited(|| {
        let sleigh = sleigh(2);
        let mut pending = sleigh.call(cube::task()).start(0..100).unwrap();
        assert!(matches!(sleigh.each_elem(cube::task(), [1]), Err(Error::Occupied)));
        while pending.wait_timeout(Duration::from_millis(5)).unwrap() > 0 {}
        assert_eq!(pending.check().unwrap(), 0);
        assert_eq!(pending.wait().unwrap().len(), 100);
        let mut endless = sleigh.call(crate::failures::end::task()).start([".", "sleep", "sleep", "."]).unwrap();
        assert!(endless.check().unwrap() >= 2);
        while endless.check().unwrap() > 3 {}
        let outcomes = endless.cancel().unwrap();
        assert_eq!(outcomes[0].as_deref().unwrap(), ".");
        assert!(outcomes[1..3].iter().all(is_cancelled), "{outcomes:?}");
        assert_eq!(sleigh.each_elem(cube::task(), [2]).unwrap(), [8], "cancelled tasks occupy nobody");
    });
}

fn is_cancelled<R>(outcome: &Outcome<R>) -> bool {
    outcome.as_ref().is_err_and(|failure| failure.kind == FailureKind::Cancelled && failure.rank.is_none())
}

#[nws::task]
fn wait_for_the_word(_: u32) -> Result<(), nws::Error> {
    let workspace = nws::worker::user_workspace()?;
    workspace.store("begun", true)?;
    workspace.fetch("word")
}

#[test]
fn when_the_rest_is_cancelled_what_has_begun_comes_to_its_end() {
    limited(|| {
        let sleigh = sleigh(2);
        let workspace = sleigh.user_workspace().clone();
        let pending = sleigh.call(wait_for_the_word::task()).start(0..200).unwrap();
        for _ in 0..2 {
            workspace.fetch::<bool>("begun").unwrap();
        }
        thread::scope(|scope| {
            let cancelled = scope.spawn(|| pending.cancel_the_rest().unwrap());
            let waiting = || {
                sleigh
                    .workspace()
                    .list_variables()
                    .unwrap()
                    .into_iter()
                    .any(|info| info.name == b"tasks" && info.values > 0)
            };
            while waiting() {
                thread::yield_now();
            }
            workspace.store_many("word", [(), ()]).unwrap();
            let outcomes = cancelled.join().unwrap();
            assert_eq!(outcomes.len(), 200);
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2);
            assert_eq!(outcomes.iter().filter(|outcome| is_cancelled(outcome)).count(), 198);
        });
        assert_eq!(sleigh.each_elem(cube::task(), [3]).unwrap(), [27]);
    });
}

#[test]
fn results_of_endless_inputs_come_one_by_one_and_inputs_are_taken_as_they_go() {
    limited(|| {
        let sleigh = sleigh(2);
        let mut taken = 0;
        let inputs = std::iter::repeat_with(|| {
            taken += 1;
            taken
        });
        let mut results = sleigh.call(cube::task()).load_factor(5).imap(inputs).unwrap();
        for x in 1..=500_i64 {
            assert_eq!(results.next().unwrap().unwrap(), x * x * x);
        }
        assert!(results.submitted() <= 500 + 10, "{} were submitted", results.submitted());
        results.take_no_more();
        let rest = results.by_ref().map(Result::unwrap).count();
        assert!(rest <= 10, "{rest} were left");
        assert!(results.next().is_none());
        drop(results);
        let mut dropped = sleigh.imap(cube::task(), 0..).unwrap();
        assert_eq!(dropped.next().unwrap().unwrap(), 0);
        drop(dropped);
        let all: Result<Vec<i64>, Error> = sleigh.imap(cube::task(), 0..30_000).unwrap().collect();
        assert_eq!(all.unwrap().last(), Some(&29_999_i64.pow(3)));
    });
}
