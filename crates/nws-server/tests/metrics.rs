//! What the server tells of itself is true, and is in the form that Prometheus reads.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use nws_proto::*;
use nws_server::Limits;
use support::http::metrics;
use support::*;

#[test]
fn the_numbers_are_those_of_the_tables() {
    let server = Running::with(Limits { session_waiting: 1, ..Limits::default() });
    let (mut storer, mut waiter) = (server.client_at("w"), server.client_at("w"));
    let mut old = server.old_at("w");
    storer.done(&store(vec![7; 1000]));
    storer.done(&store(vec![7; 500]));
    storer.ask(&fetch_lease(1));
    waiter.bind_as(2, "nothing comes");
    let waits = Request::Retrieve(Retrieve { variable: VariableHandle(2), ..find() });
    waiter.send(&waits);
    assert!(matches!(waiter.ask(&waits), Reply::Failed(_)), "one waits already");
    assert!(!old.status(&["declare var", "w", "x", "lifo"]), "it is fifo");
    let told = metrics(server.web);
    let expected = [
        ("nws_sessions", 3),
        ("nws_connections", 3),
        ("nws_workspaces", 2),
        ("nws_variables", 2),
        ("nws_values", 2),
        ("nws_values_bytes", 1500 + 2 * 64),
        ("nws_undelivered_bytes", 0),
        ("nws_receiving_bytes", 0),
        ("nws_waiting_requests", 1),
        ("nws_connections_accepted_total", 3),
        ("nws_refused_total", 1),
        ("nws_failed_total", 1),
        // Two of each client of ours to open and bind, six more, and two of the old one.
        ("nws_operations_total", 2 * 2 + 6 + 2),
    ];
    for (name, number) in expected {
        assert_eq!(told[name], f64::from(number), "{name}");
    }
    assert!(told["nws_names_bytes"] > 1000.0);
    assert!(told["nws_received_bytes_total"] > 1500.0 && told["nws_sent_bytes_total"] > 500.0);
    assert!(told["process_resident_memory_bytes"] > 1e6);
    assert_eq!(told["nws_values_memory_limit_bytes"], Limits::default().values_bytes as f64);
}

#[test]
fn each_turn_of_the_loop_is_in_the_histogram_of_its_pauses() {
    let server = Running::start();
    let mut client = server.client();
    let pauses = |told: &BTreeMap<String, f64>| told["nws_loop_pause_seconds_count"];
    let before = pauses(&metrics(server.web));
    for _ in 0..100 {
        assert_eq!(client.ask(&Request::Ping), Reply::Pong);
    }
    let told = metrics(server.web);
    assert!(pauses(&told) >= before + 99.0, "a client that waits for each answer makes a turn for each");
    let buckets: Vec<(f64, f64)> = told
        .iter()
        .filter_map(|(name, count)| {
            let bound = name.strip_prefix("nws_loop_pause_seconds_bucket{le=\"")?.strip_suffix("\"}")?;
            Some((if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() }, *count))
        })
        .collect();
    let mut sorted = buckets.clone();
    sorted.sort_by(|one, other| one.partial_cmp(other).unwrap());
    assert!(sorted.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{sorted:?}");
    assert_eq!(sorted.last().unwrap(), &(f64::INFINITY, pauses(&told)));
    assert!(sorted.iter().any(|(bound, _)| *bound == 0.02), "what the server promises is a bound");
    let (sum, longest) = (told["nws_loop_pause_seconds_sum"], told["nws_loop_longest_pause_seconds"]);
    assert!(longest > 0.0 && longest <= sum);
}

#[test]
fn the_page_of_the_metrics_names_them_all() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    let server = Running::start();
    let told = support::http::get(server.web, "/metrics");
    let names: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() > 15);
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "docs/metrics.md does not name {name}");
    }
}
