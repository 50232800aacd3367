//! Leases: finish, release, the end of their holder, guardians.

use nws_proto::{
    Adopted, Cursor, ErrorCode, Grant, Index, LeaseId, Mode, OrphanedLease, Reply, Request, Retrieve, SessionId,
    VariableHandle, Wait,
};
use nws_testkit::{SPACE, VARIABLE, Value, World, fetch, find, item, lease, nothing};

const RESULTS: VariableHandle = VariableHandle(2);

fn grants(reply: Option<Reply<Value>>) -> Vec<Grant<Value>> {
    match reply {
        Some(Reply::Values { values, .. }) => values,
        other => panic!("expected values, got {other:?}"),
    }
}

/// A client that has the variable `results` bound as [`RESULTS`].
fn worker(world: &mut World, guardian: SessionId) -> SessionId {
    let session = world.client_of(guardian);
    world.bind(session, RESULTS, SPACE, "results");
    session
}

fn results(world: &mut World, session: SessionId) -> Vec<u64> {
    world.values(session, Retrieve { variable: RESULTS, wait: Wait::No, max_values: 99, ..fetch() })
}

#[test]
fn a_leased_value_is_out_of_the_variable_and_listed_as_leased() {
    let mut world = World::default();
    let [worker, other] = world.clients();
    world.store(other, [1, 2, 3]);
    assert_eq!(world.values(worker, lease(2)), [1, 2]);
    let listed = world.listed(other).unwrap();
    assert_eq!((listed.values, listed.leased), (1, 2));
    assert_eq!(world.core.session_leases(worker), 2);
    assert_eq!(world.core.values_bytes(), 24, "a leased value is still held");
    assert_eq!(world.values(other, fetch()), [3]);
}

#[test]
fn finish_ends_leases_and_stores_the_results_in_one_step() {
    let mut world = World::default();
    let worker = worker(&mut world, SessionId(0));
    world.store(worker, [1, 2]);
    let LeaseId(first) = world.lease(worker, 2);
    assert_eq!(world.finish(worker, RESULTS, &[(first + 1, item(12)), (first, item(11))]), []);
    assert_eq!(results(&mut world, worker), [12, 11]);
    assert_eq!(world.listed(worker).unwrap().leased, 0);
    assert_eq!(world.core.values_bytes(), 0);
}

#[test]
fn a_value_that_is_done_is_gone_and_an_ended_lease_is_told() {
    let mut world = World::default();
    let [holder, other] = world.clients();
    world.store(holder, [1, 2, 3]);
    let LeaseId(first) = world.lease(holder, 3);
    world.release(holder, [first + 1], false);
    assert_eq!(world.release_done(other, [first]), [0], "another's lease");
    assert_eq!(world.release_done(holder, [first, first + 1, first + 2, first + 2]), [1, 3]);
    let listed = world.listed(other).unwrap();
    assert_eq!((listed.values, listed.leased), (1, 0));
    assert_eq!(world.core.values_bytes(), 8);
    assert_eq!(world.values(other, fetch()), [2]);
    assert_eq!(world.release_done(holder, []), []);
}

#[test]
fn a_finish_refuses_each_ended_lease_by_itself_and_stores_no_result_for_it() {
    let mut world = World::default();
    let [holder, thief] = [(); 2].map(|()| worker(&mut world, SessionId(0)));
    world.store(holder, [1, 2, 3]);
    let LeaseId(first) = world.lease(holder, 3);
    let stolen = world.finish(thief, RESULTS, &[(first, item(99))]);
    assert_eq!(stolen, [0], "another session's lease");
    let done = [(first, item(11)), (first, item(12)), (first + 9, item(13)), (0, item(14)), (first + 2, item(15))];
    assert_eq!(world.finish(holder, RESULTS, &done), [1, 2, 3]);
    assert_eq!(results(&mut world, holder), [11, 15]);
}

#[test]
fn a_finish_may_have_the_results_of_several_in_one() {
    let mut world = World::default();
    let worker = worker(&mut world, SessionId(0));
    world.store(worker, [1, 2, 3, 4]);
    let LeaseId(first) = world.lease(worker, 4);
    let done = [(first, nothing()), (first + 1, item(23)), (first + 2, nothing()), (first + 9, nothing())];
    assert_eq!(world.finish(worker, RESULTS, &done), [3]);
    assert_eq!(results(&mut world, worker), [23]);
    world.end(worker);
    let other = world.client();
    assert_eq!(world.values(other, Retrieve { cursor: Cursor::Oldest, max_values: 9, ..find() }), [4]);
}

#[test]
fn a_finish_where_every_lease_has_ended_makes_no_variable() {
    let mut world = World::default();
    let worker = worker(&mut world, SessionId(0));
    assert_eq!(world.finish(worker, RESULTS, &[(7, item(1))]), [0]);
    assert_eq!(world.core.variables(), 0);
}

#[test]
fn a_released_value_is_back_at_its_own_place() {
    let mut world = World::default();
    let [worker, other] = world.clients();
    world.store(other, [1, 2, 3]);
    let LeaseId(first) = world.lease(worker, 2);
    world.store(other, [4]);
    world.release(worker, [first + 1], false);
    assert_eq!(world.values(other, find()), [2], "before 3, although it came back later");
    world.release(worker, [first], false);
    assert_eq!(world.values(worker, Retrieve { cursor: Cursor::Oldest, max_values: 9, ..find() }), [1, 2, 3, 4]);
    assert_eq!(world.finish(worker, VARIABLE, &[(first, item(9))]), [0], "a released lease has ended");
}

#[test]
fn deaths_are_counted_where_the_release_says_so() {
    let mut world = World::default();
    let worker = world.client();
    world.store(worker, [1]);
    for (deaths, died) in [(0, false), (0, true), (1, false), (1, true), (2, false)] {
        let id = world.ask(worker, Request::Retrieve(lease(1)));
        let Some(Reply::Values { first_lease, values, .. }) = world.reply(worker, id) else { panic!() };
        assert_eq!(values[0].deaths, deaths);
        world.release(worker, [first_lease.0], died);
    }
}

#[test]
fn a_released_value_goes_to_those_who_wait() {
    let mut world = World::default();
    let [worker, reader, fetcher, storer] = world.clients();
    world.store(storer, [1]);
    let LeaseId(first) = world.lease(worker, 1);
    let found = world.ask(reader, Request::Retrieve(find()));
    let fetched = world.ask(fetcher, Request::Retrieve(fetch()));
    world.release(worker, [first], true);
    assert_eq!(grants(world.reply(reader, found))[0].deaths, 1);
    assert_eq!(world.delivered(fetcher, fetched), [1]);
    assert_eq!(world.core.values_bytes(), 0);
}

#[test]
fn an_iterator_that_is_past_a_value_does_not_see_it_again_when_it_comes_back() {
    let mut world = World::default();
    let [worker, reader] = world.clients();
    world.store(worker, [1, 2]);
    let id = world.ask(reader, Request::Retrieve(Retrieve { cursor: Cursor::Oldest, ..find() }));
    let Some(Reply::Values { variable, .. }) = world.reply(reader, id) else { panic!() };
    let LeaseId(first) = world.lease(worker, 2);
    let past = Retrieve { cursor: Cursor::After { variable, index: Index(0) }, ..find() };
    let waiting = world.ask(reader, Request::Retrieve(past));
    world.release(worker, [first], false);
    assert_eq!(world.reply(reader, waiting), None, "it has seen the first value");
    world.release(worker, [first + 1], false);
    assert_eq!(world.delivered(reader, waiting), [2]);
}

#[test]
fn in_single_a_value_comes_back_unless_a_newer_one_came() {
    let mut world = World::default();
    let [worker, storer] = world.clients();
    world.declare(storer, Mode::Single);
    world.store(storer, [1]);
    let LeaseId(first) = world.lease(worker, 1);
    world.release(worker, [first], false);
    assert_eq!(world.values(storer, find()), [1]);
    let LeaseId(first) = world.lease(worker, 1);
    world.store(storer, [2]);
    assert_eq!(world.values(storer, fetch()), [2]);
    world.release(worker, [first], false);
    assert_eq!(world.listed(storer).unwrap().values, 0, "a newer one came, although it is gone by now");
    assert_eq!(world.core.values_bytes(), 0);
}

#[test]
fn deleting_the_variable_ends_its_leases() {
    for whole_workspace in [false, true] {
        let mut world = World::default();
        let [holder, other] = [(); 2].map(|()| worker(&mut world, SessionId(0)));
        world.store(holder, [1, 2]);
        let LeaseId(first) = world.lease(holder, 2);
        if whole_workspace {
            world.done(other, Request::DeleteWorkspace { name: b"w".to_vec() });
            world.open(holder, nws_proto::WorkspaceHandle(9), "w", nws_proto::OpenMode::Use);
            world.bind(holder, VariableHandle(9), nws_proto::WorkspaceHandle(9), "results");
        } else {
            world.done(other, Request::DeleteVariable { variable: VARIABLE });
            world.bind(holder, VariableHandle(9), SPACE, "results");
        }
        assert_eq!(world.core.session_leases(holder), 0);
        assert_eq!(world.core.values_bytes(), 0);
        assert_eq!(world.finish(holder, VariableHandle(9), &[(first, item(11)), (first + 1, item(12))]), [0, 1]);
        world.release(holder, [first, first + 1], true);
        assert_eq!(world.core.values_bytes(), 0);
    }
}

#[test]
fn leases_of_a_session_that_ended_return_to_their_places_with_no_death() {
    let mut world = World::default();
    let [worker, other] = world.clients();
    world.store(other, [1, 2, 3]);
    world.values(worker, lease(2));
    world.end(worker);
    let id = world.ask(other, Request::Retrieve(Retrieve { max_values: 9, ..fetch() }));
    let values = grants(world.reply(other, id));
    assert_eq!(
        values.iter().map(|value| (value.item.value.id, value.deaths)).collect::<Vec<_>>(),
        [(1, 0), (2, 0), (3, 0)]
    );
}

#[test]
fn a_live_guardian_takes_over_under_the_same_lease_ids() {
    let mut world = World::default();
    let host = worker(&mut world, SessionId(0));
    let worker = worker(&mut world, host);
    world.store(host, [1, 2, 3]);
    let LeaseId(first) = world.lease(worker, 3);
    world.finish(worker, RESULTS, &[(first + 1, item(12))]);
    let waiting = world.ask(host, Request::Adopt { wait: Wait::Forever });
    assert_eq!(world.reply(host, waiting), None);
    world.end(worker);
    let orphan = |offset, index| OrphanedLease { lease: LeaseId(first + offset), index: Index(index), deaths: 0 };
    let leases = vec![orphan(0, 0), orphan(2, 2)];
    assert_eq!(world.reply(host, waiting), Some(Reply::Adopted(Adopted { session: worker, leases })));
    assert_eq!(world.listed(host).unwrap().leased, 2);
    world.release(host, [first], true);
    assert_eq!(world.finish(host, RESULTS, &[(first + 2, item(13))]), []);
    assert_eq!(results(&mut world, host), [12, 13]);
    assert_eq!(world.values(host, fetch()), [1]);
    assert_eq!(world.core.values_bytes(), 0);
}

#[test]
fn an_adoption_is_queued_where_none_waits_and_tells_also_of_sessions_without_leases() {
    let mut world = World::default();
    let host = world.client();
    let [idle, busy] = [(); 2].map(|()| world.client_of(host));
    world.store(host, [1]);
    let lease = world.lease(busy, 1);
    world.end(busy);
    world.end(idle);
    let leases = vec![OrphanedLease { lease, index: Index(0), deaths: 0 }];
    assert_eq!(world.adopted(host), Adopted { session: busy, leases });
    assert_eq!(world.adopted(host), Adopted { session: idle, leases: vec![] });
    assert_eq!(world.call(host, Request::Adopt { wait: Wait::No }), Reply::TimedOut);
    let waiting = world.ask(host, Request::Adopt { wait: Wait::Ms(5) });
    world.pass(5);
    assert_eq!(world.reply(host, waiting), Some(Reply::TimedOut));
}

#[test]
fn an_adoption_leaves_out_leases_that_ended_before_it_was_told() {
    let mut world = World::default();
    let host = world.client();
    let worker = world.client_of(host);
    world.store(host, [1]);
    world.lease(worker, 1);
    world.end(worker);
    world.done(host, Request::DeleteVariable { variable: VARIABLE });
    assert_eq!(world.adopted(host), Adopted { session: worker, leases: vec![] });
}

#[test]
fn what_a_guardian_adopted_returns_when_it_ends_announced_or_not() {
    let mut world = World::default();
    let host = world.client();
    let [told, untold] = [(); 2].map(|()| world.client_of(host));
    let other = world.client();
    world.store(other, [1, 2, 3]);
    for session in [told, untold, host] {
        world.lease(session, 1);
    }
    world.end(told);
    world.adopted(host);
    world.end(untold);
    assert_eq!(world.listed(other).unwrap().leased, 3);
    world.end(host);
    assert_eq!(world.values(other, Retrieve { max_values: 9, ..fetch() }), [1, 2, 3]);
}

#[test]
fn the_leases_of_more_orphans_than_a_guardian_may_leave_alone_return_by_themselves() {
    let mut world = World::with(nws_core::Settings { session_orphans: 2, ..nws_core::Settings::default() });
    let host = world.client();
    let workers = [(); 3].map(|()| world.client_of(host));
    world.store(host, [1, 2, 3]);
    for worker in workers {
        world.lease(worker, 1);
        world.end(worker);
    }
    assert_eq!(world.listed(host).unwrap().leased, 2, "the third one's value is back");
    assert_eq!(world.values(host, fetch()), [3]);
    assert_eq!(world.adopted(host).session, workers[0]);
    let late = world.client_of(host);
    world.store(host, [4]);
    world.lease(late, 1);
    world.end(late);
    assert_eq!([world.adopted(host).session, world.adopted(host).session], [workers[1], late]);
}

#[test]
fn a_guardian_must_be_a_live_session() {
    let mut world = World::default();
    let init = |guardian| nws_core::SessionInit {
        session: SessionId(77),
        address: vec![],
        label: vec![],
        guardian: SessionId(guardian),
    };
    let code = |world: &mut World, guardian| world.core.session_opened(init(guardian)).map_err(|fault| fault.code);
    assert_eq!(code(&mut world, 5), Err(ErrorCode::NoSuchGuardian));
    assert_eq!(code(&mut world, 77), Err(ErrorCode::NoSuchGuardian), "nobody guards itself");
    assert_eq!(code(&mut world, 0), Ok(()));
    assert_eq!(code(&mut world, 0), Err(ErrorCode::Internal), "an id that is taken");
}

#[test]
fn a_value_that_did_not_reach_its_fetcher_is_back_at_its_place() {
    let mut world = World::default();
    let [dying, other] = world.clients();
    world.store(other, [1, 2]);
    let id = world.ask(dying, Request::Retrieve(fetch()));
    let Some(Reply::Values { variable, values, .. }) = world.reply(dying, id) else { panic!() };
    world.end(dying);
    world.core.undelivered(variable, values, &mut world.effects);
    assert_eq!(world.core.values_bytes(), 16);
    assert_eq!(world.values(other, Retrieve { max_values: 2, ..fetch() }), [1, 2]);
    assert_eq!(world.core.values_bytes(), 0);
}
