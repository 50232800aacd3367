//! Random histories of several clients against the plain model of `nws-testkit`.
//!
//! `NWS_SEEDS=100000` runs that many seeds instead of the usual number, `NWS_SEED=17` only that one.

use nws_proto::ErrorCode;
use nws_testkit::{Watchdog, history};

const SEEDS: u64 = 2000;
const STEPS: usize = 120;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn random_histories_agree_with_the_plain_model() {
    let seeds = match number("NWS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("NWS_SEEDS").unwrap_or(SEEDS),
    };
    let _watchdog = Watchdog::start(60 + seeds.clone().count() as u64 / 20);
    let many = seeds.clone().count() > 1000;
    let mut tally = history::Tally::new();
    for seed in seeds {
        if let Err(wrong) = history::run(seed, STEPS, &mut tally) {
            panic!("NWS_SEED={seed} shows it again\n{wrong}");
        }
    }
    if many {
        assert_everything_happened(&tally);
    }
}

/// Histories that never get somewhere prove nothing about it.
fn assert_everything_happened(tally: &history::Tally) {
    let codes = [
        ErrorCode::TooManyWorkspaces,
        ErrorCode::TooManyVariables,
        ErrorCode::TooManyWaiting,
        ErrorCode::TooManyLeases,
        ErrorCode::ProtectedWorkspace,
        ErrorCode::NoSuchWorkspace,
        ErrorCode::NoSuchVariable,
        ErrorCode::ModeConflict,
        ErrorCode::WorkspaceGone,
        ErrorCode::VariableGone,
        ErrorCode::NotIterable,
        ErrorCode::UnknownHandle,
        ErrorCode::HandleInUse,
        ErrorCode::RequestInUse,
        ErrorCode::BadTemplate,
        ErrorCode::BadArguments,
    ];
    let rest = [
        "recall",
        "done",
        "timed out",
        "canceled",
        "opened",
        "owned",
        "workspaces",
        "variables",
        "no values",
        "value",
        "values",
        "value after a wait",
        "values after a wait",
        "lease",
        "leases",
        "lease after a wait",
        "leases after a wait",
        "finished",
        "finished in part",
        "adopted nothing",
        "adopted",
        "adopted after a wait",
        "pong",
    ];
    for kind in codes.map(ErrorCode::slug).into_iter().chain(rest) {
        let times = tally.get(kind).copied().unwrap_or(0);
        assert!(times >= 10, "'{kind}' happened {times} times only: {tally:#?}");
    }
}
