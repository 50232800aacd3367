//! Large deletions, and ends of sessions that hold much: done in parts, and nobody can tell.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use nws_core::{Effect, Settings};
use nws_proto::{
    ErrorCode, FinishItem, LeaseId, Mode, OpenMode, Reply, Request, RequestId, Retrieve, SessionId, VariableHandle,
    Wait, WorkspaceHandle,
};
use nws_testkit::{SPACE, VARIABLE, World, fetch, find, item, lease};

fn in_parts_of(part_units: usize) -> World {
    World::with(Settings { part_units, ..Settings::default() })
}

/// How many parts are left.
fn parts(world: &mut World) -> usize {
    let mut parts = 0;
    while world.core.sweep(&mut world.effects) {
        world.core.audit().unwrap();
        parts += 1;
        assert!(parts < 1_000_000, "it never ends");
    }
    parts
}

#[test]
fn values_of_a_deleted_variable_are_dropped_some_at_a_time() {
    for mode in [Mode::Fifo, Mode::Multi] {
        let mut world = in_parts_of(1000);
        let client = world.client();
        world.declare(client, mode);
        for _ in 0..10 {
            world.store(client, 0..1000);
        }
        world.done(client, Request::DeleteVariable { variable: VARIABLE });
        assert_eq!((world.core.values(), world.core.values_bytes()), (0, 0));
        assert!((9..=11).contains(&parts(&mut world)));
    }
}

#[test]
fn who_stores_and_deletes_all_the_time_leaves_no_more_than_was_kept_at_a_time() {
    for mode in [Mode::Fifo, Mode::Multi] {
        let mut world = in_parts_of(1000);
        let client = world.client();
        for _ in 0..20 {
            world.declare(client, mode);
            (0..4).for_each(|part| world.store(client, 2500 * part..2500 * (part + 1)));
            world.done(client, Request::DeleteVariable { variable: VARIABLE });
        }
        let parts = parts(&mut world);
        assert!(parts <= 11, "{parts} parts of 1000 values are left, and 10,000 were kept at a time");
    }
}

#[test]
fn a_deleted_workspace_is_gone_at_once_though_its_variables_go_in_parts() {
    let mut world = in_parts_of(100);
    let [client, other] = world.clients();
    for number in 0..500 {
        let variable = VariableHandle(100 + number);
        world.bind(client, variable, SPACE, &number.to_string());
        world.done(client, Request::Store { variable, items: vec![item(1)] });
    }
    // The last one by name, which goes last: a lease and a wait stand there.
    let last = VariableHandle(2);
    world.bind(other, last, SPACE, "z");
    world.done(other, Request::Store { variable: last, items: vec![item(7), item(8)] });
    let Reply::Values { first_lease, .. } =
        world.call(other, Request::Retrieve(Retrieve { variable: last, ..lease(1) }))
    else {
        panic!("a lease")
    };
    world.call(other, Request::Retrieve(Retrieve { variable: last, ..fetch() }));
    let waits = world.ask(other, Request::Retrieve(Retrieve { variable: last, ..fetch() }));
    world.done(client, Request::DeleteWorkspace { name: b"w".to_vec() });
    assert!(world.core.variables() > 400, "most of the work is left");

    assert_eq!(world.fails(other, Request::Store { variable: last, items: vec![item(9)] }), ErrorCode::WorkspaceGone);
    let items = vec![FinishItem { lease: first_lease, result: item(9) }];
    world.open(other, WorkspaceHandle(2), "w", OpenMode::Use);
    world.bind(other, VariableHandle(3), WorkspaceHandle(2), "z");
    let finish = Request::Finish { variable: VariableHandle(3), items };
    assert_eq!(world.call(other, finish), Reply::Finished { refused: vec![(0, ErrorCode::LeaseEnded)] });
    assert_eq!(world.values(other, Retrieve { variable: VariableHandle(3), wait: Wait::No, ..fetch() }), []);
    world.release(other, [first_lease.0], false);

    assert!(parts(&mut world) > 10);
    assert!(matches!(world.reply(other, waits), Some(Reply::Failed(fault)) if fault.code == ErrorCode::WorkspaceGone));
    assert_eq!((world.core.variables(), world.core.values_bytes()), (1, 0));
}

#[test]
fn who_waits_on_a_deleted_variable_is_told_and_gets_nothing_of_its_successor() {
    let mut world = in_parts_of(30);
    let storer = world.client();
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let session = world.client();
            (session, world.ask(session, Request::Retrieve(fetch())))
        })
        .collect();
    world.done(storer, Request::DeleteVariable { variable: VARIABLE });
    assert!(world.core.waiting() > 50);
    world.store(storer, 0..100);
    parts(&mut world);
    for (session, request) in waiting {
        let reply = world.reply(session, request);
        assert!(matches!(reply, Some(Reply::Failed(fault)) if fault.code == ErrorCode::VariableGone));
    }
    assert_eq!(world.listed(storer).unwrap().values, 100);
}

#[test]
fn the_leases_of_a_session_that_ended_return_in_parts_or_go_to_its_guardian_whole() {
    let mut world = in_parts_of(50);
    let host = world.client();
    let (lonely, guarded) = (world.client(), world.client_of(host));
    world.store(host, 0..400);
    for session in [lonely, guarded] {
        for _ in 0..200 {
            world.lease(session, 1);
        }
    }
    world.end(lonely);
    world.end(guarded);
    assert!(world.listed(host).unwrap().leased > 300, "most of the work is left");
    let adopts = world.ask(host, Request::Adopt { wait: Wait::Forever });
    assert!(parts(&mut world) > 10);
    let Some(Reply::Adopted(adopted)) = world.reply(host, adopts) else { panic!("all is there now") };
    assert_eq!((adopted.session, adopted.leases.len()), (guarded, 200));
    assert_eq!(world.values(host, Retrieve { max_values: 500, ..fetch() }), (0..200).collect::<Vec<_>>());
    assert_eq!(world.core.session_leases(host), 200);
}

#[test]
fn the_workspaces_of_a_session_that_ended_go_in_parts() {
    let mut world = in_parts_of(50);
    let owner = world.session();
    for number in 0..300 {
        let handle = WorkspaceHandle(number + 1);
        world.open(owner, handle, &number.to_string(), OpenMode::Own { persistent: number % 3 == 0 });
    }
    world.end(owner);
    assert!(world.core.workspaces() > 201);
    parts(&mut world);
    assert_eq!(world.core.workspaces(), 101, "the persistent ones and the default");
}

/// A history of everything that is done in parts, with the smallest parts and others' requests between
/// them: no value is lost, or given twice, or given after its variable was deleted.
#[test]
fn whatever_comes_between_the_parts_each_value_has_one_end() {
    for seed in 0..150 {
        Mixed::new(seed).run();
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];

struct Mixed {
    world: World,
    seed: u64,
    dice: u64,
    sessions: Vec<SessionId>,
    next: u64,
    /// Where each value is that was stored and has not ended: the variable's name and incarnation.
    alive: BTreeMap<u64, (usize, u64)>,
    incarnations: [u64; 3],
    leased: BTreeMap<u64, (SessionId, u64)>,
    plain: BTreeSet<(SessionId, RequestId)>,
}

impl Mixed {
    fn new(seed: u64) -> Self {
        Self {
            world: in_parts_of(1 + seed as usize % 7),
            seed,
            dice: seed,
            sessions: Vec::new(),
            next: 0,
            alive: BTreeMap::new(),
            incarnations: [0; 3],
            leased: BTreeMap::new(),
            plain: BTreeSet::new(),
        }
    }

    fn roll(&mut self, below: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) as usize % below
    }

    fn open(&mut self) {
        let (place, guarded) = (self.roll(self.sessions.len().max(1)), self.roll(2) == 0);
        let guardian = self.sessions.get(place).copied().filter(|_| guarded).unwrap_or_default();
        let session = self.world.session_of(guardian);
        self.sessions.push(session);
        self.bind_all(session);
    }

    /// Opens the workspace anew and binds all names through it.
    fn bind_all(&mut self, session: SessionId) {
        self.world.call(session, Request::CloseWorkspace { workspace: SPACE });
        self.world.open(session, SPACE, "w", OpenMode::Use);
        for (number, name) in (1..).zip(NAMES) {
            self.world.bind(session, VariableHandle(number), SPACE, name);
        }
    }

    fn run(&mut self) {
        for _ in 0..300 {
            self.step();
            self.look();
            self.world.core.audit().unwrap_or_else(|wrong| panic!("seed {}: {wrong}", self.seed));
        }
        for session in std::mem::take(&mut self.sessions) {
            self.world.end(session);
        }
        while self.world.core.sweep(&mut self.world.effects) {}
        self.look();
        self.leased.clear();
        self.open();
        let session = self.sessions[0];
        for number in 1..=3 {
            let variable = VariableHandle(number);
            let all = Retrieve { variable, max_values: 60_000, wait: Wait::No, ..fetch() };
            let request = self.world.ask(session, Request::Retrieve(all));
            self.plain.insert((session, request));
        }
        self.look();
        assert!(self.alive.is_empty(), "seed {}: {:?} were lost", self.seed, self.alive);
    }

    fn step(&mut self) {
        if self.sessions.len() < 4 {
            return self.open();
        }
        let place = self.roll(self.sessions.len());
        let session = self.sessions[place];
        let name = self.roll(3);
        let variable = VariableHandle(name as u32 + 1);
        match self.roll(20) {
            0 => {
                self.sessions.swap_remove(place);
                self.world.end(session);
            }
            1 if self.roll(3) == 0 => {
                self.world.done(session, Request::DeleteWorkspace { name: b"w".to_vec() });
                (0..3).for_each(|name| self.forget(name));
                for session in self.sessions.clone() {
                    self.bind_all(session);
                }
            }
            2 => {
                self.world.ask(session, Request::DeleteVariable { variable });
                self.forget(name);
            }
            3..7 => {
                let count = 1 + self.roll(30) as u64;
                let ids: Vec<u64> = (self.next..self.next + count).collect();
                self.next += count;
                self.alive.extend(ids.iter().map(|id| (*id, (name, self.incarnations[name]))));
                self.world.ask(session, Request::Store { variable, items: ids.into_iter().map(item).collect() });
            }
            7..11 => {
                let count = 1 + self.roll(9) as u32;
                let wait = if self.roll(2) == 0 { Wait::No } else { Wait::Forever };
                self.world.ask(session, Request::Retrieve(Retrieve { variable, wait, ..lease(count) }));
            }
            11..13 => {
                let request = self.world.ask(session, Request::Retrieve(Retrieve { variable, ..fetch() }));
                self.plain.insert((session, request));
            }
            13 => drop(self.world.ask(session, Request::Retrieve(Retrieve { variable, ..find() }))),
            14..17 => self.end_lease(session),
            17 => drop(self.world.ask(session, Request::Adopt { wait: Wait::No })),
            _ => drop(self.world.core.sweep(&mut self.world.effects)),
        }
    }

    /// Of what was deleted nothing may be seen from now on.
    fn forget(&mut self, name: usize) {
        self.look();
        let incarnation = self.incarnations[name];
        self.alive.retain(|_, place| *place != (name, incarnation));
        self.incarnations[name] += 1;
    }

    /// Releases or finishes a lease, wherever it is now: only its holder can.
    fn end_lease(&mut self, session: SessionId) {
        let mine: Vec<u64> =
            self.leased.iter().filter(|(_, (holder, _))| *holder == session).map(|(lease, _)| *lease).collect();
        if mine.is_empty() {
            return;
        }
        let lease = mine[self.roll(mine.len())];
        let Some((_, id)) = self.leased.remove(&lease) else { return };
        if self.roll(2) == 0 {
            self.world.release(session, [lease], false);
            return;
        }
        let result = self.next;
        self.next += 1;
        let items = vec![FinishItem { lease: LeaseId(lease), result: item(result) }];
        let Reply::Finished { refused } = self.world.call(session, Request::Finish { variable: VARIABLE, items })
        else {
            panic!("a finish is answered")
        };
        let was_alive = self.alive.remove(&id).is_some();
        assert_eq!(refused.is_empty(), was_alive, "seed {}: value {id} of lease {lease}", self.seed);
        if was_alive {
            self.alive.insert(result, (0, self.incarnations[0]));
        }
    }

    /// What was handed out must have been there.
    fn look(&mut self) {
        for effect in std::mem::take(&mut self.world.effects) {
            let Effect::Reply { session, request, reply } = effect else { continue };
            match reply {
                Reply::Values { first_lease, values, .. } => {
                    for (value, lease) in values.into_iter().zip(first_lease.0..) {
                        let id = value.item.value.id;
                        assert!(self.alive.contains_key(&id), "seed {}: value {id} has ended", self.seed);
                        if first_lease.0 > 0 {
                            self.leased.insert(lease, (session, id));
                        } else if self.plain.contains(&(session, request)) {
                            self.alive.remove(&id);
                        }
                    }
                }
                Reply::Adopted(adopted) => {
                    for orphan in adopted.leases {
                        self.leased.get_mut(&orphan.lease.0).unwrap().0 = session;
                    }
                }
                _ => {}
            }
        }
    }
}
