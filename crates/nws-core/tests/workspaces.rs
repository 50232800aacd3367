//! Workspaces, owners, handles and listings.

use nws_core::{From, SessionInit, Settings};
use nws_proto::{
    ErrorCode, Mode, OpenMode, Reply, Request, SessionId, VariableHandle, VariableInfo, Wait, WorkspaceHandle,
    WorkspaceInfo,
};
use nws_testkit::{SPACE, VARIABLE, World, fetch, find, lease};

const OWN: OpenMode = OpenMode::Own { persistent: false };
const PERSIST: OpenMode = OpenMode::Own { persistent: true };

fn handle(number: u32) -> WorkspaceHandle {
    WorkspaceHandle(number)
}

fn listed(world: &mut World, session: SessionId, name: &str) -> Option<WorkspaceInfo> {
    match world.call(session, Request::ListWorkspaces { name: Some(name.into()) }) {
        Reply::Workspaces(mut workspaces) => workspaces.pop(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_who_opens_to_own_becomes_the_owner_and_decides_on_persistence() {
    let mut world = World::default();
    let [user, owner, late] = [(); 3].map(|()| world.session());
    assert!(!world.open(user, handle(1), "x", OpenMode::Use));
    assert_eq!(listed(&mut world, user, "x").unwrap().owner, b"", "use never takes ownership");
    assert!(world.open(owner, handle(1), "x", OWN));
    assert!(!world.open(late, handle(1), "x", PERSIST));
    let info = listed(&mut world, owner, "x").unwrap();
    assert_eq!((info.owner.as_slice(), info.mine, info.persistent), (&b"10.0.0.2:1 (test)"[..], true, false));
    assert!(!listed(&mut world, late, "x").unwrap().mine);
    assert!(world.open(owner, handle(2), "x", PERSIST), "its owner still");
    assert!(!listed(&mut world, owner, "x").unwrap().persistent, "decided once");
}

#[test]
fn an_owner_is_told_by_the_label_it_had_when_it_became_one() {
    let mut world = World::default();
    let owner = world.session();
    for (number, name) in [(1, "x"), (2, "y")] {
        world.core.label_session(owner, name.to_uppercase().as_bytes());
        assert!(world.open(owner, handle(number), name, OWN));
    }
    assert!(world.open(owner, handle(3), "x", OWN), "again, under the label of y");
    assert_eq!(listed(&mut world, owner, "x").unwrap().owner, b"10.0.0.1:1 (X)");
    assert_eq!(listed(&mut world, owner, "y").unwrap().owner, b"10.0.0.1:1 (Y)");
}

#[test]
fn handles_can_be_asked_where_they_lead() {
    let mut world = World::default();
    let [client, other] = world.clients();
    assert_eq!(world.core.variable_of(client, VARIABLE), None, "nobody has made it");
    assert_eq!(world.core.variable_of(client, VariableHandle(9)), None);
    world.store(client, [1]);
    let first = world.core.variable_of(client, VARIABLE);
    assert!(first.is_some() && first == world.core.variable_of(other, VARIABLE));
    world.done(other, Request::DeleteVariable { variable: VARIABLE });
    assert_eq!(world.core.variable_of(client, VARIABLE), None);
    world.store(other, [1]);
    assert_ne!(world.core.variable_of(client, VARIABLE), first, "another instance");
    assert!(world.core.is_open(client, SPACE) && !world.core.is_open(client, handle(9)));
    world.done(other, Request::DeleteWorkspace { name: b"w".to_vec() });
    assert!(!world.core.is_open(client, SPACE));
}

#[test]
fn a_workspace_goes_with_its_owner_and_who_waits_in_it_is_told() {
    let mut world = World::default();
    let owner = world.session();
    world.open(owner, handle(5), "w", OWN);
    let [a, b] = world.clients();
    let waiting = [(a, find()), (b, fetch())].map(|(client, ask)| (client, world.ask(client, Request::Retrieve(ask))));
    world.end(owner);
    for (client, id) in waiting {
        assert!(
            matches!(world.reply(client, id), Some(Reply::Failed(fault)) if fault.code == ErrorCode::WorkspaceGone)
        );
    }
    assert_eq!(listed(&mut world, a, "w"), None);
    assert_eq!(world.fails(a, Request::Retrieve(find())), ErrorCode::WorkspaceGone);
    assert_eq!((world.core.variables(), world.core.waiting()), (0, 0));
}

#[test]
fn a_persistent_workspace_outlives_its_owner_and_gets_no_other() {
    let mut world = World::default();
    let [owner, late] = [(); 2].map(|()| world.session());
    world.open(owner, handle(1), "x", PERSIST);
    world.end(owner);
    assert!(!world.open(late, handle(1), "x", OWN));
    let info = listed(&mut world, late, "x").unwrap();
    assert_eq!((info.owner.as_slice(), info.persistent), (&b"10.0.0.1:1 (test)"[..], true));
    world.done(late, Request::DeleteWorkspace { name: b"x".to_vec() });
    assert!(world.open(late, handle(2), "x", OWN), "a new one has had no owner");
}

#[test]
fn a_workspace_that_nobody_owns_stays() {
    let mut world = World::default();
    let [user, other] = [(); 2].map(|()| world.session());
    world.open(user, handle(1), "x", OpenMode::Use);
    world.end(user);
    assert!(listed(&mut world, other, "x").is_some());
}

#[test]
fn a_handle_is_bound_to_the_instance_and_not_to_the_name() {
    let mut world = World::default();
    let [client, other] = world.clients();
    world.store(client, [1]);
    world.done(other, Request::DeleteWorkspace { name: b"w".to_vec() });
    world.open(other, handle(2), "w", OpenMode::Use);
    let requests = [
        Request::Retrieve(find()),
        Request::Store { variable: VARIABLE, items: vec![nws_testkit::item(1)] },
        Request::Declare { variable: VARIABLE, mode: Mode::Fifo },
        Request::DeleteVariable { variable: VARIABLE },
        Request::ListVariables { workspace: SPACE },
        Request::Bind { variable: VariableHandle(9), workspace: SPACE, name: b"v".to_vec() },
    ];
    for request in requests {
        assert_eq!(world.fails(client, request.clone()), ErrorCode::WorkspaceGone, "{request:?}");
    }
    assert_eq!(listed(&mut world, other, "w").unwrap().variables, Vec::<Vec<u8>>::new());
    world.done(client, Request::CloseWorkspace { workspace: SPACE });
    world.open(client, SPACE, "w", OpenMode::Use);
    world.bind(client, VARIABLE, SPACE, "v");
    world.store(client, [2]);
}

#[test]
fn a_variables_handle_is_bound_to_the_name() {
    let mut world = World::default();
    let [client, other] = world.clients();
    world.store(client, [1]);
    world.done(other, Request::DeleteVariable { variable: VARIABLE });
    assert_eq!(world.fails(other, Request::DeleteVariable { variable: VARIABLE }), ErrorCode::NoSuchVariable);
    world.store(other, [2]);
    assert_eq!(world.values(client, fetch()), [2]);
}

#[test]
fn deleting_a_variable_tells_all_who_wait_on_it_also_the_one_who_deletes() {
    let mut world = World::default();
    let [client, other] = world.clients();
    let asks = [(client, find()), (client, fetch()), (other, lease(3))];
    let waiting = asks.map(|(client, ask)| (client, world.ask(client, Request::Retrieve(ask))));
    world.done(client, Request::DeleteVariable { variable: VARIABLE });
    for (client, id) in waiting {
        assert!(matches!(world.reply(client, id), Some(Reply::Failed(fault)) if fault.code == ErrorCode::VariableGone));
    }
    assert_eq!(world.core.waiting(), 0);
}

#[test]
fn the_default_workspace_is_always_there() {
    let mut world = World::default();
    let client = world.session();
    let default = listed(&mut world, client, "__default").unwrap();
    assert_eq!((default.owner.as_slice(), default.mine), (&b"[system]"[..], false));
    assert!(!world.open(client, handle(1), "__default", OWN));
    let delete = Request::DeleteWorkspace { name: b"__default".to_vec() };
    assert_eq!(world.fails(client, delete), ErrorCode::ProtectedWorkspace);
    world.end(client);
    let client = world.session();
    assert!(listed(&mut world, client, "__default").is_some());
}

#[test]
fn opening_without_create_makes_nothing() {
    let mut world = World::default();
    let client = world.session();
    let open = |create| Request::Open { workspace: handle(1), name: b"x".to_vec(), mode: OWN, create };
    assert_eq!(world.fails(client, open(false)), ErrorCode::NoSuchWorkspace);
    assert_eq!(world.core.workspaces(), 1);
    world.call(client, open(true));
    assert_eq!(world.fails(client, open(true)), ErrorCode::HandleInUse);
    assert_eq!(world.fails(client, Request::DeleteWorkspace { name: b"y".to_vec() }), ErrorCode::NoSuchWorkspace);
}

#[test]
fn temporary_workspaces_have_new_names_and_no_owner() {
    let mut world = World::with(Settings { temporary_suffix: b"-abc".to_vec(), ..Settings::default() });
    let client = world.session();
    world.open(client, handle(1), "t2-abc", OpenMode::Use);
    let make = |number, template: &str| Request::MakeTemporary { workspace: handle(number), template: template.into() };
    let opened = |name: &str| Reply::Opened { name: name.into(), owned: false };
    assert_eq!(world.call(client, make(2, "t%d")), opened("t1-abc"));
    assert_eq!(world.call(client, make(3, "t%d")), opened("t3-abc"), "the second is taken");
    assert_eq!(world.fails(client, make(4, "t")), ErrorCode::BadTemplate);
    assert_eq!(world.fails(client, make(3, "t%d")), ErrorCode::HandleInUse);
    world.bind(client, VARIABLE, handle(3), "v");
    assert_eq!(listed(&mut world, client, "t3-abc").unwrap().owner, b"");
}

#[test]
fn closing_forgets_the_handles_and_keeps_the_ownership() {
    let mut world = World::default();
    let client = world.session();
    world.open(client, handle(1), "x", OWN);
    world.open(client, handle(2), "y", OpenMode::Use);
    for (number, through) in [(1, 1), (2, 1), (3, 2)] {
        world.bind(client, VariableHandle(number), handle(through), "v");
    }
    world.done(client, Request::CloseWorkspace { workspace: handle(1) });
    for number in [1, 2] {
        let unbind = Request::Unbind { variable: VariableHandle(number) };
        assert_eq!(world.fails(client, unbind), ErrorCode::UnknownHandle);
    }
    world.done(client, Request::Unbind { variable: VariableHandle(3) });
    assert_eq!(world.fails(client, Request::CloseWorkspace { workspace: handle(1) }), ErrorCode::UnknownHandle);
    assert!(listed(&mut world, client, "x").unwrap().mine);
}

#[test]
fn listings_are_sorted_and_count_values_and_those_who_wait() {
    let mut world = World::default();
    let client = world.client();
    for (number, name) in [(2, "b"), (3, "a"), (4, "c")] {
        world.bind(client, VariableHandle(number), SPACE, name);
    }
    world.done(client, Request::Declare { variable: VariableHandle(3), mode: Mode::Multi });
    let on = |number, ask| Request::Retrieve(nws_proto::Retrieve { variable: VariableHandle(number), ..ask });
    world.ask(client, on(2, find()));
    world.ask(client, on(2, fetch()));
    world.ask(client, on(2, fetch()));
    world.call(client, on(4, nws_proto::Retrieve { wait: Wait::No, ..find() }));
    world.store(client, [1, 2, 3]);
    world.lease(client, 1);
    let info = |name: &str, values, leased, fetchers, finders, mode| VariableInfo {
        name: name.into(),
        values,
        leased,
        fetchers,
        finders,
        mode,
    };
    let variables = vec![
        info("a", 0, 0, 0, 0, Some(Mode::Multi)),
        info("b", 0, 0, 2, 1, None),
        info("c", 0, 0, 0, 0, None),
        info("v", 2, 1, 0, 0, Some(Mode::Fifo)),
    ];
    assert_eq!(world.call(client, Request::ListVariables { workspace: SPACE }), Reply::Variables(variables));
    world.open(client, handle(7), "a first one", OWN);
    let Reply::Workspaces(all) = world.call(client, Request::ListWorkspaces { name: None }) else { panic!() };
    assert_eq!(
        all.iter().map(|one| one.name.as_slice()).collect::<Vec<_>>(),
        [&b"__default"[..], b"a first one", b"w"]
    );
    assert_eq!(all[2].variables, [b"a", b"b", b"c", b"v"]);
    assert_eq!(world.call(client, Request::ListWorkspaces { name: Some(b"none".to_vec()) }), Reply::Workspaces(vec![]));
}

#[test]
fn a_session_that_ended_is_not_answered() {
    let mut world = World::default();
    let client = world.client();
    world.end(client);
    world.end(client);
    world.ask(client, Request::Ping);
    assert_eq!(world.effects, []);
    let init = SessionInit { session: client, address: vec![], label: vec![], guardian: SessionId(0) };
    assert_eq!(world.core.session_opened(init), Ok(()));
}

/// All workspaces by parts of so many names.
fn in_parts(world: &World, session: SessionId, most_names: usize) -> Vec<WorkspaceInfo> {
    let mut infos: Vec<WorkspaceInfo> = Vec::new();
    let (mut last, mut within): (Option<Vec<u8>>, Option<Vec<u8>>) = (None, None);
    loop {
        let from = match (&last, &within) {
            (Some(workspace), Some(variable)) => From::Within(workspace, variable),
            (Some(workspace), None) => From::After(workspace),
            _ => From::Start,
        };
        let parts: Vec<_> = world.core.workspaces_from(session, from, most_names);
        let names: usize = parts.iter().map(|part| 1 + part.info.variables.len()).sum();
        assert!(names <= most_names.max(2), "{names} in a part of {most_names}");
        let Some(end) = parts.last() else { return infos };
        (last, within) = (Some(end.info.name.clone()), end.info.variables.last().cloned().filter(|_| end.goes_on));
        for part in parts {
            match infos.last_mut().filter(|info| info.name == part.info.name) {
                Some(begun) => begun.variables.extend(part.info.variables),
                None => infos.push(part.info),
            }
        }
    }
}

#[test]
fn a_listing_in_parts_of_any_size_is_the_listing() {
    let mut world = World::default();
    let client = world.session();
    for (number, variables) in [(1, 0), (2, 1), (3, 40), (4, 3), (5, 0)] {
        assert!(!world.open(client, handle(number), &format!("w{number}"), OpenMode::Use));
        for variable in 0..variables {
            let bind = Request::Bind {
                variable: VariableHandle(number * 100 + variable),
                workspace: handle(number),
                name: format!("v{variable:02}").into(),
            };
            assert_eq!(world.call(client, bind), Reply::Done);
            let declare = Request::Declare { variable: VariableHandle(number * 100 + variable), mode: Mode::Fifo };
            assert_eq!(world.call(client, declare), Reply::Done);
        }
    }
    let Reply::Workspaces(whole) = world.call(client, Request::ListWorkspaces { name: None }) else { panic!() };
    assert_eq!(whole.iter().map(|info| info.variables.len()).collect::<Vec<_>>(), [0, 0, 1, 40, 3, 0]);
    for most_names in [0, 1, 2, 3, 4, 5, 7, 40, 41, 42, 43, 50, 1000] {
        assert_eq!(in_parts(&world, client, most_names), whole, "parts of {most_names}");
    }
    let from_here = world.core.workspaces_from(client, From::Workspace(b"w4"), 1000);
    assert_eq!(from_here.iter().map(|part| &part.info.name[..]).collect::<Vec<_>>(), [b"w4", b"w5"]);
    let gone = world.core.workspaces_from(client, From::Within(b"w3x", b"v1"), 1000);
    assert_eq!(gone[0].info.name, b"w4", "what was deleted meanwhile is passed over");
}
