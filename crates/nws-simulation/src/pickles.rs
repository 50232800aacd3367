//! Pickles that commands write.

use nws_testkit::Dice;
use nws_work::spread::framing::PickleScanner;

/// What of an input says how the rest is cut.
const CUT_BYTES: usize = 8;

/// The bytes are what a command writes. Where its first pickle ends does not depend on the pieces in
/// which they come, and it ends with the opcode of an end.
///
/// # Panics
/// Where that is not so.
pub fn pickles(bytes: &[u8]) {
    let (cuts, bytes) = bytes.split_at(bytes.len().min(CUT_BYTES));
    let whole = PickleScanner::default().end(bytes);
    if let Ok(Some(end)) = whole {
        assert_eq!(bytes.get(end.wrapping_sub(1)), Some(&b'.'), "the end of a pickle");
    }
    let mut dice = Dice::seeded(cuts.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte)));
    let longest = [1, 3, 30, 4096].get(dice.below(4)).copied().unwrap_or(1);
    let (mut scanner, mut come) = (PickleScanner::default(), 0);
    let pieces = loop {
        come = bytes.len().min(come + 1 + dice.below(longest));
        let found = scanner.end(&bytes[..come]);
        if found != Ok(None) || come == bytes.len() {
            break found;
        }
    };
    assert_eq!(pieces, whole, "in pieces and as a whole");
}

/// Pickles of all protocols, with all kinds of arguments, as CPython writes them.
pub fn pickle_seeds() -> Vec<Vec<u8>> {
    let pickles: [&[u8]; 9] = [
        b"(I1\nVa\\u000a\np0\nNtp1\n.",
        b"(L12L\nF1.5\nS'a.'\np0\ncdatetime\ndate\np1\ng0\nt.",
        b"(K\x01X\x02\x00\x00\x00a\nq\x00M\x00\x01J\x00\x00\x01\x00G?\xf8\x00\x00\x00\x00\x00\x00tq\x01.",
        b"\x80\x02K\x01X\x02\x00\x00\x00a\nq\x00N\x87q\x01.",
        b"\x80\x02\x8a\x02\x00\x01\x8b\x02\x00\x00\x00\x00\x01U\x01a\x88\x89\x85\x86\x87q\x01.",
        b"\x80\x03C\x02..B\x01\x00\x00\x00.N\x87.",
        b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00K\x01\x8c\x02a\n\x94N\x87\x94.",
        b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x03a..\x95\x02\x00\x00\x00\x00\x00\x00\x000.",
        b"\x80\x05\x96\x02\x00\x00\x00\x00\x00\x00\x00..\x8e\x01\x00\x00\x00\x00\x00\x00\x00.\x8d\x01\x00\x00\x00\x00\x00\x00\x00.\x87.",
    ];
    pickles.iter().map(|pickle| [&[0; CUT_BYTES], *pickle, b"."].concat()).collect()
}
