//! Storing and retrieving: which value goes to whom.

use nws_proto::{Cursor, ErrorCode, Index, Mode, Reply, Request, Retrieve, VariableId, Wait};
use nws_testkit::{VARIABLE, World, fetch, find, item, lease, sized};

fn at_once(retrieve: Retrieve) -> Retrieve {
    Retrieve { wait: Wait::No, ..retrieve }
}

fn oldest(retrieve: Retrieve) -> Retrieve {
    Retrieve { cursor: Cursor::Oldest, ..retrieve }
}

fn after(retrieve: Retrieve, variable: VariableId, index: u64) -> Retrieve {
    Retrieve { cursor: Cursor::After { variable, index: Index(index) }, ..retrieve }
}

fn variable_of(reply: Reply<nws_testkit::Value>) -> VariableId {
    match reply {
        Reply::Values { variable, .. } => variable,
        other => panic!("expected values, got {other:?}"),
    }
}

#[test]
fn fifo_gives_the_oldest_and_lifo_the_newest() {
    for (mode, expected) in [(Mode::Fifo, [1, 2, 3]), (Mode::Lifo, [3, 2, 1])] {
        let mut world = World::default();
        let client = world.client();
        world.declare(client, mode);
        world.store(client, 1..=3);
        assert_eq!(world.values(client, find()), [expected[0]]);
        let fetched: Vec<_> = (0..3).flat_map(|_| world.values(client, fetch())).collect();
        assert_eq!(fetched, expected);
    }
}

#[test]
fn a_store_to_a_variable_that_nobody_declared_makes_it_fifo() {
    let mut world = World::default();
    let client = world.client();
    assert_eq!(world.values(client, at_once(find())), []);
    assert_eq!(world.listed(client).unwrap().mode, None);
    world.store(client, [1]);
    assert_eq!(world.listed(client).unwrap().mode, Some(Mode::Fifo));
    let conflict = Request::Declare { variable: VARIABLE, mode: Mode::Lifo };
    assert_eq!(world.fails(client, conflict), ErrorCode::ModeConflict);
    world.declare(client, Mode::Fifo);
}

#[test]
fn multi_gives_any_value_and_each_once() {
    let mut world = World::default();
    let client = world.client();
    world.declare(client, Mode::Multi);
    world.store(client, 0..100);
    let mut fetched = world.values(client, Retrieve { max_values: 50, ..fetch() });
    for _ in 0..50 {
        fetched.extend(world.values(client, fetch()));
    }
    assert_ne!(fetched, Vec::from_iter(0..100));
    fetched.sort_unstable();
    assert_eq!(fetched, Vec::from_iter(0..100));
}

#[test]
fn single_keeps_the_newest_value_only() {
    let mut world = World::default();
    let client = world.client();
    world.declare(client, Mode::Single);
    world.store(client, [1]);
    world.store(client, [2, 3]);
    assert_eq!(world.listed(client).unwrap().values, 1);
    assert_eq!(world.core.values_bytes(), 8);
    assert_eq!(world.values(client, fetch()), [3]);
    assert_eq!(world.values(client, at_once(fetch())), []);
}

#[test]
fn a_store_answers_every_waiting_find_and_then_the_longest_waiting_fetch() {
    let mut world = World::default();
    let [first, second, reader, other, storer] = world.clients();
    let fetches = [first, second].map(|client| (client, world.ask(client, Request::Retrieve(fetch()))));
    let finds = [reader, other].map(|client| (client, world.ask(client, Request::Retrieve(find()))));
    world.ask(storer, Request::Store { variable: VARIABLE, items: vec![item(7)] });
    let answered: Vec<_> = world
        .effects
        .iter()
        .map(|effect| match effect {
            nws_core::Effect::Reply { session, .. } => *session,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(answered, [reader, other, first, storer], "finders, the fetcher, and the storer last");
    for (client, id) in finds {
        assert_eq!(world.delivered(client, id), [7]);
    }
    assert_eq!(world.delivered(fetches[0].0, fetches[0].1), [7]);
    assert_eq!(world.reply(fetches[1].0, fetches[1].1), None);
    world.store(storer, [8]);
    assert_eq!(world.delivered(fetches[1].0, fetches[1].1), [8]);
    assert_eq!(world.core.waiting(), 0);
    assert_eq!(world.core.values_bytes(), 0);
}

#[test]
fn an_iterator_sees_each_value_once_and_waits_for_the_next() {
    let mut world = World::default();
    let [client, storer] = world.clients();
    world.store(storer, [10, 11, 12]);
    let variable = variable_of(world.call(client, Request::Retrieve(oldest(find()))));
    assert_eq!(world.values(client, after(find(), variable, 0)), [11]);
    assert_eq!(world.values(client, after(Retrieve { max_values: 9, ..find() }, variable, 0)), [11, 12]);
    let waiting = world.ask(client, Request::Retrieve(after(find(), variable, 2)));
    assert_eq!(world.values(storer, fetch()), [10]);
    assert_eq!(world.values(client, after(fetch(), variable, 1)), [12], "an iterated fetch takes from the middle");
    assert_eq!(world.values(client, oldest(find())), [11], "the oldest kept");
    world.store(storer, [13]);
    assert_eq!(world.delivered(client, waiting), [13]);
}

#[test]
fn an_iterator_over_single_sees_each_new_value() {
    let mut world = World::default();
    let client = world.client();
    world.declare(client, Mode::Single);
    world.store(client, [1]);
    let variable = variable_of(world.call(client, Request::Retrieve(oldest(find()))));
    assert_eq!(world.values(client, at_once(after(find(), variable, 0))), []);
    world.store(client, [2]);
    assert_eq!(world.values(client, at_once(after(find(), variable, 0))), [2]);
}

#[test]
fn iterators_fail_on_lifo_and_multi_also_where_they_waited_before_the_declare() {
    for mode in [Mode::Lifo, Mode::Multi] {
        let mut world = World::default();
        let [client, other] = world.clients();
        let iterators = [oldest(find()), oldest(fetch())].map(|ask| world.ask(client, Request::Retrieve(ask)));
        let plain = world.ask(client, Request::Retrieve(fetch()));
        world.declare(other, mode);
        for id in iterators {
            assert!(
                matches!(world.reply(client, id), Some(Reply::Failed(fault)) if fault.code == ErrorCode::NotIterable)
            );
        }
        assert_eq!(world.reply(client, plain), None);
        assert_eq!(world.fails(client, Request::Retrieve(oldest(find()))), ErrorCode::NotIterable);
    }
}

#[test]
fn an_iterator_of_a_variable_that_was_deleted_since_fails_and_makes_nothing() {
    let mut world = World::default();
    let client = world.client();
    world.store(client, [1]);
    let variable = variable_of(world.call(client, Request::Retrieve(oldest(find()))));
    world.done(client, Request::DeleteVariable { variable: VARIABLE });
    assert_eq!(world.fails(client, Request::Retrieve(after(find(), variable, 0))), ErrorCode::VariableGone);
    assert_eq!(world.listed(client), None);
    world.store(client, [2]);
    assert_eq!(world.fails(client, Request::Retrieve(after(find(), variable, 0))), ErrorCode::VariableGone);
}

#[test]
fn a_batch_gives_at_most_the_values_and_bytes_asked_for_but_always_one() {
    let mut world = World::default();
    let client = world.client();
    let items = vec![sized(1, 100), sized(2, 30), sized(3, 30), sized(4, 30)];
    world.done(client, Request::Store { variable: VARIABLE, items });
    let batch = |max_values, max_bytes| Retrieve { max_values, max_bytes, ..fetch() };
    assert_eq!(world.values(client, batch(9, 50)), [1], "the first goes whatever its size");
    assert_eq!(world.values(client, batch(9, 60)), [2, 3], "exactly 60");
    assert_eq!(world.values(client, batch(1, 60)), [4]);
    world.done(client, Request::Store { variable: VARIABLE, items: vec![sized(5, 30), sized(6, 31)] });
    assert_eq!(world.values(client, batch(9, 60)), [5], "one byte too many");
}

#[test]
fn a_batched_fetch_gets_its_share_among_those_who_take_from_the_variable() {
    let mut world = World::default();
    let [a, b, c] = world.clients();
    world.store(a, 0..10);
    assert_eq!(world.values(a, lease(4)).len(), 4, "alone: what it asks for");
    assert_eq!(world.values(b, lease(9)).len(), 3, "two of them: half of six");
    assert_eq!(world.values(c, lease(9)).len(), 1, "a third of three");
    assert_eq!(world.values(c, Retrieve { max_values: 9, ..fetch() }).len(), 1, "at least one");
}

#[test]
fn a_stored_batch_is_spread_among_those_who_wait() {
    let mut world = World::default();
    let [a, b, c, storer] = world.clients();
    let asks =
        [(a, 9), (b, 9), (c, 2)].map(|(client, most)| (client, world.ask(client, Request::Retrieve(lease(most)))));
    world.store(storer, 0..10);
    assert_eq!(asks.map(|(client, id)| world.delivered(client, id)), [vec![0, 1, 2, 3], vec![4, 5, 6], vec![7, 8]]);
    assert_eq!(world.listed(storer).unwrap().values, 1);
}
