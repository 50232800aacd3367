//! Sessions: their end, their guardian, their silence; and the way in.

use std::time::Duration;

use nws_client::{ConnectOptions, ConnectProblem, Connection, Endpoint, Error, Server, Silence, Value};
use nws_proto::{Adopted, ErrorCode, LeaseId, Reply, Request, SessionId, Token, Wait, limits};

use crate::site::{Carrier, Site, code, info, number, numbers, over_both, reply, soon, until};

fn problem(result: Result<Connection, Error>) -> ConnectProblem {
    match result.unwrap_err() {
        Error::Connect { problem, .. } => problem,
        other => panic!("{other:?}"),
    }
}

/// A session in the care of another, with leases of `tasks`.
fn ward(site: &Site, guardian: &Connection) -> Connection {
    site.connect_with(ConnectOptions { guardian: guardian.session(), ..site.options() })
}

over_both! {
    fn the_leases_of_a_session_that_ends_return_to_their_places(site: &Site) {
        let workspace = site.workspace("ws");
        let holder = site.workspace("ws");
        soon(workspace.store_many("tasks", 0..5)).unwrap();
        let leases = soon(holder.fetch_leases("tasks", 3)).unwrap();
        assert_eq!(info(&workspace, "tasks").leased, 3);
        let waiting = workspace.fetch_many("tasks", 1);
        assert_eq!(numbers(&soon(waiting).unwrap()), [3]);
        holder.connection().close();
        until("they are back", || info(&workspace, "tasks").values == 4);
        assert_eq!(numbers(&soon(workspace.fetch_many("tasks", 9)).unwrap()), [0, 1, 2, 4]);
        drop(leases);
    }

    fn the_waits_of_a_session_that_ends_take_nothing(site: &Site) {
        let (workspace, other) = (site.workspace("ws"), site.workspace("ws"));
        let waiting: Vec<_> = (0..10).map(|_| other.fetch::<Value>("x")).collect();
        until("they wait", || info(&workspace, "x").fetchers == 10);
        other.connection().close();
        for call in waiting {
            assert!(matches!(soon(call), Err(Error::Closed { .. })));
        }
        until("they are forgotten", || info(&workspace, "x").fetchers == 0);
        soon(workspace.store("x", 1)).unwrap();
        assert_eq!(number(&soon(workspace.fetch("x")).unwrap()), 1);
    }

    fn a_guardian_takes_over_what_its_ward_held(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("tasks", 0..4)).unwrap();
        let guardian = site.connect();
        let ward = ward(site, &guardian);
        let session = ward.session();
        let held = soon(Server::from(ward.clone()).use_workspace("ws")).unwrap();
        let leases = soon(held.fetch_leases("tasks", 3)).unwrap();
        let ids: Vec<LeaseId> = leases.iter().map(|lease| lease.id()).collect();
        let adopting = guardian.request(Request::Adopt { wait: Wait::Forever });
        ward.close();
        let Ok(Reply::Adopted(Adopted { session: ended, leases: adopted })) = reply(adopting) else { panic!() };
        assert_eq!(ended, session);
        assert_eq!(adopted.iter().map(|orphan| orphan.lease).collect::<Vec<_>>(), ids);
        assert_eq!(info(&workspace, "tasks").leased, 3);
        // The first was being run; the others had not begun.
        let blamed = Request::Release { leases: vec![ids[0]], died: true, recalled: false };
        reply(guardian.request(blamed)).unwrap();
        reply(guardian.request(Request::Release { leases: ids[1..].to_vec(), died: false, recalled: false })).unwrap();
        let again = soon(workspace.fetch_leases("tasks", 9)).unwrap();
        let deaths: Vec<(i64, u16)> = again.iter().map(|lease| (number(lease.value()), lease.deaths())).collect();
        assert_eq!(deaths, [(0, 1), (1, 0), (2, 0), (3, 0)]);
        drop(leases);
    }

    fn what_a_guardian_held_returns_when_it_ends_too(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("tasks", 0..2)).unwrap();
        let guardian = site.connect();
        let ward = ward(site, &guardian);
        let held = soon(Server::from(ward.clone()).use_workspace("ws")).unwrap();
        let leases = soon(held.fetch_leases("tasks", 2)).unwrap();
        ward.close();
        let adopted = reply(guardian.request(Request::Adopt { wait: Wait::Forever }));
        assert!(matches!(adopted, Ok(Reply::Adopted(Adopted { leases, .. })) if leases.len() == 2));
        guardian.close();
        until("they are back", || info(&workspace, "tasks").values == 2);
        drop(leases);
    }

    fn a_dropped_adoption_gives_its_leases_back(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store("tasks", 1)).unwrap();
        let guardian = site.connect();
        let ward = ward(site, &guardian);
        let held = soon(Server::from(ward.clone()).use_workspace("ws")).unwrap();
        let lease = soon(held.fetch_lease("tasks")).unwrap();
        let adopting = guardian.request(Request::Adopt { wait: Wait::Forever });
        ward.close();
        until("it came", || adopting.is_ready());
        drop(adopting);
        assert_eq!(number(&soon(workspace.fetch("tasks")).unwrap()), 1);
        drop(lease);
    }

    fn adopting_can_time_out(site: &Site) {
        let guardian = site.connect();
        assert_eq!(reply(guardian.request(Request::Adopt { wait: Wait::Ms(5) })), Err(Error::TimedOut));
    }

    fn a_guardian_that_does_not_live_is_refused(site: &Site) {
        let options = ConnectOptions { guardian: SessionId(u64::MAX), ..site.options() };
        let ConnectProblem::Refused(fault) = problem(Connection::connect(site.endpoint(), options)) else { panic!() };
        assert_eq!(fault.code, ErrorCode::NoSuchGuardian);
    }

    fn a_wrong_token_is_refused(site: &Site) {
        let options = ConnectOptions { token: Some(Token([1; 32])), ..site.options() };
        assert_eq!(problem(Connection::connect(site.endpoint(), options)), ConnectProblem::WrongToken);
    }

    fn a_client_that_does_nothing_lives_on_because_its_pings_are_answered(site: &Site) {
        let options = ConnectOptions { silence: Silence::Ms(400), ..site.options() };
        let workspace = soon(Server::from(site.connect_with(options)).open("ws")).unwrap();
        // Longer than the silence that ends a session.
        assert_eq!(soon(workspace.fetch_timeout::<Value>("x", Duration::from_millis(1000))), Err(Error::TimedOut));
        soon(workspace.store("x", 1)).unwrap();
    }

    fn a_server_that_goes_down_says_so_to_all_who_wait(site: &Site) {
        if !site.is_ours() {
            return;
        }
        let workspace = site.workspace("ws");
        let waiting = workspace.fetch::<Value>("x");
        until("it waits", || info(&workspace, "x").fetchers == 1);
        site.shut_down();
        let Err(Error::Closed { reason }) = soon(waiting) else { panic!() };
        assert!(reason.contains("shutting-down"), "{reason}");
        site.wait_for_end();
        assert_eq!(problem(Connection::connect(site.endpoint(), site.options())), ConnectProblem::NobodyListens);
    }

    fn sessions_of_one_server_have_ids_of_their_own(site: &Site) {
        let connections: Vec<Connection> = (0..20).map(|_| site.connect_for_good()).collect();
        let mut ids: Vec<SessionId> = connections.iter().map(Connection::session).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 20);
        assert!(ids[0] != SessionId(0));
        assert!(connections.iter().all(|one| one.server_id() == connections[0].server_id()));
    }

    fn a_request_that_is_too_long_is_refused_and_the_connection_lives(site: &Site) {
        let workspace = site.workspace("ws");
        // One value would go in parts.
        let half = || Value::raw(vec![0u8; nws_proto::limits::VALUE_BYTES as usize / 2 + 64]);
        assert_eq!(code(workspace.store_many("x", [half(), half()])), ErrorCode::FrameTooLong);
        soon(workspace.store("x", 1)).unwrap();
    }
}

#[test]
fn too_many_names_are_refused_for_what_they_are() {
    let site = Site::start(Carrier::Unix);
    let server = site.server();
    let open = |n: u32| soon(server.use_workspace(format!("ws {n}"))).unwrap();
    // A workspace lets go of old names itself, before a session has too many.
    let mut full: Vec<_> = (0..limits::SESSION_VARIABLES / 4096).map(open).collect();
    let last = full.iter().flat_map(|workspace| (0..4096).map(|n| workspace.find_try::<Value>(n.to_string()))).last();
    assert_eq!(soon(last.unwrap()), Ok(None));
    let another = open(99);
    assert_eq!(code(another.find_try::<Value>("x")), ErrorCode::TooManyVariables);
    full.pop();
    assert_eq!(soon(another.find_try::<Value>("x")), Ok(None));
}

#[test]
fn clients_of_both_carriers_share_their_workspaces() {
    let site = Site::start(Carrier::Tcp);
    let connect = |endpoint: &Endpoint| Server::from(Connection::connect(endpoint, site.options()).unwrap());
    let (tcp, unix) = (connect(&site.tcp), connect(&site.unix));
    soon(soon(tcp.use_workspace("ws")).unwrap().store("x", 1)).unwrap();
    assert_eq!(number(&soon(soon(unix.use_workspace("ws")).unwrap().fetch("x")).unwrap()), 1);
}

#[tokio::test]
async fn async_code_connects_and_races() {
    let site = Site::start(Carrier::Unix);
    let server = Server::connect(site.endpoint(), site.options()).await.unwrap();
    let workspace = server.open("ws").await.unwrap();
    let mut fetch = workspace.fetch::<Value>("x");
    tokio::select! {
        biased;
        value = &mut fetch => panic!("nothing was stored: {value:?}"),
        stored = workspace.store("y", 1) => stored.unwrap(),
    }
    workspace.store("x", "a").await.unwrap();
    assert_eq!(tokio::time::timeout(crate::site::LONG, fetch).await.unwrap().unwrap().as_text(), Some("a"));
    let nowhere = Server::connect(&Endpoint::Unix("/no/such/socket".into()), site.options()).await;
    assert!(matches!(nowhere, Err(Error::Connect { problem: ConnectProblem::NobodyListens, .. })));
}

/// Fetches that lose races, again and again, on both runtimes that people use.
async fn race(workspace: nws_client::Workspace, stores: nws_client::Workspace) {
    const ROUNDS: i64 = 500;
    let (mut got, mut lost) = (Vec::new(), 0);
    for n in 0..ROUNDS {
        let store = stores.store("x", n);
        let fetch = workspace.fetch::<i64>("x");
        // Whichever is first; a fetch that is not is dropped, when its value may be anywhere.
        match smol::future::or(async { fetch.await.map(Some) }, async { store.await.map(|()| None) }).await.unwrap() {
            Some(value) => got.push(value),
            None => lost += 1,
        }
    }
    while let Some(value) = workspace.fetch_try::<i64>("x").await.unwrap() {
        got.push(value);
    }
    got.sort_unstable();
    assert_eq!(got, (0..ROUNDS).collect::<Vec<_>>(), "{lost} fetches were dropped");
}

#[tokio::test]
async fn no_value_is_lost_to_fetches_that_are_dropped_under_tokio() {
    let site = Site::start(Carrier::Unix);
    race(site.workspace("ws"), site.workspace("ws")).await;
}

#[test]
fn no_value_is_lost_to_fetches_that_are_dropped_under_smol() {
    let site = Site::start(Carrier::Tcp);
    smol::block_on(race(site.workspace("ws"), site.workspace("ws")));
}
