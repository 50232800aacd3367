//! Many values in one frame, both ways.

use bytes::Bytes;
use nws_client::Value;
use nws_proto::{Cursor, ErrorCode, Mode, OpenMode, Reply, Request, Retrieve, Wait, limits};

use crate::site::{Site, code, info, number, numbers, over_both, reply, soon, until};

over_both! {
    fn the_largest_batch_goes_and_comes_in_one_frame(site: &Site) {
        let workspace = site.workspace("ws");
        let most = limits::BATCH_VALUES;
        soon(workspace.store_many("x", 0..i64::from(most))).unwrap();
        assert_eq!(info(&workspace, "x").values, u64::from(most));
        soon(workspace.store("x", -1)).unwrap();
        let fetched = soon(workspace.fetch_many("x", most + 1)).unwrap();
        assert_eq!(numbers(&fetched), (0..i64::from(most)).collect::<Vec<_>>());
    }

    fn a_larger_one_is_refused_and_nothing_is_stored(site: &Site) {
        let workspace = site.workspace("ws");
        let call = workspace.store_many("x", 0..=i64::from(limits::BATCH_VALUES));
        assert_eq!(code(call), ErrorCode::BadArguments);
        assert_eq!(code(workspace.fetch_many::<Value>("x", 0)), ErrorCode::BadArguments);
        assert_eq!(soon(workspace.fetch_many_try::<Value>("x", 1)), Ok(Vec::new()));
    }

    fn a_batch_takes_what_is_there_and_does_not_wait_for_more(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("x", 0..3)).unwrap();
        assert_eq!(numbers(&soon(workspace.fetch_many("x", 100)).unwrap()), [0, 1, 2]);
        let waiting = workspace.fetch_many("x", 100);
        soon(workspace.store("x", 3)).unwrap();
        assert_eq!(numbers(&soon(waiting).unwrap()), [3]);
        assert_eq!(soon(workspace.fetch_many_try::<Value>("x", 100)), Ok(Vec::new()));
    }

    fn batches_come_in_the_order_of_their_mode(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.declare("lifo", Mode::Lifo)).unwrap();
        soon(workspace.store_many("lifo", 0..5)).unwrap();
        assert_eq!(numbers(&soon(workspace.fetch_many("lifo", 3)).unwrap()), [4, 3, 2]);
        soon(workspace.declare("multi", Mode::Multi)).unwrap();
        soon(workspace.store_many("multi", 0..50)).unwrap();
        let mut fetched = numbers(&soon(workspace.fetch_many("multi", 20)).unwrap());
        fetched.extend(numbers(&soon(workspace.fetch_many("multi", 50)).unwrap()));
        fetched.sort_unstable();
        assert_eq!(fetched, (0..50).collect::<Vec<_>>());
        soon(workspace.declare("single", Mode::Single)).unwrap();
        soon(workspace.store_many("single", 0..5)).unwrap();
        assert_eq!(numbers(&soon(workspace.fetch_many("single", 5)).unwrap()), [4]);
    }

    fn a_batch_stays_below_its_bytes_but_gives_one_value_at_least(site: &Site) {
        let connection = site.connect();
        let (handle, opened) = connection.open(b"ws", OpenMode::Use, true);
        reply(opened).unwrap();
        let variable = connection.bind(handle, b"x");
        let items = vec![Value::from(vec![1; 1000]).into(); 10];
        reply(connection.request(Request::Store { variable, items })).unwrap();
        let count = |max_bytes| {
            let retrieve = Retrieve {
                variable, take: false, lease: false, wait: Wait::No, cursor: Cursor::Oldest, max_values: 10, max_bytes,
            };
            match reply(connection.request(Request::Retrieve(retrieve))).unwrap() {
                Reply::Values { values, .. } => values.len(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!([0, 999, 1000, 1999, 2000, 9_999, 10_000, u32::MAX].map(count), [1, 1, 1, 1, 2, 9, 10, 10]);
    }

    fn a_batch_serves_several_who_wait(site: &Site) {
        let workspace = site.workspace("ws");
        let other = site.workspace("ws");
        let fetches: Vec<_> = (0..4).map(|_| other.fetch("x")).collect();
        until("all wait", || info(&workspace, "x").fetchers == 4);
        soon(workspace.store_many("x", 0..6)).unwrap();
        let got: Vec<i64> = fetches.into_iter().map(|fetch| number(&soon(fetch).unwrap())).collect();
        assert_eq!(got, [0, 1, 2, 3]);
        assert_eq!(numbers(&soon(workspace.fetch_many("x", 9)).unwrap()), [4, 5]);
    }

    fn who_fetches_many_gets_a_fair_share(site: &Site) {
        let workspace = site.workspace("ws");
        let others = [site.workspace("ws"), site.workspace("ws")];
        let fetches: Vec<_> = others.iter().map(|other| other.fetch_many::<Value>("x", 1000)).collect();
        until("both wait", || info(&workspace, "x").fetchers == 2);
        soon(workspace.store_many("x", 0..100)).unwrap();
        let got: Vec<usize> = fetches.into_iter().map(|fetch| soon(fetch).unwrap().len()).collect();
        assert!(got.iter().all(|count| (1..=51).contains(count)), "{got:?}");
    }

    fn large_values_travel_in_batches_too(site: &Site) {
        let workspace = site.workspace("ws");
        let value = |n: u8| Value::from(Bytes::from(vec![n; 700_000 + usize::from(n)]));
        soon(workspace.store_many("x", (0..20).map(value))).unwrap();
        let fetched = soon(workspace.fetch_many::<Value>("x", 20)).unwrap();
        assert_eq!(fetched.len(), 20);
        assert!(fetched.iter().zip(0..).all(|(got, n)| *got == value(n)));
    }
}
