//! Requests that wait: who is served first, deadlines, cancel, many at a time.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use nws_client::{Error, Value};
use nws_proto::{Cursor, ErrorCode, OpenMode, Request, Retrieve, Wait, limits};

use crate::site::{LONG, Site, code, info, number, over_both, reply, soon, until};

over_both! {
    fn a_value_goes_to_the_longest_waiting_fetcher(site: &Site) {
        let workspace = site.workspace("ws");
        let others: Vec<_> = (0..3).map(|_| site.workspace("ws")).collect();
        let mut fetches = Vec::new();
        for (other, n) in others.iter().zip(1..) {
            fetches.push(other.fetch("x"));
            until("the fetch waits", || info(&workspace, "x").fetchers == n);
        }
        for n in 0..3 {
            soon(workspace.store("x", n)).unwrap();
        }
        let got: Vec<i64> = fetches.into_iter().map(|fetch| number(&soon(fetch).unwrap())).collect();
        assert_eq!(got, [0, 1, 2]);
        assert_eq!(soon(workspace.find_try::<Value>("x")), Ok(None));
    }

    fn every_waiting_find_gets_the_value_that_one_fetch_takes(site: &Site) {
        let workspace = site.workspace("ws");
        let other = site.workspace("ws");
        let fetches = [other.fetch("x"), other.fetch("x")];
        let finds: Vec<_> = (0..5).map(|_| other.find("x")).collect();
        until("all wait", || { let info = info(&workspace, "x"); (info.fetchers, info.finders) == (2, 5) });
        soon(workspace.store("x", 7)).unwrap();
        finds.into_iter().for_each(|find| assert_eq!(number(&soon(find).unwrap()), 7));
        let [first, second] = fetches;
        assert_eq!(number(&soon(first).unwrap()), 7);
        assert!(!second.is_ready());
        soon(workspace.store("x", 8)).unwrap();
        assert_eq!(number(&soon(second).unwrap()), 8);
    }

    fn a_wait_ends_when_its_time_is_over(site: &Site) {
        let workspace = site.workspace("ws");
        let start = Instant::now();
        let wait = Duration::from_millis(30);
        let calls = [workspace.fetch_timeout::<Value>("x", wait), workspace.find_timeout::<Value>("x", wait)];
        for call in calls {
            assert_eq!(soon(call), Err(Error::TimedOut));
        }
        assert!(start.elapsed() >= wait);
        assert_eq!(soon(workspace.fetch_timeout::<Value>("x", Duration::ZERO)), Err(Error::TimedOut));
        let info = info(&workspace, "x");
        assert_eq!((info.fetchers, info.finders), (0, 0));
        // A value that comes later is kept for others.
        soon(workspace.store("x", 1)).unwrap();
        assert_eq!(number(&soon(workspace.fetch_timeout::<Value>("x", wait)).unwrap()), 1);
    }

    fn no_wait_ends_before_its_time(site: &Site) {
        let workspace = site.workspace("ws");
        for us in 1..=100 {
            // Begun at another moment of the server's millisecond each time.
            let wait = Duration::from_micros(2000 + us * 10);
            let start = Instant::now();
            assert_eq!(soon(workspace.find_timeout::<Value>("x", wait)), Err(Error::TimedOut));
            assert!(start.elapsed() >= wait, "{:?} of {wait:?}", start.elapsed());
        }
    }

    fn waits_end_in_the_order_of_their_deadlines(site: &Site) {
        let connection = site.connect();
        let (handle, opened) = connection.open(b"ws", OpenMode::Use, true);
        reply(opened).unwrap();
        let variable = connection.bind(handle, b"x");
        let (sender, ended) = channel();
        for ms in [50, 10, 40, 20, 30] {
            let sender = sender.clone();
            let retrieve = Retrieve {
                variable,
                take: ms % 20 == 0,
                lease: false,
                wait: Wait::Ms(ms),
                cursor: Cursor::Mode,
                max_values: 1,
                max_bytes: 0,
            };
            connection.request_then(Request::Retrieve(retrieve), move |outcome| sender.send((ms, outcome)).unwrap());
        }
        for ms in [10, 20, 30, 40, 50] {
            assert_eq!(ended.recv_timeout(LONG), Ok((ms, Err(Error::TimedOut))));
        }
    }

    fn a_canceled_fetch_takes_nothing(site: &Site) {
        let workspace = site.workspace("ws");
        let (first, second) = (workspace.fetch::<Value>("x"), workspace.fetch::<Value>("x"));
        first.cancel();
        assert_eq!(soon(first), Err(Error::Canceled));
        soon(workspace.store("x", 5)).unwrap();
        assert_eq!(number(&soon(second).unwrap()), 5);
    }

    fn a_cancel_that_comes_late_changes_nothing(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store("x", 5)).unwrap();
        let fetch = workspace.fetch("x");
        until("the value is there", || fetch.is_ready());
        fetch.cancel();
        assert_eq!(number(&soon(fetch).unwrap()), 5);
        assert_eq!(soon(workspace.find_try::<Value>("x")), Ok(None));
    }

    fn a_dropped_wait_is_gone(site: &Site) {
        let workspace = site.workspace("ws");
        drop((workspace.fetch::<Value>("x"), workspace.find::<Value>("x")));
        let info = info(&workspace, "x");
        assert_eq!((info.fetchers, info.finders), (0, 0));
        soon(workspace.store("x", 5)).unwrap();
        assert_eq!(number(&soon(workspace.fetch("x")).unwrap()), 5);
    }

    fn thousands_of_waits_on_one_connection_hold_up_nothing(site: &Site) {
        const WAITS: i64 = 20_000;
        let (waiter, storer) = (site.workspace("ws"), site.workspace("ws"));
        let fetches: Vec<_> = (0..WAITS).map(|_| waiter.fetch("x")).collect();
        // Something else on the same connection, meanwhile.
        soon(waiter.store("y", "quick")).unwrap();
        assert_eq!(soon(waiter.fetch("y")), Ok(Value::from("quick")));
        assert_eq!(i64::from(info(&storer, "x").fetchers), WAITS);
        let stores: Vec<_> = (0..5).map(|n| storer.store_many("x", 4000 * n..4000 * (n + 1))).collect();
        stores.into_iter().for_each(|store| soon(store).unwrap());
        for (fetch, n) in fetches.into_iter().zip(0..) {
            assert_eq!(number(&soon(fetch).unwrap()), n);
        }
    }

    fn more_waits_than_a_session_may_have_are_refused(site: &Site) {
        let workspace = site.workspace("ws");
        let waits: Vec<_> = (0..limits::SESSION_WAITING).map(|_| workspace.fetch::<Value>("x")).collect();
        assert_eq!(code(workspace.fetch::<Value>("x")), ErrorCode::TooManyWaiting);
        assert_eq!(info(&workspace, "x").fetchers, limits::SESSION_WAITING);
        drop(waits);
        assert_eq!(info(&workspace, "x").fetchers, 0);
    }

    fn requests_of_one_connection_are_executed_in_order(site: &Site) {
        let server = site.server();
        let workspace = soon(server.open("ws")).unwrap();
        let stores: Vec<_> = (0..1000).map(|n| workspace.store("x", n)).collect();
        let fetches: Vec<_> = (0..1000).map(|_| workspace.fetch_try::<Value>("x")).collect();
        stores.into_iter().for_each(|store| soon(store).unwrap());
        for (fetch, n) in fetches.into_iter().zip(0..) {
            assert_eq!(number(&soon(fetch).unwrap().expect("stored before")), n);
        }
    }
}
