//! Every operation once, over real sockets. What they mean is tested in `nws-core`; here it is that
//! they come through.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use nws_proto::*;
use support::*;

#[test]
fn workspaces_are_opened_listed_closed_and_deleted() {
    let server = Running::start();
    let mut client = Raw::tcp(server.tcp).welcome(Ask { label: b"1234".to_vec(), ..Ask::default() });
    let open = |handle, name: &str, mode, create| Request::Open {
        workspace: WorkspaceHandle(handle),
        name: name.as_bytes().to_vec(),
        mode,
        create,
    };
    let own = OpenMode::Own { persistent: false };
    let opened = client.ask(&open(1, "mine", own, true));
    assert_eq!(opened, Reply::Opened { name: b"mine".to_vec(), owned: true });
    let Reply::Failed(fault) = client.ask(&open(2, "none", OpenMode::Use, false)) else { panic!("it is not there") };
    assert_eq!(fault.code, ErrorCode::NoSuchWorkspace);

    let Reply::Workspaces(all) = client.ask(&Request::ListWorkspaces { name: None }) else { panic!() };
    let names: Vec<&[u8]> = all.iter().map(|info| &info.name[..]).collect();
    assert_eq!(names, [&b"__default"[..], b"mine"]);
    assert!(all[1].mine && !all[1].persistent);
    let owner = String::from_utf8(all[1].owner.clone()).unwrap();
    assert!(owner.starts_with("127.0.0.1:") && owner.ends_with(" (1234)"), "{owner}");

    let template = b"t%d".to_vec();
    let made = client.ask(&Request::MakeTemporary { workspace: WorkspaceHandle(3), template });
    assert!(matches!(&made, Reply::Opened { name, owned: false } if name.starts_with(b"t")), "{made:?}");
    client.done(&Request::CloseWorkspace { workspace: WorkspaceHandle(3) });
    client.done(&Request::DeleteWorkspace { name: b"mine".to_vec() });
    let Reply::Failed(fault) = client.ask(&Request::ListVariables { workspace: WorkspaceHandle(1) }) else { panic!() };
    assert_eq!(fault.code, ErrorCode::WorkspaceGone);
}

#[test]
fn variables_are_bound_declared_listed_and_deleted() {
    let server = Running::start();
    let mut client = server.client_at("w");
    client.done(&Request::Declare { variable: VariableHandle(1), mode: Mode::Lifo });
    client.done(&store("a"));
    client.done(&store("b"));
    let Reply::Variables(listed) = client.ask(&Request::ListVariables { workspace: WorkspaceHandle(1) }) else {
        panic!()
    };
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].name[..], listed[0].values, listed[0].mode), (&b"x"[..], 2, Some(Mode::Lifo)));
    assert_eq!(value(client.ask(&Request::Retrieve(find()))), b"b");
    assert_eq!(value(client.ask(&fetch())), b"b");
    client.done(&Request::DeleteVariable { variable: VariableHandle(1) });
    assert_eq!(values(client.ask(&fetch_try())).1.len(), 0);
    client.done(&Request::Unbind { variable: VariableHandle(1) });
    let Reply::Failed(fault) = client.ask(&fetch_try()) else { panic!() };
    assert_eq!(fault.code, ErrorCode::UnknownHandle);
}

#[test]
fn a_waiting_fetch_is_answered_by_another_connections_store() {
    let server = Running::start();
    let mut fetcher = server.client_at("w");
    let mut storer = server.unix_client();
    storer.bind("w");
    let waiting = fetcher.send(&fetch());
    // Answered at once, though the fetch before it waits.
    assert_eq!(fetcher.ask(&Request::Ping), Reply::Pong);
    storer.done(&store("late"));
    let (answered, reply) = fetcher.reply();
    assert_eq!(answered, waiting);
    assert_eq!(value(reply), b"late");
}

#[test]
fn a_delivery_is_sent_before_the_storer_is_told() {
    let server = Running::start();
    let (mut fetcher, mut storer) = (server.client_at("w"), server.client_at("w"));
    for _ in 0..100 {
        fetcher.send(&fetch());
        assert_eq!(fetcher.ask(&Request::Ping), Reply::Pong);
        storer.done(&store("v"));
        assert!(fetcher.has_something(), "the storer knew before the fetcher");
        assert_eq!(value(fetcher.reply().1), b"v");
    }
}

#[test]
fn a_find_leaves_the_value_and_an_iterator_sees_each_once() {
    let server = Running::start();
    let mut client = server.client_at("w");
    client.done(&Request::Store { variable: VariableHandle(1), items: vec![item("a"), item("b"), item("c")] });
    let mut cursor = Cursor::Oldest;
    let mut seen = Vec::new();
    loop {
        let retrieve = Retrieve { wait: Wait::No, cursor, max_values: 2, ..find() };
        let Reply::Values { variable, values, .. } = client.ask(&Request::Retrieve(retrieve)) else { panic!() };
        let Some(last) = values.last() else { break };
        cursor = Cursor::After { variable, index: last.index };
        seen.extend(values.iter().map(|grant| grant.item.value.to_vec()));
    }
    assert_eq!(seen, [b"a", b"b", b"c"]);
    assert_eq!(value(client.ask(&fetch())), b"a");
}

#[test]
fn a_wait_ends_at_its_deadline_or_when_it_is_canceled() {
    let server = Running::start();
    let mut client = server.client_at("w");
    let soon = Request::Retrieve(Retrieve { take: true, wait: Wait::Ms(30), ..find() });
    assert_eq!(client.ask(&soon), Reply::TimedOut);

    let waiting = client.send(&fetch());
    let cancel = client.send(&Request::Cancel { target: waiting });
    assert_eq!(client.reply(), (waiting, Reply::Canceled));
    assert_eq!(client.reply(), (cancel, Reply::Done));
    client.done(&store("kept"));
    assert_eq!(value(client.ask(&fetch_try())), b"kept");
}

#[test]
fn thousands_of_requests_can_be_in_flight() {
    let server = Running::start();
    let mut client = server.client_at("w");
    let count = 5000u32;
    let mut bytes = Vec::new();
    for i in 0..count {
        bytes.extend(request_frame(RequestId(1000 + i), &fetch()));
    }
    for i in 0..count {
        bytes.extend(request_frame(RequestId(100_000 + i), &store(i.to_le_bytes())));
    }
    client.send_bytes(&bytes);
    let (mut fetched, mut acknowledged) = (0, 0);
    for _ in 0..2 * count {
        let (id, reply) = client.reply();
        if id.0 < 100_000 {
            assert_eq!(id.0 - 1000, fetched, "the longest waiting goes first");
            assert_eq!(value(reply), fetched.to_le_bytes());
            fetched += 1;
        } else {
            assert_eq!((id.0 - 100_000, reply), (acknowledged, Reply::Done));
            acknowledged += 1;
            assert!(fetched >= acknowledged, "a delivery is sent before the acknowledgement of its store");
        }
    }
    assert_eq!((fetched, acknowledged), (count, count));
}

#[test]
fn batches_go_both_ways() {
    let server = Running::start();
    let mut client = server.client_at("w");
    for first in (0..20_000u32).step_by(4000) {
        let items: Vec<_> = (first..first + 4000).map(|i| item(i.to_le_bytes())).collect();
        client.done(&Request::Store { variable: VariableHandle(1), items });
    }
    let mut seen = 0u32;
    while seen < 20_000 {
        let retrieve = Retrieve { take: true, wait: Wait::No, max_values: 3000, ..find() };
        let (_, values) = values(client.ask(&Request::Retrieve(retrieve)));
        assert!(!values.is_empty());
        for value in values {
            assert_eq!(value, seen.to_le_bytes());
            seen += 1;
        }
    }
}

#[test]
fn leases_are_finished_released_and_recalled() {
    let server = Running::start();
    let mut holder = server.client_at("w");
    holder.bind_as(2, "results");
    let items = vec![item("a"), item("b"), item("c")];
    holder.done(&Request::Store { variable: VariableHandle(1), items });
    let (first, values) = values(holder.ask(&fetch_lease(3)));
    assert_eq!(values, [b"a", b"b", b"c"]);

    let finish = |lease, value: &str| FinishItem { lease: LeaseId(lease), result: item(value) };
    let items = vec![finish(first, "A"), finish(first + 9999, "?")];
    let finished = holder.ask(&Request::Finish { variable: VariableHandle(2), items });
    assert_eq!(finished, Reply::Finished { refused: vec![(1, ErrorCode::LeaseEnded)] });

    let mut waiter = server.client_at("w");
    let waiting = waiter.send(&fetch_lease(1));
    let Event::Recall { variable, wanted } = holder.event() else { panic!("expected a recall") };
    assert_eq!(variable, VariableHandle(1));
    assert!(wanted >= 1);
    holder.done(&Request::Release { leases: vec![LeaseId(first + 1)], died: false, recalled: true });
    let (answered, reply) = waiter.reply();
    assert_eq!(answered, waiting);
    assert_eq!(value(reply), b"b");
}

#[test]
fn a_large_value_comes_back_as_it_went() {
    let server = Running::start();
    let mut tcp = server.client_at("w");
    let mut unix = server.unix_client();
    unix.bind("w");
    let large: Vec<u8> = (0..30_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    tcp.done(&store(large.clone()));
    assert!(value(unix.ask(&Request::Retrieve(find()))) == large);
    unix.done(&Request::Store {
        variable: VariableHandle(1),
        items: vec![item("small"), item(large.clone()), item("")],
    });
    for client in [&mut tcp, &mut unix] {
        assert!(value(client.ask(&Request::Retrieve(find()))) == large);
    }
    let all = Request::Retrieve(Retrieve { take: true, max_values: 10, ..find() });
    let (_, values) = values(tcp.ask(&all));
    assert_eq!(values.len(), 4);
    assert!(values[0] == large && values[1] == b"small" && values[2] == large && values[3].is_empty());
}

#[test]
fn what_a_request_gets_wrong_is_said_and_the_session_goes_on() {
    let server = Running::start();
    let mut client = server.client_at("w");
    let wrong = Request::Bind { variable: VariableHandle(1), workspace: WorkspaceHandle(1), name: b"y".to_vec() };
    let Reply::Failed(fault) = client.ask(&wrong) else { panic!() };
    assert_eq!(fault.code, ErrorCode::HandleInUse);
    let retrieve: Request<Bytes> = Request::Retrieve(Retrieve { variable: VariableHandle(9), ..find() });
    let Reply::Failed(fault) = client.ask(&retrieve) else { panic!() };
    assert_eq!(fault.code, ErrorCode::UnknownHandle);
    client.done(&store("still here"));
}

#[test]
fn frames_of_every_size_around_the_buffers_edges_arrive_whole() {
    let server = Running::start();
    let mut client = server.client_at("w");
    let kib = 1 << 10;
    let edges = [4 * kib, 64 * kib, 256 * kib, 320 * kib, 1 << 20, 2 << 20];
    let lengths: Vec<usize> = edges.iter().flat_map(|edge| (edge - 40..edge + 40).step_by(7)).collect();
    let filled = |i: usize| vec![i as u8; lengths[i]];
    // In one go, so that frames begin and end anywhere in what the server receives at once.
    let writer = {
        let frames = (0..lengths.len()).flat_map(|i| request_frame(RequestId(1000 + i as u32), &store(filled(i))));
        let (bytes, mut socket) = (frames.collect::<Vec<u8>>(), client.second_handle());
        std::thread::spawn(move || std::io::Write::write_all(&mut socket, &bytes).unwrap())
    };
    for i in 0..lengths.len() {
        assert_eq!(client.reply(), (RequestId(1000 + i as u32), Reply::Done));
    }
    writer.join().unwrap();
    for (i, length) in lengths.iter().enumerate() {
        assert!(value(client.ask(&fetch())) == filled(i), "{length} bytes");
    }
}

#[test]
fn hundreds_who_wait_are_all_answered() {
    let server = Running::start();
    let mut waiting: Vec<Raw> = (0..400).map(|_| server.client_at("w")).collect();
    waiting.iter_mut().for_each(|client| assert_eq!(client.send(&fetch()), RequestId(3)));
    // Their requests have been executed when something sent after them is answered.
    waiting.iter_mut().for_each(|client| assert_eq!(client.ask(&Request::Ping), Reply::Pong));
    let mut storer = server.client_at("w");
    let items = (0..400u32).map(|i| item(i.to_le_bytes())).collect();
    storer.done(&Request::Store { variable: VariableHandle(1), items });
    for (i, client) in waiting.iter_mut().enumerate() {
        let (id, reply) = client.reply();
        assert_eq!((id, value(reply)), (RequestId(3), (i as u32).to_le_bytes().to_vec()));
    }
}

#[test]
fn a_request_with_very_many_values_is_executed_before_what_follows_it() {
    const VALUES: u32 = nws_proto::limits::BATCH_VALUES;
    let server = Running::start();
    let (mut client, mut other) = (server.client_at("w"), server.client_at("w"));
    let items = (0..VALUES).map(|number| item(number.to_le_bytes())).collect();
    let many = request_frame(RequestId(1), &Request::Store { variable: VariableHandle(1), items });
    let fetch_all = Request::Retrieve(Retrieve {
        take: true,
        lease: true,
        wait: Wait::No,
        max_values: VALUES,
        max_bytes: u32::MAX,
        ..find()
    });
    let next = [request_frame(RequestId(2), &Request::Ping), request_frame(RequestId(3), &fetch_all)].concat();
    client.send_bytes(&[many, next].concat());
    assert_eq!(client.reply(), (RequestId(1), Reply::Done));
    assert_eq!(client.reply(), (RequestId(2), Reply::Pong));
    let (id, Reply::Values { first_lease, values: leased, .. }) = client.reply() else { panic!("expected values") };
    assert_eq!((id, leased.len()), (RequestId(3), VALUES as usize));
    assert!((0..).zip(&leased).all(|(number, grant)| grant.item.value == u32::to_le_bytes(number)[..]));
    // The same for results, and by one who hangs up as soon as all is sent.
    let results = (first_lease.0..)
        .map(LeaseId)
        .zip(0..VALUES)
        .map(|(lease, number)| FinishItem { lease, result: item(number.to_be_bytes()) });
    let finish = Request::Finish { variable: VariableHandle(1), items: results.collect() };
    client.send_bytes(&request_frame(RequestId(4), &finish));
    assert_eq!(client.reply(), (RequestId(4), Reply::Finished { refused: vec![] }));
    let items = (0..VALUES).map(|number| item(number.to_le_bytes())).collect();
    let leaving = server.client_at("w");
    { leaving }.send_bytes(&request_frame(RequestId(1), &Request::Store { variable: VariableHandle(1), items }));
    let mut seen = 0;
    while seen < 2 * VALUES {
        let one = Request::Retrieve(Retrieve { take: true, wait: Wait::Forever, max_values: VALUES, ..find() });
        let (_, values) = values(other.ask(&one));
        for value in values {
            let number = seen % VALUES;
            let expected = if seen < VALUES { number.to_be_bytes() } else { number.to_le_bytes() };
            assert_eq!(value, expected);
            seen += 1;
        }
    }
}
