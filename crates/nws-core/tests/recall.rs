//! Recall: those who hold many leases share with those who wait.

use nws_proto::{Event, LeaseId, Request, Retrieve, SessionId, VariableHandle, Wait};
use nws_testkit::{SPACE, VARIABLE, World, fetch, item, lease};

fn recall(wanted: u32) -> Vec<Event> {
    vec![Event::Recall { variable: VARIABLE, wanted }]
}

/// Sessions that hold this many leases each, then the others.
fn holding<const N: usize, const M: usize>(
    world: &mut World,
    counts: [u32; N],
) -> ([(SessionId, u64); N], [SessionId; M]) {
    let holders = counts.map(|count| {
        let session = world.client();
        world.store(session, 0..count.into());
        let mut leased = 0;
        let mut firsts = Vec::new();
        while leased < count {
            firsts.push(world.lease(session, count).0);
            leased = world.core.session_leases(session);
        }
        (session, firsts[0])
    });
    (holders, world.clients())
}

#[test]
fn a_fetch_by_lease_that_waits_recalls_half_of_what_the_greatest_holder_has() {
    let mut world = World::default();
    let ([(small, _), (great, first)], [idle]) = holding(&mut world, [4, 10]);
    let waiting = world.ask(idle, Request::Retrieve(lease(9)));
    assert_eq!(world.events(great), recall(5));
    assert_eq!(world.events(small), []);
    world.answer_recall(great, [first + 4, first + 3]);
    assert_eq!(world.delivered(idle, waiting), [3], "its share");
    assert_eq!(world.listed(idle).unwrap().values, 1);
}

#[test]
fn nobody_is_asked_who_has_only_the_value_that_it_works_on() {
    let mut world = World::default();
    let ([(holder, _)], [idle]) = holding(&mut world, [1]);
    world.ask(idle, Request::Retrieve(lease(1)));
    assert_eq!(world.events(holder), []);
}

#[test]
fn a_fetch_that_does_not_lease_recalls_nothing() {
    let mut world = World::default();
    let ([(holder, _)], [idle]) = holding(&mut world, [4]);
    world.ask(idle, Request::Retrieve(fetch()));
    world.call(idle, Request::Retrieve(Retrieve { wait: Wait::No, ..lease(1) }));
    assert_eq!(world.events(holder), []);
}

#[test]
fn a_holder_that_waits_for_more_does_not_recall_from_one_that_has_hardly_more() {
    let mut world = World::default();
    let ([(holder, _), (eager, _)], []) = holding(&mut world, [3, 2]);
    world.ask(eager, Request::Retrieve(lease(1)));
    assert_eq!(world.events(holder), []);
    let mut world = World::default();
    let ([(holder, _), (eager, _)], []) = holding(&mut world, [5, 1]);
    world.ask(eager, Request::Retrieve(lease(1)));
    assert_eq!(world.events(holder), recall(2), "four more than the one that waits: two of them");
}

#[test]
fn a_holder_is_asked_again_only_after_it_has_answered() {
    let mut world = World::default();
    let ([(holder, first)], [a, b]) = holding(&mut world, [8]);
    let at_a = world.ask(a, Request::Retrieve(lease(9)));
    assert_eq!(world.events(holder), recall(4));
    let at_b = world.ask(b, Request::Retrieve(lease(9)));
    assert_eq!(world.events(holder), [], "one question at a time");
    world.answer_recall(holder, [first + 7]);
    assert_eq!(world.delivered(a, at_a).len(), 1);
    assert_eq!(world.reply(b, at_b), None);
    assert_eq!(world.events(holder), recall(3), "seven are left, and b waits still");
    world.answer_recall(holder, [first + 6]);
    assert_eq!(world.delivered(b, at_b).len(), 1);
    assert_eq!(world.events(holder), [], "nobody waits");
}

#[test]
fn a_holder_that_had_nothing_to_spare_is_left_alone_until_it_gets_more() {
    let mut world = World::default();
    let ([(next, _), (holder, _)], [idle, storer]) = holding(&mut world, [3, 4]);
    let waiting = world.ask(idle, Request::Retrieve(lease(1)));
    assert_eq!(world.events(holder), recall(2));
    world.answer_recall(holder, []);
    assert_eq!(world.events(next), recall(1), "the next greatest is asked");
    world.answer_recall(next, []);
    assert_eq!((world.events(holder), world.events(next)), (vec![], vec![]), "and then nobody");
    world.done(idle, Request::Cancel { target: waiting });
    world.store(storer, [9]);
    world.lease(holder, 1);
    world.ask(idle, Request::Retrieve(lease(1)));
    assert_eq!(world.events(holder), recall(2), "it has something new");
}

#[test]
fn what_comes_back_on_a_recall_goes_to_others_before_the_one_who_gave_it() {
    let mut world = World::default();
    let ([(holder, first)], [idle]) = holding(&mut world, [3]);
    let own = world.ask(holder, Request::Retrieve(lease(1)));
    let others = world.ask(idle, Request::Retrieve(lease(1)));
    assert_eq!(world.events(holder), recall(1));
    world.answer_recall(holder, [first + 2]);
    assert_eq!(world.delivered(idle, others), [2]);
    assert_eq!(world.reply(holder, own), None);
}

#[test]
fn what_others_no_longer_want_goes_back_to_a_waiting_giver() {
    let mut world = World::default();
    let ([(holder, first)], [idle]) = holding(&mut world, [3]);
    let own = world.ask(holder, Request::Retrieve(lease(1)));
    let others = world.ask(idle, Request::Retrieve(lease(1)));
    world.done(idle, Request::Cancel { target: others });
    world.answer_recall(holder, [first + 2]);
    assert_eq!(world.delivered(holder, own), [2]);
}

#[test]
fn a_holder_that_let_go_of_its_handle_is_passed_over() {
    let mut world = World::default();
    let ([(next, _), (holder, _)], [idle]) = holding(&mut world, [3, 4]);
    world.done(holder, Request::Unbind { variable: VARIABLE });
    world.ask(idle, Request::Retrieve(lease(1)));
    assert_eq!(world.events(holder), []);
    assert_eq!(world.events(next), recall(1));
}

#[test]
fn a_guardian_is_not_asked_for_what_it_adopted() {
    let mut world = World::default();
    let host = world.session();
    let worker = world.client_of(host);
    let idle = world.client();
    world.store(worker, 0..4);
    world.lease(worker, 4);
    world.end(worker);
    world.ask(idle, Request::Retrieve(lease(1)));
    assert_eq!(world.events(host), []);
}

#[test]
fn when_the_asked_one_ends_the_next_is_asked() {
    let mut world = World::default();
    let host = world.session();
    let worker = world.client_of(host);
    let ([(next, _)], [idle]) = holding(&mut world, [3]);
    world.store(worker, 0..5);
    while world.core.session_leases(worker) < 5 {
        world.lease(worker, 5);
    }
    let waiting = world.ask(idle, Request::Retrieve(lease(1)));
    assert_eq!(world.events(worker), recall(2));
    world.end(worker);
    assert_eq!(world.reply(idle, waiting), None, "the guardian has them");
    assert_eq!(world.events(next), recall(1));
}

#[test]
fn an_answer_that_nobody_asked_for_is_a_plain_release() {
    let mut world = World::default();
    let client = world.client();
    world.store(client, [1]);
    let LeaseId(first) = world.lease(client, 1);
    world.answer_recall(client, [first]);
    assert_eq!(world.values(client, fetch()), [1]);
    world.done(client, Request::Store { variable: VARIABLE, items: vec![item(2)] });
}

#[test]
fn who_waits_recalls_once_it_has_finished_what_it_held() {
    let mut world = World::default();
    let ([(holder, _), (eager, first)], []) = holding(&mut world, [2, 1]);
    world.ask(eager, Request::Retrieve(lease(1)));
    assert_eq!(world.events(holder), [], "it has something to do");
    world.bind(eager, VariableHandle(2), SPACE, "results");
    world.finish(eager, VariableHandle(2), &[(first, item(9))]);
    assert_eq!(world.events(holder), recall(1));
}
