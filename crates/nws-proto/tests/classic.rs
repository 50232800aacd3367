//! The decoder of the classic protocol: what it reads of whole, cut, broken and random bytes.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

use nws_proto::classic::{Brought, Decoder, Intake, Request, Start, VariableName, Weight};
use nws_proto::{Descriptor, Index, Item, Mode, OpenMode, VariableId, limits};
use proptest::collection::vec;
use proptest::prelude::*;

fn encode(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("{:04}", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend(format!("{:020}", argument.len()).into_bytes());
        bytes.extend(argument);
    }
    bytes
}

fn of(arguments: &[&[u8]]) -> Vec<u8> {
    encode(&arguments.iter().map(|argument| argument.to_vec()).collect::<Vec<_>>())
}

fn decode_all(decoder: &mut Decoder, mut bytes: &[u8]) -> Result<Vec<Request>, String> {
    let mut requests = Vec::new();
    while let Some(request) = decoder.next(&mut bytes, |_| Weight::Take).map_err(|bad| bad.to_string())? {
        requests.push(request);
    }
    assert!(bytes.is_empty(), "what has arrived is read");
    Ok(requests)
}

fn decode_one(bytes: &[u8]) -> Request {
    let mut requests = decode_all(&mut Decoder::default(), bytes).expect("these bytes are a request");
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

fn complaint(bytes: &[u8]) -> String {
    decode_all(&mut Decoder::default(), bytes).expect_err("these bytes are no request")
}

#[test]
fn each_operation_is_read_as_what_it_is() {
    let name = || b"w".to_vec();
    let variable = || VariableName { workspace: b"w".to_vec(), variable: b"x".to_vec() };
    let own = |persistent| OpenMode::Own { persistent };
    let open = |mode, create| Request::Open { name: name(), label: b"7".to_vec(), mode, create };
    let retrieve = |take, wait, iterated| Request::Retrieve { variable: variable(), take, wait, iterated };
    let item = |value: &[u8]| Some(Item { descriptor: Descriptor(0x0100_0001), value: Brought::Here(value.to_vec()) });
    let store = |item, only| Request::Store { variable: variable(), item, only };
    let after = |id, index| Some(Start::After(id, Index(index)));
    let cases: [(&[&[u8]], Request); 28] = [
        (&[b"open ws", b"w", b"7", b"no"], open(own(false), true)),
        (&[b"open ws", b"w", b"7", b"yes", b"no"], open(own(true), false)),
        (&[b"use ws", b"w", b"7", b"yes", b"yes"], open(OpenMode::Use, true)),
        (&[b"delete ws", b"w"], Request::DeleteWorkspace { name: name() }),
        (&[b"mktemp ws"], Request::MakeTemporary { template: b"__ws__%d".to_vec() }),
        (&[b"mktemp ws", b"a%i"], Request::MakeTemporary { template: b"a%i".to_vec() }),
        (&[b"list wss"], Request::ListWorkspaces { name: None }),
        (&[b"list wss", b"w"], Request::ListWorkspaces { name: Some(name()) }),
        (&[b"declare var", b"w", b"x", b"lifo"], Request::Declare { variable: variable(), mode: Some(Mode::Lifo) }),
        (&[b"declare var", b"w", b"x", b"Lifo"], Request::Declare { variable: variable(), mode: None }),
        (&[b"store", b"w", b"x", b"16777217", b"v"], store(item(b"v"), None)),
        (&[b"store", b"w", b"x", b"    16777217", b""], store(item(b""), None)),
        (&[b"store", b"w", b"x", b"16777217", b"v", b"5   "], store(item(b"v"), Some(Some(VariableId(5))))),
        (&[b"store", b"w", b"x", b"16777217", b"v", b"    "], store(item(b"v"), None)),
        (&[b"store", b"w", b"x", b"16777217", b"v", b"x"], store(item(b"v"), Some(None))),
        (&[b"fetch", b"w", b"x"], retrieve(true, true, None)),
        (&[b"fetchTry", b"w", b"x"], retrieve(true, false, None)),
        (&[b"find", b"w", b"x"], retrieve(false, true, None)),
        (&[b"findTry", b"w", b"x"], retrieve(false, false, None)),
        (&[b"ifetch", b"w", b"x", b"", b"0"], retrieve(true, true, Some(Start::Oldest))),
        (&[b"ifetchTry", b"w", b"x", b"  ", b"7"], retrieve(true, false, Some(Start::Oldest))),
        (&[b"ifind", b"w", b"x", b"9  ", b"007"], retrieve(false, true, after(Some(VariableId(9)), 7))),
        (&[b"ifindTry", b"w", b"x", b"no", b"7"], retrieve(false, false, after(None, 7))),
        (&[b"ifindTry", b"w", b"x", b"09", b"7"], retrieve(false, false, after(None, 7))),
        (&[b"delete var", b"w", b"x"], Request::DeleteVariable { variable: variable() }),
        (&[b"list vars", b"w"], Request::ListVariables { workspace: name() }),
        (&[b"list vars", b""], Request::ListVariables { workspace: vec![] }),
        (&[b"delete ws", b"\0\xff\n"], Request::DeleteWorkspace { name: b"\0\xff\n".to_vec() }),
    ];
    for (arguments, expected) in cases {
        assert_eq!(decode_one(&of(arguments)), expected, "{arguments:?}");
    }
}

#[test]
fn what_is_no_request_is_told_by_what_was_expected_and_what_came() {
    let cases: [(Vec<u8>, &str); 9] = [
        (b"00x1".to_vec(), r#"expected a number of arguments from 0001 to 0006, got "00x1""#),
        (b"0000".to_vec(), r#"expected a number of arguments from 0001 to 0006, got "0000""#),
        (b"0001-0000000000000000005".to_vec(), r#"expected a length in 20 digits, got "-0000000000000000005""#),
        (of(&[b"steal"]), r#"expected the name of an operation, got "steal""#),
        (of(&[b"fetch\n"]), r#"expected the name of an operation, got "fetch\n""#),
        (of(&[b"a name so long"]), "expected the name of an operation, got a name of 14 bytes"),
        (of(&[b"fetch", b"w"]), r#"expected 3 arguments with "fetch", got 2"#),
        (of(&[b"use ws", b"w", b"", b"true"]), r#"expected yes or no, got "true""#),
        (
            of(&[b"ifind", b"w", b"x", b"", &[b'z'; 60]]),
            r#"expected a value's index, in digits, got "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz...""#,
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(complaint(&bytes), expected);
    }
}

#[test]
fn a_value_is_weighed_by_its_length_before_it_comes() {
    let whole = of(&[b"store", b"w", b"x", b"16777217", b"12345"]);
    let (head, value) = whole.split_at(whole.len() - 5);
    let mut decoder = Decoder::default();
    let mut asked = Vec::new();
    let mut weigh = |length| {
        asked.push(length);
        Weight::Skip
    };
    assert_eq!(decoder.next(&mut &head[..], &mut weigh), Ok(None));
    assert_eq!(decoder.value_bytes(), 0, "it is not received");
    let request = decoder.next(&mut &value[..], &mut weigh).expect("it goes by");
    assert!(matches!(request, Some(Request::Store { item: None, .. })), "{request:?}");
    assert_eq!(asked, [5]);
    let refused = Decoder::default().next(&mut &head[..], |_| Weight::Refuse(4)).expect_err("it is refused");
    assert_eq!(refused.to_string(), "expected a value of at most 4 bytes, got one of 5");
    let mut decoder = Decoder::default();
    assert_eq!(decoder.next(&mut &whole[..whole.len() - 2], |_| Weight::Take), Ok(None));
    assert_eq!((decoder.value_bytes(), decoder.announced_bytes()), (3, Some(5)), "what has come, and all");
}

#[derive(Default)]
struct Spool(Vec<u8>);

impl Intake for &mut Spool {
    fn weigh(&mut self, _length: u64) -> Weight {
        Weight::Spool
    }

    fn spool(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

#[test]
fn a_value_that_is_spooled_is_handed_on_as_it_comes_and_not_kept() {
    let bytes = [of(&[b"store", b"w", b"x", b"16777217", b"long value", b"7"]), of(&[b"list wss"])].concat();
    let (mut decoder, mut spool, mut requests) = (Decoder::default(), Spool::default(), Vec::new());
    for byte in &bytes {
        let mut input = std::slice::from_ref(byte);
        if let Some(request) = decoder.next(&mut input, &mut spool).expect("it is a request") {
            requests.push(request);
        }
        assert_eq!(decoder.value_bytes(), 0, "nothing of it is kept");
    }
    assert_eq!(spool.0, b"long value", "and nothing else of the request");
    let [Request::Store { item: Some(item), only: Some(Some(VariableId(7))), .. }, Request::ListWorkspaces { .. }] =
        &requests[..]
    else {
        panic!("{requests:?}")
    };
    assert_eq!(item.value, Brought::Spooled);
}

#[test]
fn a_value_that_has_come_in_part_can_be_given_up() {
    let bytes = of(&[b"store", b"w", b"x", b"16777217", b"long value"]);
    for come in 0..10 {
        let (before, after) = bytes.split_at(bytes.len() - 10 + come);
        for spools in [false, true] {
            let (mut decoder, mut spool) = (Decoder::default(), Spool::default());
            assert_eq!((decoder.announced_bytes(), decoder.spool_value()), (None, vec![]), "nothing comes");
            let mut input = before;
            assert_eq!(decoder.next(&mut input, |_| Weight::Take), Ok(None));
            assert_eq!(decoder.announced_bytes(), Some(10));
            if spools {
                spool.0 = decoder.spool_value();
            } else {
                decoder.skip_value();
            }
            assert_eq!((decoder.announced_bytes(), decoder.value_bytes()), (None, 0));
            let mut rest = after;
            let request = decoder.next(&mut rest, &mut spool).expect("it is a request").expect("and whole");
            let Request::Store { item, .. } = request else { panic!("{request:?}") };
            assert_eq!(item.map(|item| item.value), spools.then_some(Brought::Spooled));
            assert_eq!(spool.0, if spools { &b"long value"[..] } else { b"" });
            assert_eq!(decode_all(&mut decoder, &of(&[b"list wss"])).map(|requests| requests.len()), Ok(1));
        }
    }
}

#[test]
fn of_a_name_that_is_too_long_just_enough_is_kept_to_see_it() {
    let most = usize::from(limits::NAME_BYTES);
    for (length, kept) in [(most, most), (most + 1, most + 1), (most + 2, most + 1), (1 << 20, most + 1)] {
        let Request::DeleteWorkspace { name } = decode_one(&of(&[b"delete ws", &vec![b'n'; length]])) else {
            panic!("expected a deletion")
        };
        assert_eq!(name.len(), kept);
    }
}

/// Arguments of a request that is right.
fn request() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let bytes = || vec(any::<u8>(), 0..40);
    let yes = prop_oneof![Just(b"yes".to_vec()), Just(b"no".to_vec())];
    let number = any::<u32>().prop_map(|number| format!("{number:020}").into_bytes());
    let id = any::<u64>().prop_map(|number| format!("{number:<20}").into_bytes());
    let with = |name: &str, rest: Vec<Vec<u8>>| [vec![name.as_bytes().to_vec()], rest].concat();
    prop_oneof![
        (bytes(), bytes(), yes.clone(), yes).prop_map(move |(a, b, c, d)| with("open ws", vec![a, b, c, d])),
        Just(with("list wss", vec![])),
        (bytes(), bytes(), number.clone(), vec(any::<u8>(), 0..5000))
            .prop_map(move |(a, b, c, d)| with("store", vec![a, b, c, d])),
        (bytes(), bytes(), id, number).prop_map(move |(a, b, c, d)| with("ifetch", vec![a, b, c, d])),
        (bytes(), bytes()).prop_map(move |(a, b)| with("fetch", vec![a, b])),
    ]
}

proptest! {
    #[test]
    fn requests_are_the_same_however_they_are_cut(
        sent in vec(request(), 1..6),
        cuts in vec(1usize..70, 1..200),
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(|arguments| encode(arguments)).collect();
        let whole = decode_all(&mut Decoder::default(), &bytes).expect("they are requests");
        prop_assert_eq!(whole.len(), sent.len());
        let (mut decoder, mut got, mut rest) = (Decoder::default(), Vec::new(), &bytes[..]);
        for cut in cuts.iter().copied().cycle() {
            let (part, after) = rest.split_at(cut.min(rest.len()));
            got.extend(decode_all(&mut decoder, part).expect("they are requests"));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(got, whole);
    }

    #[test]
    fn a_request_that_ends_early_is_not_there(arguments in request(), end in any::<prop::sample::Index>()) {
        let bytes = encode(&arguments);
        let end = end.index(bytes.len());
        let mut decoder = Decoder::default();
        prop_assert_eq!(decode_all(&mut decoder, &bytes[..end]), Ok(vec![]));
        prop_assert_eq!(decode_all(&mut decoder, &bytes[end..]).map(|got| got.len()), Ok(1));
    }

    #[test]
    fn random_bytes_are_refused_with_the_first_four(bytes in vec(any::<u8>(), 4..100)) {
        prop_assume!(!bytes[..4].iter().all(u8::is_ascii_digit));
        let complaint = decode_all(&mut Decoder::default(), &bytes).expect_err("no number of arguments");
        prop_assert!(complaint.starts_with("expected a number of arguments"));
    }

    #[test]
    fn a_changed_byte_is_never_a_panic(
        arguments in request(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        rest in vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = encode(&arguments);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.extend(rest);
        let mut decoder = Decoder::default();
        // Whether one byte at a time or all at once: the same requests, the same end.
        let whole = decode_all(&mut Decoder::default(), &bytes);
        let mut got = Ok(Vec::new());
        for byte in &bytes {
            match (decode_all(&mut decoder, std::slice::from_ref(byte)), &mut got) {
                (Ok(more), Ok(got)) => got.extend(more),
                (Err(complaint), _) => {
                    got = Err(complaint);
                    break;
                }
                (Ok(_), Err(_)) => {}
            }
        }
        match (whole, got) {
            (Ok(whole), Ok(got)) => prop_assert_eq!(whole, got),
            (Err(whole), Err(got)) => prop_assert_eq!(whole, got),
            (whole, got) => prop_assert!(false, "{whole:?} or {got:?}"),
        }
    }
}
