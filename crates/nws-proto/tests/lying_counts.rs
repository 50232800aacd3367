//! A count or length that the payload cannot hold makes nobody allocate room for it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use nws_proto::classic::{Decoder, Weight};
use nws_proto::{Challenge, Event, Hello, LongRequest, Opcode, Reply, Request, Welcome, decode_part};

/// Counts the bytes that the current thread asks for.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is handed on to the system's allocator; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocated_by(work: impl FnOnce()) -> usize {
    let before = ALLOCATED.get();
    work();
    ALLOCATED.get() - before
}

/// Where a `u32` count or length stands: behind these many bytes of the payload that is given.
const COUNTS: &[(Opcode, &[u8], &str)] = &[
    (Opcode::Store, &[0; 4], "values"),
    (Opcode::Store, &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], "length of a value"),
    (Opcode::Finish, &[0; 4], "results"),
    (Opcode::Finish, &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "length of a result"),
    (Opcode::Release, &[0], "leases"),
    (Opcode::TransferPart, &[0; 4], "length of a part"),
    (Opcode::Part, &[], "length of a part"),
    (Opcode::Failed, &[100, 0], "length of a message"),
    (Opcode::Workspaces, &[], "workspaces"),
    (Opcode::Workspaces, &[1, 0, 0, 0, 0, 0, 0, 0, 0], "variables of a workspace"),
    (Opcode::Variables, &[], "variables"),
    (Opcode::Values, &[0; 16], "values"),
    (Opcode::Finished, &[], "refused results"),
    (Opcode::Adopted, &[0; 8], "leases"),
    (Opcode::Goodbye, &[100, 0], "length of a message"),
];

/// What an error's message takes, and a few items of a list that began well.
const LITTLE_BYTES: usize = 1024;

fn refuses(opcode: Opcode, payload: Bytes) -> bool {
    let number = opcode.to_wire();
    match number {
        _ if opcode == Opcode::Part => decode_part(payload).is_err(),
        _ if LongRequest::has(number) => LongRequest::decode(number, payload).is_err(),
        ..0x80 => Request::<Bytes>::decode(number, payload).is_err(),
        0x80..0xC0 => Reply::<Bytes>::decode(number, payload).is_err(),
        _ => Event::decode(number, payload).is_err(),
    }
}

#[test]
fn a_count_beyond_the_payload_allocates_nothing() {
    for (opcode, before, what) in COUNTS {
        for count in [u32::MAX, u32::MAX / 2, 1 << 24, 1000] {
            let payload = Bytes::from([before, &count.to_le_bytes()[..], &[0; 30]].concat());
            let bytes = allocated_by(|| assert!(refuses(*opcode, payload), "{opcode:?}: {count} {what}"));
            assert!(bytes < LITTLE_BYTES, "{opcode:?}: {count} {what} made it allocate {bytes} bytes");
        }
    }
}

#[test]
fn a_name_beyond_the_payload_allocates_nothing() {
    let handle = [0; 4];
    let names: &[(Opcode, &[u8])] = &[
        (Opcode::Open, &handle),
        (Opcode::MakeTemporary, &handle),
        (Opcode::DeleteWorkspace, &[]),
        (Opcode::ListWorkspaces, &[1]),
        (Opcode::Bind, &[0; 8]),
        (Opcode::Opened, &[]),
        (Opcode::Workspaces, &[1, 0, 0, 0]),
        (Opcode::Variables, &[1, 0, 0, 0]),
    ];
    for (opcode, before) in names {
        let payload = Bytes::from([before, &[0xff, 0xff][..], &[0; 30]].concat());
        let bytes = allocated_by(|| assert!(refuses(*opcode, payload), "{opcode:?}"));
        assert!(bytes < LITTLE_BYTES, "{opcode:?} allocated {bytes} bytes");
    }
}

#[test]
fn a_handshake_cannot_make_anyone_allocate_more_than_its_frame_holds() {
    let payload = Bytes::from(vec![0xff; 100]);
    let bytes = allocated_by(|| {
        assert!(Hello::decode(payload.clone()).is_err());
        assert!(Challenge::decode(payload.clone()).is_err());
        assert!(Welcome::decode(payload).is_err());
    });
    assert!(bytes < LITTLE_BYTES, "{bytes} bytes");
}

/// Items in memory are larger than on the wire, so a true count is not believed without end either.
#[test]
fn a_count_that_fits_reserves_no_more_than_a_batch() {
    let count: u32 = 10_000_000;
    let mut payload = vec![0xff; 4 + 2 * count as usize];
    payload[..4].copy_from_slice(&(count / 5).to_le_bytes());
    let payload = Bytes::from(payload);
    let bytes = allocated_by(|| assert!(refuses(Opcode::Workspaces, payload)));
    assert!(bytes < 65_536 * 100 + LITTLE_BYTES, "{bytes} bytes");
}

#[test]
fn a_value_is_shared_with_its_payload_and_not_copied() {
    let mut payload = vec![0; 16 + 1_000_000];
    payload[4] = 1;
    payload[12..16].copy_from_slice(&1_000_000_u32.to_le_bytes());
    let payload = Bytes::from(payload);
    let bytes = allocated_by(|| {
        let Ok(Request::<Bytes>::Store { items, .. }) = Request::decode(Opcode::Store.to_wire(), payload) else {
            panic!("a good store was refused");
        };
        assert_eq!(items[0].value.len(), 1_000_000);
    });
    assert!(bytes < LITTLE_BYTES, "{bytes} bytes");
}

#[test]
fn a_classic_length_that_is_announced_and_not_sent_makes_nobody_allocate() {
    let start = "000500000000000000000005store00000000000000000001w00000000000000000001x0000000000000000000816777217";
    let cases = [
        ("000200000000000000000009delete ws", "99999999999999999999"),
        ("000200000000000000000009delete ws", "10000000000000000000"),
        (start, "18446744073709551615"),
        (start, "00000000001073741824"),
    ];
    for (start, length) in cases {
        let allocated = allocated_by(|| {
            let mut decoder = Decoder::default();
            for part in [start, length, "a few bytes"] {
                let Ok(None) = decoder.next(&mut part.as_bytes(), |_| Weight::Take) else { return };
            }
        });
        // A value gets a first buffer when its first bytes come.
        assert!(allocated < LITTLE_BYTES + 64 * 1024, "{length}: {allocated} bytes");
    }
}
