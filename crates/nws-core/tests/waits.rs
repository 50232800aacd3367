//! Waiting, and every way in which it ends; limits.

use nws_core::{Effect, Settings};
use nws_proto::{
    Cursor, ErrorCode, Mode, OpenMode, Reply, Request, RequestId, Retrieve, VariableHandle, Wait, WorkspaceHandle,
};
use nws_testkit::{SPACE, VARIABLE, World, fetch, find, item, lease, sized};

fn wait(ms: u32, retrieve: Retrieve) -> Request<nws_testkit::Value> {
    Request::Retrieve(Retrieve { wait: Wait::Ms(ms), ..retrieve })
}

#[test]
fn a_try_makes_the_variable_and_does_not_wait() {
    let mut world = World::default();
    let client = world.client();
    assert_eq!(world.values(client, Retrieve { wait: Wait::No, ..fetch() }), []);
    assert_eq!(world.values(client, Retrieve { wait: Wait::No, ..lease(3) }), []);
    assert_eq!(world.core.waiting(), 0);
    assert!(world.listed(client).is_some());
}

#[test]
fn a_wait_ends_at_its_deadline_and_not_before() {
    let mut world = World::default();
    let [client, storer] = world.clients();
    let late = world.ask(client, wait(20, fetch()));
    let early = world.ask(client, wait(10, find()));
    assert_eq!(world.core.next_deadline_ms(), Some(10));
    world.pass(9);
    assert_eq!(world.reply(client, early), None);
    world.pass(1);
    assert_eq!(world.reply(client, early), Some(Reply::TimedOut));
    assert_eq!(world.core.next_deadline_ms(), Some(20));
    world.store(storer, [1]);
    assert_eq!(world.delivered(client, late), [1]);
    assert_eq!(world.core.next_deadline_ms(), None);
    world.pass(100);
    assert_eq!(world.effects, []);
}

#[test]
fn a_wait_that_timed_out_gets_no_value() {
    let mut world = World::default();
    let [client, storer] = world.clients();
    let id = world.ask(client, wait(1, fetch()));
    world.pass(1);
    assert_eq!(world.reply(client, id), Some(Reply::TimedOut));
    world.store(storer, [1]);
    assert_eq!(world.listed(storer).unwrap().values, 1);
}

#[test]
fn a_cancelled_wait_is_answered_and_gets_no_value() {
    let mut world = World::default();
    let [client, storer] = world.clients();
    let id = world.ask(client, wait(50, fetch()));
    let cancel = world.ask(client, Request::Cancel { target: id });
    let replies = [(id, Reply::Canceled), (cancel, Reply::Done)];
    let expected = replies.map(|(request, reply)| Effect::Reply { session: client, request, reply });
    assert_eq!(core::mem::take(&mut world.effects), expected);
    world.done(client, Request::Cancel { target: id });
    assert_eq!(world.core.next_deadline_ms(), None);
    world.store(storer, [1]);
    assert_eq!(world.listed(storer).unwrap().values, 1);
}

#[test]
fn a_session_cancels_only_its_own_waits() {
    let mut world = World::default();
    let [client, other] = world.clients();
    let id = world.ask(client, Request::Retrieve(fetch()));
    world.done(other, Request::Cancel { target: id });
    assert_eq!(world.core.waiting(), 1);
}

#[test]
fn no_value_goes_to_a_session_that_has_ended() {
    let mut world = World::default();
    let [dead, alive, storer] = world.clients();
    world.ask(dead, Request::Retrieve(fetch()));
    world.ask(dead, Request::Retrieve(find()));
    world.ask(dead, Request::Adopt { wait: Wait::Ms(7) });
    let id = world.ask(alive, Request::Retrieve(fetch()));
    world.end(dead);
    assert_eq!(world.core.waiting(), 1);
    assert_eq!(world.core.next_deadline_ms(), None);
    world.store(storer, [1]);
    assert_eq!(world.delivered(alive, id), [1]);
    assert_eq!(world.effects, []);
}

#[test]
fn one_session_may_wait_many_times_and_do_other_things_meanwhile() {
    let mut world = World::default();
    let client = world.client();
    let ids = [0; 3].map(|_| world.ask(client, Request::Retrieve(fetch())));
    assert_eq!(world.call(client, Request::Ping), Reply::Pong);
    world.store(client, [1, 2]);
    assert_eq!(ids.map(|id| world.delivered(client, id)), [vec![1], vec![2], vec![]]);
}

#[test]
fn deliveries_come_before_the_storers_reply_also_in_one_session() {
    let mut world = World::default();
    let client = world.client();
    let waiting = world.ask(client, Request::Retrieve(fetch()));
    let stored = world.ask(client, Request::Store { variable: VARIABLE, items: vec![item(1)] });
    let order: Vec<_> = world
        .effects
        .iter()
        .map(|effect| match effect {
            Effect::Reply { request, .. } => *request,
            Effect::Event { .. } => RequestId(0),
        })
        .collect();
    assert_eq!(order, [waiting, stored]);
}

#[test]
fn a_finder_that_iterates_gets_a_batch_and_a_plain_one_a_single_value() {
    let mut world = World::default();
    let [client, storer] = world.clients();
    let plain = world.ask(client, Request::Retrieve(Retrieve { max_values: 9, ..find() }));
    let iterated = world.ask(client, Request::Retrieve(Retrieve { max_values: 9, cursor: Cursor::Oldest, ..find() }));
    world.store(storer, [1, 2, 3]);
    assert_eq!(world.delivered(client, plain), [1]);
    assert_eq!(world.delivered(client, iterated), [1, 2, 3]);
}

#[test]
fn in_single_each_waiting_fetch_gets_one_of_a_batch_as_if_they_were_stored_one_by_one() {
    let mut world = World::default();
    let [a, b, storer] = world.clients();
    world.declare(storer, Mode::Single);
    let ids = [a, b].map(|client| (client, world.ask(client, Request::Retrieve(lease(9)))));
    world.store(storer, [1, 2, 3, 4]);
    assert_eq!(ids.map(|(client, id)| world.delivered(client, id)), [vec![1], vec![2]]);
    assert_eq!(world.values(storer, fetch()), [4]);
    assert_eq!(world.core.values_bytes(), 16);
}

#[test]
fn misuse_is_refused_and_changes_nothing() {
    let mut world = World::default();
    let client = world.client();
    let waiting = world.ask(client, Request::Retrieve(fetch()));
    let mut refused = |id, request| {
        world.core.request(0, 0, client, id, request, &mut world.effects);
        match world.effects.pop() {
            Some(Effect::Reply { request, reply: Reply::Failed(fault), .. }) if request == id => fault.code,
            other => panic!("{other:?}"),
        }
    };
    let id = RequestId(1000);
    let cases = [
        (waiting, Request::Ping, ErrorCode::RequestInUse),
        (RequestId(0), Request::Ping, ErrorCode::BadArguments),
        (id, Request::Retrieve(Retrieve { take: false, ..lease(1) }), ErrorCode::BadArguments),
        (id, Request::Retrieve(Retrieve { max_values: 0, ..fetch() }), ErrorCode::BadArguments),
        (id, Request::Store { variable: VARIABLE, items: vec![] }, ErrorCode::BadArguments),
        (id, Request::Finish { variable: VARIABLE, items: vec![] }, ErrorCode::BadArguments),
        (id, Request::Store { variable: VariableHandle(9), items: vec![item(1)] }, ErrorCode::UnknownHandle),
        (id, Request::Retrieve(Retrieve { variable: VariableHandle(9), ..fetch() }), ErrorCode::UnknownHandle),
        (id, Request::ListVariables { workspace: WorkspaceHandle(9) }, ErrorCode::UnknownHandle),
        (id, Request::Bind { variable: VARIABLE, workspace: SPACE, name: vec![] }, ErrorCode::HandleInUse),
    ];
    for (id, request, expected) in cases {
        assert_eq!(refused(id, request.clone()), expected, "{request:?}");
    }
    assert_eq!(world.core.waiting(), 1);
    assert_eq!(world.core.variables(), 1);
}

#[test]
fn names_have_a_longest_length() {
    let mut world = World::with(Settings { name_bytes: 4, ..Settings::default() });
    let client = world.client();
    let open = |name: &str| Request::Open {
        workspace: WorkspaceHandle(2),
        name: name.into(),
        mode: OpenMode::Use,
        create: true,
    };
    let bind = |name: &str| Request::Bind { variable: VariableHandle(2), workspace: SPACE, name: name.into() };
    let make = |template: &str| Request::MakeTemporary { workspace: WorkspaceHandle(3), template: template.into() };
    assert_eq!(world.fails(client, open("abcde")), ErrorCode::NameTooLong);
    assert!(matches!(world.call(client, open("abcd")), Reply::Opened { .. }));
    assert_eq!(world.fails(client, bind("abcde")), ErrorCode::NameTooLong);
    assert_eq!(world.call(client, bind("abcd")), Reply::Done);
    assert_eq!(world.fails(client, make("%05d")), ErrorCode::NameTooLong);
    assert!(matches!(world.call(client, make("%04d")), Reply::Opened { .. }));
}

#[test]
fn a_session_has_limits_for_workspaces_variables_and_waits() {
    let settings = Settings { session_workspaces: 2, session_variables: 2, session_waiting: 2, ..Settings::default() };
    let mut world = World::with(settings);
    let client = world.client();
    world.open(client, WorkspaceHandle(2), "x", OpenMode::Use);
    let make = Request::MakeTemporary { workspace: WorkspaceHandle(3), template: b"%d".to_vec() };
    assert_eq!(world.fails(client, make.clone()), ErrorCode::TooManyWorkspaces);
    let open = Request::Open { workspace: WorkspaceHandle(3), name: b"y".to_vec(), mode: OpenMode::Use, create: true };
    assert_eq!(world.fails(client, open), ErrorCode::TooManyWorkspaces);
    world.done(client, Request::CloseWorkspace { workspace: WorkspaceHandle(2) });
    world.call(client, make);

    world.bind(client, VariableHandle(2), SPACE, "a");
    let bind = Request::Bind { variable: VariableHandle(3), workspace: SPACE, name: b"b".to_vec() };
    assert_eq!(world.fails(client, bind.clone()), ErrorCode::TooManyVariables);
    world.done(client, Request::Unbind { variable: VariableHandle(2) });
    world.done(client, bind);

    let first = world.ask(client, Request::Retrieve(fetch()));
    world.ask(client, Request::Adopt { wait: Wait::Forever });
    assert_eq!(world.fails(client, Request::Retrieve(find())), ErrorCode::TooManyWaiting);
    assert_eq!(world.fails(client, Request::Adopt { wait: Wait::Forever }), ErrorCode::TooManyWaiting);
    let unheard_of = Retrieve { variable: VariableHandle(3), ..find() };
    assert_eq!(world.fails(client, Request::Retrieve(unheard_of)), ErrorCode::TooManyWaiting);
    assert_eq!(world.core.variables(), 1, "a failed retrieval makes no variable");
    assert_eq!(world.values(client, Retrieve { wait: Wait::No, ..unheard_of }), [], "what does not wait may go on");
    world.done(client, Request::Cancel { target: first });
    world.ask(client, Request::Retrieve(find()));
    assert_eq!(world.core.waiting(), 2);
}

#[test]
fn all_sessions_together_have_a_limit_of_waits() {
    let mut world = World::with(Settings { waiting: 3, ..Settings::default() });
    let [one, two] = world.clients();
    world.ask(one, Request::Retrieve(fetch()));
    world.ask(one, Request::Retrieve(find()));
    world.ask(two, Request::Adopt { wait: Wait::Forever });
    for session in [one, two] {
        let Reply::Failed(fault) = world.call(session, Request::Retrieve(find())) else { panic!("there is no room") };
        assert_eq!(fault.code, ErrorCode::TooManyWaiting);
        assert!(fault.message.contains("at most 3 requests of all sessions wait (setting waiting)"), "{fault}");
        assert_eq!(world.values(session, Retrieve { wait: Wait::No, ..find() }), [], "what does not wait may go on");
    }
    world.end(one);
    world.ask(two, Request::Retrieve(find()));
    assert_eq!(world.core.waiting(), 2);
}

#[test]
fn a_session_has_a_limit_of_leases_also_where_it_waits() {
    let mut world = World::with(Settings { session_leases: 3, ..Settings::default() });
    let [client, storer] = world.clients();
    world.store(storer, 0..4);
    assert_eq!(world.values(client, lease(2)).len(), 2);
    assert_eq!(world.values(client, lease(2)).len(), 1, "up to the limit");
    assert_eq!(world.fails(client, Request::Retrieve(lease(1))), ErrorCode::TooManyLeases);
    world.values(client, fetch());
    world.release(client, [1, 2], false);
    world.bind(client, VariableHandle(2), SPACE, "other");
    let ids = [0; 2].map(|_| {
        let ask = Retrieve { variable: VariableHandle(2), ..lease(9) };
        world.ask(client, Request::Retrieve(ask))
    });
    world.values(client, lease(1));
    world.bind(storer, VariableHandle(2), SPACE, "other");
    let items = (10..15).map(item).collect();
    world.done(storer, Request::Store { variable: VariableHandle(2), items });
    assert_eq!(world.delivered(client, ids[0]).len(), 1);
    assert!(
        matches!(world.reply(client, ids[1]), Some(Reply::Failed(fault)) if fault.code == ErrorCode::TooManyLeases)
    );
    assert_eq!(world.core.session_leases(client), 3);
}

#[test]
fn batches_have_a_limit() {
    let mut world = World::with(Settings { batch_values: 3, batch_bytes: 20, ..Settings::default() });
    let client = world.client();
    let store = |count: u64| Request::Store { variable: VARIABLE, items: (0..count).map(item).collect() };
    assert_eq!(world.fails(client, store(4)), ErrorCode::BadArguments);
    world.done(client, store(3));
    assert_eq!(world.values(client, Retrieve { max_values: 9, ..fetch() }).len(), 2, "16 of 20 bytes");
    world.done(client, Request::Store { variable: VARIABLE, items: vec![sized(1, 0), sized(2, 0), sized(3, 0)] });
    assert_eq!(world.values(client, Retrieve { max_values: 9, ..fetch() }).len(), 3);
}

#[test]
fn memory_has_a_limit_that_counts_leased_values_and_what_a_finish_frees() {
    // What names take counts as well.
    let mut named = World::default();
    let name = named.client();
    named.done(name, Request::Declare { variable: VARIABLE, mode: nws_proto::Mode::Fifo });
    let values_bytes = 100 + named.core.names_bytes();
    let mut world = World::with(Settings { values_bytes, ..Settings::default() });
    let client = world.client();
    let store = |bytes| Request::Store { variable: VARIABLE, items: vec![sized(1, bytes)] };
    assert_eq!(world.fails(client, store(101)), ErrorCode::MemoryFull);
    assert_eq!(world.core.variables(), 0);
    world.done(client, store(100));
    let lease = world.lease(client, 1).0;
    assert_eq!(world.fails(client, store(1)), ErrorCode::MemoryFull, "a leased value may come back");
    let finish = |bytes| Request::Finish {
        variable: VARIABLE,
        items: vec![nws_proto::FinishItem { lease: nws_proto::LeaseId(lease), result: sized(2, bytes) }],
    };
    assert_eq!(world.fails(client, finish(101)), ErrorCode::MemoryFull);
    let item = |bytes| nws_proto::FinishItem { lease: nws_proto::LeaseId(lease), result: sized(2, bytes) };
    let twice = Request::Finish { variable: VARIABLE, items: vec![item(150), item(1)] };
    assert_eq!(world.fails(client, twice), ErrorCode::MemoryFull, "a lease that is named twice frees one value");
    assert_eq!(world.call(client, finish(100)), Reply::Finished { refused: vec![] }, "it frees what it replaces");
    assert_eq!(world.core.values_bytes(), 100);
    world.done(client, Request::DeleteVariable { variable: VARIABLE });
    assert_eq!(world.core.values_bytes(), 0);
}

#[test]
fn ten_thousand_waiting_sessions_are_answered_forgotten_and_deleted_at_little_cost() {
    let mut world = World::default();
    let storer = world.client();
    let sessions: Vec<_> = (0..10_000).map(|_| world.client()).collect();
    for session in &sessions {
        world.ask(*session, wait(1000, lease(4)));
    }
    for session in &sessions[..2500] {
        world.end(*session);
    }
    for session in &sessions[2500..5000] {
        world.core.request(0, 0, *session, RequestId(9), Request::Cancel { target: RequestId(3) }, &mut world.effects);
    }
    assert_eq!(world.core.waiting(), 5000);
    world.effects.clear();
    world.store(storer, 0..2500);
    assert_eq!(world.core.waiting(), 2500);
    world.effects.clear();
    world.done(storer, Request::DeleteVariable { variable: VARIABLE });
    // Some thousand are told at once, the others in parts.
    while world.core.sweep(&mut world.effects) {}
    assert_eq!((world.core.waiting(), world.core.values_bytes()), (0, 0));
    assert_eq!(world.core.next_deadline_ms(), None);
    assert_eq!(world.effects.len(), 2500);
}
