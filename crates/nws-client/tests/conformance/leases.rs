//! Leases: fetched, finished, released, recalled.

use std::sync::mpsc::channel;
use std::time::Duration;

use nws_client::{Connection, Error, Value, Workspace};
use nws_proto::{
    Cursor, Descriptor, ErrorCode, Event, FinishItem, Item, LeaseId, Mode, OpenMode, Reply, Request, Retrieve,
    VariableHandle, Wait,
};

use crate::site::{LONG, Site, code, info, number, numbers, over_both, reply, soon, until};

fn release(connection: &Connection, leases: Vec<LeaseId>, died: bool, recalled: bool) {
    assert_eq!(reply(connection.request(Request::Release { leases, died, recalled })), Ok(Reply::Done));
}

fn counts(workspace: &Workspace, variable: &str) -> (u64, u64) {
    let info = info(workspace, variable);
    (info.values, info.leased)
}

over_both! {
    fn a_value_that_is_done_is_gone_unless_the_lease_had_ended(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("tasks", 0..2)).unwrap();
        let lease = soon(workspace.fetch_lease("tasks")).unwrap();
        soon(lease.done()).unwrap();
        let lease = soon(workspace.fetch_lease("tasks")).unwrap();
        release(workspace.connection(), vec![lease.id()], false, false);
        assert_eq!(code(lease.done()), ErrorCode::LeaseEnded);
        assert_eq!(numbers(&soon(workspace.fetch_many_try("tasks", 9)).unwrap()), [1]);
    }

    fn a_finished_lease_leaves_its_result_in_its_stead(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("tasks", 1..3)).unwrap();
        let lease = soon(workspace.fetch_lease("tasks")).unwrap();
        assert_eq!((number(lease.value()), lease.deaths(), lease.index().0), (1, 0, 0));
        assert_eq!(counts(&workspace, "tasks"), (1, 1));
        soon(lease.finish(&workspace, "results", 10)).unwrap();
        assert_eq!(counts(&workspace, "tasks"), (1, 0));
        assert_eq!(numbers(&soon(workspace.fetch_many_try::<Value>("results", 9)).unwrap()), [10]);
    }

    fn nobody_else_gets_a_leased_value(site: &Site) {
        let (workspace, other) = (site.workspace("ws"), site.workspace("ws"));
        soon(workspace.store("tasks", 1)).unwrap();
        let lease = soon(workspace.fetch_lease("tasks")).unwrap();
        assert_eq!(soon(other.fetch_try::<Value>("tasks")), Ok(None));
        assert_eq!(soon(other.find_try::<Value>("tasks")), Ok(None));
        let waiting = other.fetch("tasks");
        until("it waits", || info(&workspace, "tasks").fetchers == 1);
        soon(lease.release()).unwrap();
        assert_eq!(number(&soon(waiting).unwrap()), 1);
    }

    fn a_released_value_is_back_at_its_own_place(site: &Site) {
        let workspace = site.workspace("ws");
        for mode in [Mode::Fifo, Mode::Lifo] {
            let name = mode.name();
            soon(workspace.declare(name, mode)).unwrap();
            soon(workspace.store_many(name, 0..4)).unwrap();
            let leases = soon(workspace.fetch_leases(name, 2)).unwrap();
            let taken: Vec<i64> = leases.iter().map(|lease| number(lease.value())).collect();
            soon(workspace.store(name, 4)).unwrap();
            drop(leases);
            let expected: &[i64] = if mode == Mode::Fifo { &[0, 1, 2, 3, 4] } else { &[4, 3, 2, 1, 0] };
            assert_eq!(taken, if mode == Mode::Fifo { [0, 1] } else { [3, 2] });
            assert_eq!(numbers(&soon(workspace.fetch_many(name, 9)).unwrap()), expected);
        }
    }

    fn in_single_a_value_comes_back_only_where_no_newer_one_is(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.declare("x", Mode::Single)).unwrap();
        soon(workspace.store("x", 1)).unwrap();
        soon(soon(workspace.fetch_lease("x")).unwrap().release()).unwrap();
        assert_eq!(number(&soon(workspace.find("x")).unwrap()), 1);
        let lease = soon(workspace.fetch_lease("x")).unwrap();
        soon(workspace.store("x", 2)).unwrap();
        soon(lease.release()).unwrap();
        assert_eq!(numbers(&soon(workspace.fetch_many("x", 9)).unwrap()), [2]);
    }

    fn a_lease_ends_once(site: &Site) {
        let connection = site.connect();
        let server = nws_client::Server::from(connection.clone());
        let workspace = soon(server.use_workspace("ws")).unwrap();
        soon(workspace.store_many("tasks", 0..2)).unwrap();
        let leases = soon(workspace.fetch_leases("tasks", 2)).unwrap();
        let id = leases[0].id();
        let [first, second]: [_; 2] = leases.try_into().unwrap();
        release(&connection, vec![id], false, false);
        // Already back: passed over, and no longer to be finished.
        release(&connection, vec![id], false, false);
        assert_eq!(code(first.finish(&workspace, "results", 1)), ErrorCode::LeaseEnded);
        soon(second.finish(&workspace, "results", 2)).unwrap();
        assert_eq!(numbers(&soon(workspace.fetch_many("results", 9)).unwrap()), [2]);
        assert_eq!(numbers(&soon(workspace.fetch_many("tasks", 9)).unwrap()), [0]);
    }

    fn each_of_many_finished_together_counts_by_itself(site: &Site) {
        let connection = site.connect();
        let (handle, opened) = connection.open(b"ws", OpenMode::Use, true);
        reply(opened).unwrap();
        let (tasks, results) = (connection.bind(handle, b"tasks"), connection.bind(handle, b"results"));
        let item = |n: i64| Item { descriptor: Descriptor(0), value: n.to_le_bytes().to_vec().into() };
        reply(connection.request(Request::Store { variable: tasks, items: (0..5).map(item).collect() })).unwrap();
        let (first, count) = grant(&connection, tasks, 5);
        assert_eq!(count, 5);
        release(&connection, vec![LeaseId(first + 1)], false, false);
        let ids = [first, first + 1, first + 2, first + 2, u64::MAX];
        let items = ids.iter().zip(0..).map(|(id, n)| FinishItem { lease: LeaseId(*id), result: item(n) }).collect();
        let finished = reply(connection.request(Request::Finish { variable: results, items })).unwrap();
        let ended = ErrorCode::LeaseEnded;
        assert_eq!(finished, Reply::Finished { refused: vec![(1, ended), (3, ended), (4, ended)] });
        let (_, count) = grant(&connection, results, 9);
        assert_eq!(count, 2);
    }

    fn anothers_lease_can_be_neither_finished_nor_released(site: &Site) {
        let (workspace, other) = (site.workspace("ws"), site.workspace("ws"));
        soon(workspace.store("tasks", 1)).unwrap();
        let lease = soon(workspace.fetch_lease("tasks")).unwrap();
        release(other.connection(), vec![lease.id()], true, false);
        let connection = other.connection();
        let (handle, opened) = connection.open(b"ws", OpenMode::Use, false);
        reply(opened).unwrap();
        let variable = connection.bind(handle, b"results");
        let result = Item { descriptor: Descriptor(0), value: "x".into() };
        let items = vec![FinishItem { lease: lease.id(), result }];
        let refused = vec![(0, ErrorCode::LeaseEnded)];
        assert_eq!(reply(connection.request(Request::Finish { variable, items })), Ok(Reply::Finished { refused }));
        assert_eq!(counts(&workspace, "tasks"), (0, 1));
        soon(lease.finish(&workspace, "results", 2)).unwrap();
    }

    fn deaths_are_counted_where_the_holder_says_so(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store("tasks", 1)).unwrap();
        for deaths in 0..3 {
            let lease = soon(workspace.fetch_lease("tasks")).unwrap();
            assert_eq!(lease.deaths(), deaths);
            release(workspace.connection(), vec![lease.id()], true, false);
        }
        soon(soon(workspace.fetch_lease("tasks")).unwrap().release()).unwrap();
        assert_eq!(soon(workspace.fetch_lease("tasks")).unwrap().deaths(), 3);
    }

    fn a_lease_fetch_waits_and_can_time_out(site: &Site) {
        let workspace = site.workspace("ws");
        let timed = workspace.fetch_lease_timeout("tasks", Duration::from_millis(5));
        assert_eq!(soon(timed).unwrap_err(), Error::TimedOut);
        let waiting = workspace.fetch_leases("tasks", 5);
        soon(workspace.store_many("tasks", 0..2)).unwrap();
        assert_eq!(soon(waiting).unwrap().len(), 2);
        assert!(soon(workspace.fetch_leases_try("nothing", 5)).unwrap().is_empty());
    }

    fn who_waits_makes_a_holder_be_asked_for_what_it_can_spare(site: &Site) {
        let (holder, hungry) = (site.workspace("ws"), site.workspace("ws"));
        soon(holder.store_many("tasks", 0..10)).unwrap();
        let (sender, events) = channel();
        holder.connection().on_event(move |event| sender.send(event).unwrap());
        let mut leases = soon(holder.fetch_leases("tasks", 10)).unwrap();
        let waiting = hungry.fetch_leases("tasks", 10);
        let Event::Recall { wanted, .. } = events.recv_timeout(LONG).unwrap() else { panic!() };
        assert!(wanted >= 1);
        let spared: Vec<LeaseId> = leases.iter().skip(6).map(|lease| lease.id()).collect();
        release(holder.connection(), spared, false, true);
        let got: Vec<i64> = soon(waiting).unwrap().iter().map(|lease| number(lease.value())).collect();
        assert!(!got.is_empty() && got.iter().all(|n| *n >= 6), "{got:?}");
        // What was not spared is still the holder's.
        for lease in leases.drain(..6) {
            soon(lease.finish(&holder, "results", 1)).unwrap();
        }
    }
}

/// Leases up to `max_values`; the first id and how many came.
fn grant(connection: &Connection, variable: VariableHandle, max_values: u32) -> (u64, usize) {
    let retrieve = Retrieve {
        variable,
        take: true,
        lease: true,
        wait: Wait::No,
        cursor: Cursor::Mode,
        max_values,
        max_bytes: u32::MAX,
    };
    match reply(connection.request(Request::Retrieve(retrieve))).unwrap() {
        Reply::Values { first_lease, values, .. } => (first_lease.0, values.len()),
        other => panic!("{other:?}"),
    }
}
