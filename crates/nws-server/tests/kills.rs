//! Clients that are killed at any moment: real processes, and a reckoning of every value.
//!
//! Producers, consumers of both protocols, holders of leases, owners and waiters run in processes of
//! their own and tell what they did, a line each. They are killed at moments that a seed chooses, and
//! others take their place. At the end the server must be as if the dead had left politely:
//!
//! - of the tasks that are fetched by lease, each has exactly one end: it is there still, or its result
//!   is;
//! - of the values that are fetched plainly, none is there twice, and none is missing but such as a
//!   consumer had received, without having told so yet, when it was killed: one for each of them at most;
//! - a value of which a dead client had received a part is back;
//! - no wait and no lease of the dead is left, and their workspaces are gone or kept, as they were owned.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use nws_proto::*;
use support::http::metrics;
use support::old::Old;
use support::*;

const SEED: u64 = 20;
const KILLS: usize = 300;
const TASKS: u64 = 5000;
/// More than all buffers between two processes hold.
const LARGE_BYTES: usize = 24 << 20;

const PLAIN: u32 = 2;
const TASK: u32 = 3;
const RESULT: u32 = 4;
const LARGE: u32 = 5;
const NEVER: u32 = 6;
const NAMES: [(u32, &str); 5] =
    [(PLAIN, "plain"), (TASK, "tasks"), (RESULT, "results"), (LARGE, "large"), (NEVER, "never")];

/// The roles of clients, and how many of each there are at a time.
const ROLES: [(&str, usize); 8] = [
    ("producer", 2),
    ("consumer", 1),
    ("old consumer", 1),
    ("holder", 2),
    ("batch holder", 1),
    ("waiter", 1),
    ("old waiter", 1),
    ("owner", 1),
];

/// Not a test where it is run as one: the process of a client.
#[test]
fn process_of_a_client_that_is_to_be_killed() {
    let (Ok(role), Ok(number), Ok(server)) =
        (std::env::var("NWS_TEST_ROLE"), std::env::var("NWS_TEST_NUMBER"), std::env::var("NWS_TEST_SERVER"))
    else {
        return;
    };
    play(&role, number.parse().unwrap(), server.parse().unwrap());
}

fn tell(what: &str, number: u64) {
    // One write a line: what was told was told whole.
    std::io::stdout().lock().write_all(format!("told {what} {number}\n").as_bytes()).unwrap();
}

fn client(server: SocketAddr) -> Raw {
    let mut client = Raw::tcp(server).welcome(Ask::default());
    client.bind("w");
    NAMES.into_iter().for_each(|(handle, name)| client.bind_as(handle, name));
    client
}

fn stores(variable: u32, value: impl Into<Vec<u8>>) -> Request<Bytes> {
    Request::Store { variable: VariableHandle(variable), items: vec![item(value)] }
}

fn retrieves(variable: u32, take: bool, lease: bool, max_values: u32) -> Request<Bytes> {
    Request::Retrieve(Retrieve { variable: VariableHandle(variable), take, lease, max_values, ..find() })
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

/// Does one thing over and over until the process is killed.
fn play(role: &str, own: u64, server: SocketAddr) {
    match role {
        "old consumer" => {
            let mut old = Old::tcp(server, b"1112");
            assert!(old.status(&["use ws", "w", "", "no"]));
            loop {
                tell("consumed", number(&old.value(&["fetch", "w", "plain"]).value));
            }
        }
        "old waiter" => {
            let mut old = Old::tcp(server, b"1112");
            assert!(old.status(&["use ws", "w", "", "no"]));
            old.send(&["fetch", "w", "never"]);
            tell("waits", own);
            old.receive_value();
        }
        _ => play_new(role, own, client(server)),
    }
}

fn play_new(role: &str, own: u64, mut client: Raw) {
    match role {
        "producer" => {
            for value in (own << 32).. {
                client.done(&stores(PLAIN, value.to_string()));
                tell("stored", value);
            }
        }
        "consumer" => loop {
            tell("consumed", number(&value(client.ask(&retrieves(PLAIN, true, false, 1)))));
        },
        "holder" | "batch holder" => {
            let most = if role == "holder" { 1 } else { 20 };
            loop {
                let (first, held) = values(client.ask(&retrieves(TASK, true, true, most)));
                let results = (first..).zip(held);
                let items: Vec<_> =
                    results.map(|(lease, task)| FinishItem { lease: LeaseId(lease), result: item(task) }).collect();
                if (first + own).is_multiple_of(5) {
                    let leases = items.iter().map(|item| item.lease).collect();
                    client.done(&Request::Release { leases, died: false, recalled: false });
                } else {
                    let finish = Request::Finish { variable: VariableHandle(RESULT), items };
                    assert_eq!(client.ask(&finish), Reply::Finished { refused: vec![] });
                }
                tell("worked", first);
            }
        }
        "waiter" => {
            client.send(&retrieves(NEVER, true, false, 1));
            client.send(&retrieves(NEVER, false, false, 1));
            client.send(&retrieves(NEVER, true, true, 9));
            tell("waits", own);
            client.reply();
        }
        "half reader" => {
            client.send(&retrieves(LARGE, true, false, 1));
            client.receive_some(1000);
            tell("half", own);
            // Until it is killed.
            thread::park();
        }
        "owner" => {
            for (handle, persistent) in [(10, false), (11, true)] {
                let name = format!("{} {own}", if persistent { "kept" } else { "gone" }).into_bytes();
                let mode = OpenMode::Own { persistent };
                let open = Request::Open { workspace: WorkspaceHandle(handle), name, mode, create: true };
                assert!(matches!(client.ask(&open), Reply::Opened { owned: true, .. }));
                let (variable, workspace) = (VariableHandle(handle), WorkspaceHandle(handle));
                client.done(&Request::Bind { variable, workspace, name: b"v".to_vec() });
                client.done(&stores(handle, "v"));
            }
            tell("owns", own);
            thread::park();
        }
        other => panic!("{other} is no role"),
    }
}

/// A client's process, and who reads what it tells.
struct Player {
    role: &'static str,
    number: u64,
    child: Child,
    reader: thread::JoinHandle<()>,
}

type Told = (u64, String, u64);

impl Player {
    fn start(role: &'static str, number: u64, server: SocketAddr, tell: mpsc::Sender<Told>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process_of_a_client_that_is_to_be_killed", "--nocapture"])
            .env("NWS_TEST_ROLE", role)
            .env("NWS_TEST_NUMBER", number.to_string())
            .env("NWS_TEST_SERVER", server.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((what, value)) = line.strip_prefix("told ").and_then(|told| told.split_once(' ')) {
                    let _ = tell.send((number, what.to_owned(), value.parse().unwrap()));
                }
            }
        });
        Self { role, number, child, reader }
    }

    /// Kills it; all that it told has been read when this returns.
    fn kill(mut self) -> &'static str {
        assert!(self.child.try_wait().unwrap().is_none(), "{} {} ended by itself", self.role, self.number);
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.join().unwrap();
        self.role
    }
}

/// What was told, and who was killed.
#[derive(Default)]
struct Books {
    told: BTreeMap<String, Vec<u64>>,
    killed: BTreeMap<&'static str, usize>,
}

impl Books {
    fn note(&mut self, (_, what, value): Told) {
        self.told.entry(what).or_default().push(value);
    }

    fn all(&self, what: &str) -> Vec<u64> {
        self.told.get(what).cloned().unwrap_or_default()
    }

    fn killed(&self, role: &str) -> usize {
        self.killed.get(role).copied().unwrap_or(0)
    }
}

/// All that a variable holds.
fn drain(client: &mut Raw, variable: u32) -> Vec<u64> {
    let mut drained = Vec::new();
    loop {
        let all =
            Retrieve { variable: VariableHandle(variable), take: true, wait: Wait::No, max_values: 1000, ..find() };
        let (_, some) = values(client.ask(&Request::Retrieve(all)));
        if some.is_empty() {
            return drained;
        }
        drained.extend(some.iter().map(|value| number(value)));
    }
}

fn unique(values: &[u64], what: &str) -> BTreeSet<u64> {
    let set: BTreeSet<u64> = values.iter().copied().collect();
    assert_eq!(set.len(), values.len(), "{what}: a value is there twice (seed {SEED})");
    set
}

#[test]
fn whoever_is_killed_whenever_no_value_is_lost_that_was_not_delivered() {
    let server = Running::start();
    let mut observer = client(server.tcp);
    let items = |numbers: std::ops::Range<u64>| numbers.map(|task| item(task.to_string())).collect();
    for first in (0..TASKS).step_by(4000) {
        let some = items(first..TASKS.min(first + 4000));
        observer.done(&Request::Store { variable: VariableHandle(TASK), items: some });
    }
    let (tell, told) = mpsc::channel();
    let (mut books, mut dice, mut next) = (Books::default(), SEED, 1);
    let mut start = |role| {
        next += 1;
        Player::start(role, next, server.tcp, tell.clone())
    };
    let roles = ROLES.into_iter().flat_map(|(role, count)| std::iter::repeat_n(role, count));
    let mut players: Vec<Player> = roles.map(&mut start).collect();
    let deadline = Instant::now() + 6 * PATIENCE;
    for _ in 0..KILLS {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (lines, spins, place) = ((dice >> 33) % 40, (dice >> 40) % 5000, (dice >> 20) as usize % players.len());
        for _ in 0..lines {
            let line = told.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            books.note(line.expect("somebody does something"));
        }
        // Not where a line was told, but anywhere between two.
        (0..spins).for_each(|_| std::hint::spin_loop());
        let role = players.swap_remove(place).kill();
        *books.killed.entry(role).or_default() += 1;
        players.push(start(role));
    }
    for player in players {
        let role = player.kill();
        *books.killed.entry(role).or_default() += 1;
    }
    told.try_iter().for_each(|line| books.note(line));
    reckon(&server, &mut observer, &books);
}

/// Only who observes is left.
fn until_the_dead_are_gone(server: &Running) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let sessions = metrics(server.web)["nws_sessions"];
        if sessions <= 1.0 {
            return;
        }
        assert!(Instant::now() < deadline, "{} sessions of the dead live", sessions - 1.0);
    }
}

fn reckon(server: &Running, observer: &mut Raw, books: &Books) {
    until_the_dead_are_gone(server);
    let Reply::Variables(listed) = observer.ask(&Request::ListVariables { workspace: WorkspaceHandle(1) }) else {
        panic!("expected variables")
    };
    for info in listed {
        let waits = (info.fetchers, info.finders, info.leased);
        assert_eq!(waits, (0, 0, 0), "{}", String::from_utf8_lossy(&info.name));
    }

    let ends = [drain(observer, TASK), drain(observer, RESULT)].concat();
    let ends = unique(&ends, "tasks");
    let lost: Vec<u64> = (0..TASKS).filter(|task| !ends.contains(task)).collect();
    assert!(lost.is_empty() && ends.len() as u64 == TASKS, "of the tasks, {lost:?} are lost (seed {SEED})");

    let (stored, consumed) = (books.all("stored"), books.all("consumed"));
    let seen = unique(&[consumed.clone(), drain(observer, PLAIN)].concat(), "plain values");
    let missing = stored.iter().filter(|value| !seen.contains(value)).count();
    let killed = books.killed("consumer") + books.killed("old consumer");
    assert!(missing <= killed, "{missing} values are missing, and {killed} consumers were killed (seed {SEED})");
    assert!(consumed.len() > 20 && stored.len() > 100, "{} of {} were consumed", consumed.len(), stored.len());

    let Reply::Workspaces(workspaces) = observer.ask(&Request::ListWorkspaces { name: None }) else { panic!() };
    let names: BTreeSet<_> = workspaces.iter().map(|info| String::from_utf8_lossy(&info.name).into_owned()).collect();
    assert!(!names.iter().any(|name| name.starts_with("gone")), "{names:?}");
    for owner in books.all("owns") {
        assert!(names.contains(&format!("kept {owner}")), "{owner}: {names:?}");
    }
    assert!(!books.all("owns").is_empty() && !books.all("waits").is_empty() && !books.all("worked").is_empty());
}

#[test]
fn a_value_of_which_a_dead_client_had_received_a_part_is_back() {
    let server = Running::start();
    let mut observer = client(server.tcp);
    for digit in [b'1', b'2'] {
        observer.done(&stores(LARGE, vec![digit; LARGE_BYTES]));
    }
    let (tell, told) = mpsc::channel();
    for round in 0..3 {
        let player = Player::start("half reader", round, server.tcp, tell.clone());
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), (round, "half".to_owned(), round));
        player.kill();
        until_the_dead_are_gone(&server);
        let all = retrieves(LARGE, false, false, 1);
        assert!(value(observer.ask(&all)).iter().all(|byte| *byte == b'1'), "the oldest is at its place");
    }
    for digit in [b'1', b'2'] {
        let back = value(observer.ask(&retrieves(LARGE, true, false, 1)));
        assert!(back.len() == LARGE_BYTES && back.iter().all(|byte| *byte == digit));
    }
}
