//! Thousands of whole runs of the server, each from its seed.
//!
//! `NWS_SEEDS=100000` runs that many seeds instead of the usual number, `NWS_SEED=17` only that one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::thread;

use nws_simulation::{Tally, Wrong, run};
use nws_testkit::Watchdog;

const SEEDS: u64 = 2500;
const STEPS: usize = 330;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Every `threads`th seed, until one fails.
fn run_some(seeds: Range<u64>, threads: usize, first: usize) -> (Tally, Option<(u64, Wrong)>) {
    let mut tally = Tally::new();
    for seed in seeds.skip(first).step_by(threads) {
        if let Err(wrong) = run(seed, STEPS, &mut tally) {
            return (tally, Some((seed, wrong)));
        }
    }
    (tally, None)
}

#[test]
fn no_fault_of_a_client_costs_a_value_or_another_client_anything() {
    let seeds = match number("NWS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("NWS_SEEDS").unwrap_or(SEEDS),
    };
    let many = seeds.end - seeds.start >= SEEDS;
    let _watchdog = Watchdog::start(300 + (seeds.end - seeds.start) / 10);
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get());
    let outcomes: Vec<_> = thread::scope(|scope| {
        let run_some = |first| {
            let seeds = seeds.clone();
            scope.spawn(move || run_some(seeds, threads, first))
        };
        let running: Vec<_> = (0..threads).map(run_some).collect();
        running.into_iter().map(|one| one.join().expect("a run does not panic")).collect()
    });
    let mut tally = Tally::new();
    let mut wrongs = BTreeMap::new();
    for (some, wrong) in outcomes {
        some.into_iter().for_each(|(kind, times)| *tally.entry(kind).or_default() += times);
        wrongs.extend(wrong);
    }
    if let Some((seed, wrong)) = wrongs.first_key_value() {
        panic!("NWS_SEED={seed} cargo test -p nws-simulation shows it again\n{wrong}");
    }
    if many {
        assert_everything_happened(&tally);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let _watchdog = Watchdog::start(300);
    for seed in 0..50 {
        let (mut once, mut again) = (Tally::new(), Tally::new());
        let outcomes = (run(seed, STEPS, &mut once), run(seed, STEPS, &mut again));
        assert_eq!(outcomes.0, outcomes.1);
        assert_eq!(once, again, "seed {seed}");
    }
}

/// Runs in which nothing goes wrong prove nothing.
fn assert_everything_happened(tally: &Tally) {
    let kinds = [
        "a client",
        "a classic client",
        "adopted",
        "classic: ended amid a value",
        "classic: found",
        "classic: no value",
        "classic: taken",
        "closed",
        "deaf",
        "disk-failed",
        "disk-full",
        "ended amid values",
        "finish refused",
        "finished",
        "finished without an answer",
        "found",
        "frame-too-long",
        "garbage",
        "half closed",
        "leased",
        "long",
        "malformed-frame",
        "memory-full",
        "no-such-guardian",
        "not read from",
        "pinged",
        "read in parts",
        "recalled",
        "reset",
        "silent",
        "taken",
        "taken without an answer",
        "the disk failed",
        "the disk was late",
        "too-many-connections",
        "too-many-leases",
        "too-many-readings",
        "too-many-waiting",
        "unknown-opcode",
        "vanished",
        "variable-gone",
        "workspace-gone",
    ];
    for kind in kinds {
        let times = tally.get(kind).copied().unwrap_or(0);
        assert!(times > 0, "'{kind}' did not happen: {tally:#?}");
    }
}
