//! What values take, counted.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use nws_core::{Core, Effect, SessionInit, Settings};
use nws_proto::{
    Cursor, Descriptor, ErrorCode, FinishItem, Grant, Item, LeaseId, Mode, OpenMode, Reply, Request, RequestId,
    Retrieve, SessionId, VariableHandle, VariableId, Wait, WorkspaceHandle,
};

const US: SessionId = SessionId(1);
const QUEUE: VariableHandle = VariableHandle(1);
const SINGLE: VariableHandle = VariableHandle(2);

/// A core of real values, with one session that has two variables bound.
struct Kept(Core<Bytes>);

impl Kept {
    fn with(values_bytes: u64) -> Self {
        let mut core = Core::new(Settings { values_bytes, ..Settings::default() }, ());
        let init = SessionInit { session: US, address: vec![], label: vec![], guardian: SessionId(0) };
        core.session_opened(init).unwrap();
        let mut kept = Self(core);
        let workspace = WorkspaceHandle(1);
        kept.ask(Request::Open { workspace, name: b"w".to_vec(), mode: OpenMode::Use, create: true });
        for (variable, name) in [(QUEUE, "queue"), (SINGLE, "single")] {
            kept.ask(Request::Bind { variable, workspace, name: name.into() });
        }
        kept.ask(Request::Declare { variable: SINGLE, mode: Mode::Single });
        kept
    }

    fn ask(&mut self, request: Request<Bytes>) -> Reply<Bytes> {
        let mut effects = Vec::new();
        self.0.request(0, 0, US, RequestId(1), request, &mut effects);
        self.0.audit().unwrap();
        match effects.pop() {
            Some(Effect::Reply { reply, .. }) => reply,
            other => panic!("expected a reply, got {other:?}"),
        }
    }

    fn store(&mut self, variable: VariableHandle, count: usize) -> Reply<Bytes> {
        self.ask(Request::Store { variable, items: vec![empty(); count] })
    }

    fn fetch(&mut self, lease: bool, max_values: u32) -> (VariableId, LeaseId, Vec<Grant<Bytes>>) {
        let (wait, cursor) = (Wait::No, Cursor::Mode);
        let fetch = Retrieve { variable: QUEUE, take: true, lease, wait, cursor, max_values, max_bytes: u32::MAX };
        match self.ask(Request::Retrieve(fetch)) {
            Reply::Values { variable, first_lease, values } => (variable, first_lease, values),
            other => panic!("expected values, got {other:?}"),
        }
    }
}

fn empty() -> Item<Bytes> {
    Item { descriptor: Descriptor(0), value: Bytes::new() }
}

#[test]
fn empty_values_fill_the_memory_too() {
    let mut kept = Kept::with(1 << 20);
    let mut stored = 0;
    let refusal = loop {
        match kept.store(QUEUE, 1000) {
            Reply::Done => stored += 1000,
            other => break other,
        }
        assert!(stored < 1 << 20, "{stored} values were taken, where a byte for each would be too much");
    };
    assert!(matches!(refusal, Reply::Failed(fault) if fault.code == ErrorCode::MemoryFull));
    kept.fetch(false, 1000);
    assert_eq!(kept.store(QUEUE, 1000), Reply::Done, "what was fetched makes room");
}

#[test]
fn whatever_becomes_of_a_value_its_memory_is_counted_once() {
    let mut kept = Kept::with(u64::MAX);
    kept.store(QUEUE, 10);
    let all = kept.0.values_bytes();
    let (_, first, leased) = kept.fetch(true, 4);
    assert_eq!((leased.len(), kept.0.values_bytes()), (4, all));
    kept.ask(Request::Release { leases: vec![first], died: false, recalled: false });
    let items = vec![FinishItem { lease: LeaseId(first.0 + 1), result: empty() }];
    assert_eq!(kept.ask(Request::Finish { variable: SINGLE, items }), Reply::Finished { refused: vec![] });
    assert_eq!(kept.0.values_bytes(), all, "a result stands for its task");
    kept.store(SINGLE, 3);
    assert_eq!(kept.0.values_bytes(), all, "the newest stands for those before it");
    let (variable, _, fetched) = kept.fetch(false, 2);
    assert!(kept.0.values_bytes() < all);
    kept.0.undelivered(variable, fetched, &mut Vec::new());
    kept.0.audit().unwrap();
    assert_eq!(kept.0.values_bytes(), all);
    for variable in [QUEUE, SINGLE] {
        kept.ask(Request::DeleteVariable { variable });
    }
    assert_eq!(kept.0.values_bytes(), 0);
}

fn bind(kept: &mut Kept, number: u32) -> Reply<Bytes> {
    let (variable, workspace) = (VariableHandle(number), WorkspaceHandle(1));
    kept.ask(Request::Bind { variable, workspace, name: format!("{number:01000}").into() })
}

fn find(variable: VariableHandle, wait: Wait) -> Request<Bytes> {
    let (cursor, max_bytes) = (Cursor::Mode, u32::MAX);
    Request::Retrieve(Retrieve { variable, take: false, lease: false, wait, cursor, max_values: 1, max_bytes })
}

fn is_full(reply: &Reply<Bytes>) -> bool {
    matches!(reply, Reply::Failed(fault) if fault.code == ErrorCode::MemoryFull
        && fault.message.contains("of values and names (setting values-memory)"))
}

#[test]
fn names_that_are_bound_and_variables_made_by_a_find_fill_the_memory_too() {
    let mut kept = Kept::with(1 << 20);
    let at_first = kept.0.names_bytes();
    let mut names = 0;
    let refusal = loop {
        let number = 100 + names;
        let reply = match bind(&mut kept, number) {
            Reply::Done => kept.ask(find(VariableHandle(number), Wait::No)),
            refused => refused,
        };
        if !matches!(reply, Reply::Values { .. }) {
            break reply;
        }
        names += 1;
        assert!(names < 3000, "{names} names of 1000 bytes were taken where there is room for 2 MiB at most");
    };
    assert!(is_full(&refusal), "{refusal:?}");
    assert!(is_full(&kept.store(QUEUE, 1)), "values find no room either");
    for number in 100..100 + names {
        kept.ask(Request::DeleteVariable { variable: VariableHandle(number) });
        kept.ask(Request::Unbind { variable: VariableHandle(number) });
    }
    kept.ask(Request::Unbind { variable: VariableHandle(100 + names) });
    assert_eq!(kept.store(QUEUE, 1), Reply::Done, "what was deleted makes room");
    kept.ask(Request::DeleteVariable { variable: QUEUE });
    assert!(kept.0.names_bytes() <= at_first, "nothing is left");
}

#[test]
fn workspaces_fill_the_memory_and_make_room_with_who_owns_them() {
    let mut kept = Kept::with(1 << 20);
    let owner = SessionId(2);
    kept.0
        .session_opened(SessionInit { session: owner, address: vec![], label: vec![], guardian: SessionId(0) })
        .unwrap();
    let before = kept.0.names_bytes();
    let mut effects = Vec::new();
    for number in 0..4000 {
        let name = format!("{number:01000}").into_bytes();
        let mode = OpenMode::Own { persistent: false };
        let open = Request::Open { workspace: WorkspaceHandle(number), name, mode, create: true };
        kept.0.request(0, 0, owner, RequestId(number + 1), open, &mut effects);
    }
    let full = |effect: &&Effect<Bytes>| matches!(effect, Effect::Reply { reply, .. } if is_full(reply));
    assert!(effects.iter().filter(full).count() > 1000, "4000 workspaces with names of 1000 bytes were made");
    kept.0.audit().unwrap();
    kept.0.session_ended(owner, &mut effects);
    kept.0.audit().unwrap();
    while kept.0.sweep(&mut effects) {}
    kept.0.audit().unwrap();
    assert_eq!(kept.0.names_bytes(), before);
}

#[test]
fn who_is_to_fetch_or_delete_can_open_and_bind_where_values_have_taken_everything() {
    let mut kept = Kept::with(1 << 20);
    while kept.store(QUEUE, 100) == Reply::Done {}
    while kept.store(QUEUE, 1) == Reply::Done {}
    let (workspace, variable) = (WorkspaceHandle(2), VariableHandle(9));
    kept.ask(Request::Open { workspace, name: b"w".to_vec(), mode: OpenMode::Use, create: true });
    assert_eq!(kept.ask(Request::Bind { variable, workspace, name: b"queue".to_vec() }), Reply::Done);
    assert_eq!(kept.ask(Request::DeleteVariable { variable }), Reply::Done);
    assert_eq!(kept.store(QUEUE, 1), Reply::Done);
}
