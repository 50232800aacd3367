//! The classic protocol's requests.

use nws_proto::classic::{Decoder, Request, Weight};

use super::memory::most_held_by;
use crate::Dice;

/// A value gets this at first, whatever was announced, in bytes.
const FIRST_VALUE_BYTES: usize = 64 * 1024;
const LITTLE_BYTES: usize = 4096;
/// Longer values are let go by here.
const SKIPPED_BYTES: u64 = 1000;
/// Longer ones still end the connection here.
const REFUSED_BYTES: u64 = 1 << 20;

type Outcome = (Vec<Request>, Option<String>);

fn weigh(length: u64) -> Weight {
    match length {
        _ if length > REFUSED_BYTES => Weight::Refuse(REFUSED_BYTES),
        // Some that are short as well, so that little input does.
        _ if length > SKIPPED_BYTES || length % 7 == 6 => Weight::Skip,
        _ => Weight::Take,
    }
}

/// Feeds the bytes to a decoder whole, and cut as the first eight of them say: both give the same
/// requests and the same end. A decoder holds what has arrived, and not what was announced.
///
/// # Panics
/// Where that is not so.
pub fn classic(bytes: &[u8]) {
    let (cuts, bytes) = bytes.split_at(bytes.len().min(8));
    let whole = read(bytes, |left| left);
    let seed = cuts.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    let mut dice = Dice::seeded(seed);
    let longest = [1, 3, 30, 300][dice.below(4)];
    assert_eq!(read(bytes, |_| 1 + dice.below(longest)), whole, "cut with {cuts:?}");
}

/// What comes of the bytes when each piece is as long as `cut` says.
fn read(bytes: &[u8], mut cut: impl FnMut(usize) -> usize) -> Outcome {
    let (mut decoder, mut requests, mut rest) = (Decoder::default(), Vec::new(), bytes);
    let mut arrived = 0;
    while !rest.is_empty() {
        let (mut piece, after) = rest.split_at(cut(rest.len()).min(rest.len()));
        rest = after;
        arrived += piece.len();
        loop {
            let (asked, held) = most_held_by(|| decoder.next(&mut piece, weigh));
            let most = FIRST_VALUE_BYTES + 4 * arrived + LITTLE_BYTES;
            assert!(held <= most, "{arrived} bytes made it hold {held}");
            assert!(decoder.value_bytes() <= REFUSED_BYTES, "what was refused is not received");
            match asked {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break assert!(piece.is_empty(), "all is read of what is not complete"),
                Err(bad) => return (requests, Some(bad.to_string())),
            }
        }
    }
    (requests, None)
}
