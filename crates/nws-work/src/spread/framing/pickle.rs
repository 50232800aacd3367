//! The end of a pickle of protocol 0 to 5, without unpickling it.

/// Finds the end of a pickle by walking over its opcodes.
///
/// It keeps its place between calls, so bytes are looked at once, however they come. Whole frames, as
/// protocol 4 and 5 have them, are passed over unless the pickle may end in them. What it holds does
/// not grow.
#[derive(Debug, Default)]
pub struct PickleScanner {
    /// Everything before is known.
    at: usize,
    /// Within an argument that ends with a line: how many more lines, and where the search goes on.
    line: Option<(u8, usize)>,
    /// What it has been said to reach at least.
    least: usize,
}

/// Longer names of classes are not looked for.
const MOST_NAME_BYTES: usize = 4096;

/// What follows an opcode.
enum Argument {
    /// So many bytes.
    Fixed(usize),
    /// A length of so many bytes, and so many bytes as it says.
    Counted(usize),
    /// So many lines.
    Lines(u8),
    /// A frame: a length of eight bytes, and opcodes.
    Frame,
    /// The end.
    Stop,
}

fn argument(opcode: u8) -> Option<Argument> {
    use Argument::{Counted, Fixed, Frame, Lines, Stop};
    Some(match opcode {
        b'.' => Stop,
        0x95 => Frame,
        // MARK, POP, POP_MARK, DUP, NONE, REDUCE, APPEND, BUILD, DICT, EMPTY_DICT, APPENDS, LIST,
        // EMPTY_LIST, OBJ, SETITEM, TUPLE, EMPTY_TUPLE, SETITEMS, BINPERSID
        b'(' | b'0' | b'1' | b'2' | b'N' | b'R' | b'a' | b'b' | b'd' | b'}' | b'e' | b'l' | b']' | b'o' | b's'
        | b't' | b')' | b'u' | b'Q' => Fixed(0),
        // NEWOBJ, TUPLE1, TUPLE2, TUPLE3, NEWTRUE, NEWFALSE, EMPTY_SET, ADDITEMS, FROZENSET, NEWOBJ_EX,
        // STACK_GLOBAL, MEMOIZE, NEXT_BUFFER, READONLY_BUFFER
        0x81 | 0x85..=0x89 | 0x8f..=0x94 | 0x97 | 0x98 => Fixed(0),
        // BININT1, BINGET, BINPUT, EXT1, PROTO
        b'K' | b'h' | b'q' | 0x82 | 0x80 => Fixed(1),
        // BININT2, EXT2
        b'M' | 0x83 => Fixed(2),
        // BININT, LONG_BINGET, LONG_BINPUT, EXT4
        b'J' | b'j' | b'r' | 0x84 => Fixed(4),
        // BINFLOAT
        b'G' => Fixed(8),
        // SHORT_BINSTRING, SHORT_BINBYTES, SHORT_BINUNICODE, LONG1
        b'U' | b'C' | 0x8c | 0x8a => Counted(1),
        // BINSTRING, BINBYTES, BINUNICODE, LONG4
        b'T' | b'B' | b'X' | 0x8b => Counted(4),
        // BINUNICODE8, BINBYTES8, BYTEARRAY8
        0x8d | 0x8e | 0x96 => Counted(8),
        // INT, LONG, FLOAT, STRING, UNICODE, GET, PUT, PERSID
        b'I' | b'L' | b'F' | b'S' | b'V' | b'g' | b'p' | b'P' => Lines(1),
        // GLOBAL, INST
        b'c' | b'i' => Lines(2),
        _ => return None,
    })
}

impl PickleScanner {
    /// As [`super::Scanner::end`].
    ///
    /// # Errors
    /// Names the first byte that is no opcode.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        loop {
            if !self.pass_lines(bytes) {
                return Ok(None);
            }
            let Some(opcode) = bytes.get(self.at) else { return Ok(None) };
            let here = self.at + 1;
            match argument(*opcode) {
                None => return Err(format!("byte {} is {opcode:#04x}, which is no opcode of a pickle", self.at)),
                Some(Argument::Stop) => return Ok(Some(here)),
                Some(Argument::Fixed(count)) => self.at = here + count,
                Some(Argument::Lines(count)) => self.line = Some((count, here)),
                Some(Argument::Counted(width)) => {
                    let Some(length) = number(bytes, here, width) else { return Ok(None) };
                    self.at = beyond(here + width, length)?;
                    self.least = self.least.max(self.at);
                }
                Some(Argument::Frame) => {
                    let Some(length) = number(bytes, here, 8) else { return Ok(None) };
                    let inside = here + 8;
                    let end = beyond(inside, length)?;
                    self.least = self.least.max(end);
                    // Its last byte tells whether the pickle may end with it; opcodes do not reach over it.
                    match end.checked_sub(1).filter(|last| *last >= inside).and_then(|last| bytes.get(last)) {
                        None if length > 0 => return Ok(None),
                        Some(last) if *last != b'.' => self.at = end,
                        _ => self.at = inside,
                    }
                }
            }
        }
    }

    /// As [`super::Scanner::least`].
    pub fn least(&self) -> usize {
        self.least
    }

    /// Passes over the lines of an argument; `false` while they have not come.
    fn pass_lines(&mut self, bytes: &[u8]) -> bool {
        while let Some((count, from)) = self.line {
            let fresh = bytes.get(from..).unwrap_or_default();
            match fresh.iter().position(|byte| *byte == b'\n') {
                None => {
                    self.line = Some((count, from + fresh.len()));
                    return false;
                }
                Some(at) if count > 1 => self.line = Some((count - 1, from + at + 1)),
                Some(at) => {
                    self.line = None;
                    self.at = from + at + 1;
                }
            }
        }
        true
    }
}

/// The class of the first item of a pickled tuple, as module and name, where that is an object of a
/// class; also the function that makes it. `None` for plain items.
pub(super) fn first_class(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Rest(bytes);
    if rest.skip(&[0x80]) {
        rest.take(1)?;
    }
    if rest.skip(&[0x95]) {
        rest.take(8)?;
    }
    // Protocols 0 and 1 begin a tuple by a mark.
    rest.skip(b"(");
    let (module, name) = if rest.skip(b"c") {
        (rest.line()?, rest.line()?)
    } else {
        let names = (rest.text()?, rest.text()?);
        rest.skip(&[0x93]).then_some(names)?
    };
    Some([module, b" ", name].concat())
}

/// What is left of a pickle's beginning.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip(&mut self, what: &[u8]) -> bool {
        let rest = self.0.strip_prefix(what);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().take(MOST_NAME_BYTES).position(|byte| *byte == b'\n')?;
        let line = self.take(end)?;
        self.take(1)?;
        Some(line)
    }

    /// A string, with the mark that it is remembered.
    fn text(&mut self) -> Option<&'a [u8]> {
        let width = if self.skip(&[0x8c]) { 1 } else { self.skip(b"X").then_some(4)? };
        let length = usize::try_from(number(self.0, 0, width)?).ok().filter(|length| *length <= MOST_NAME_BYTES)?;
        self.take(width)?;
        let text = self.take(length)?;
        if self.skip(b"q") {
            self.take(1)?;
        } else if self.skip(b"r") {
            self.take(4)?;
        } else {
            self.skip(&[0x94]);
        }
        Some(text)
    }
}

/// A little-endian number of `width` bytes; `None` while it has not come.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let digits = bytes.get(at..at + width)?;
    Some(digits.iter().rev().fold(0, |number, digit| number << 8 | u64::from(*digit)))
}

fn beyond(at: usize, length: u64) -> Result<usize, String> {
    let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length));
    end.filter(|end| isize::try_from(*end).is_ok())
        .ok_or_else(|| format!("byte {at} is said to be followed by {length} more, which is beyond any memory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(1, 'a\n', None)` in protocols 0 to 5, as CPython writes it.
    const PICKLES: [&[u8]; 6] = [
        b"(I1\nVa\\u000a\np0\nNtp1\n.",
        b"(K\x01X\x02\x00\x00\x00a\nq\x00Ntq\x01.",
        b"\x80\x02K\x01X\x02\x00\x00\x00a\nq\x00N\x87q\x01.",
        b"\x80\x03K\x01X\x02\x00\x00\x00a\nq\x00N\x87q\x01.",
        b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00K\x01\x8c\x02a\n\x94N\x87\x94.",
        b"\x80\x05\x95\x0b\x00\x00\x00\x00\x00\x00\x00K\x01\x8c\x02a\n\x94N\x87\x94.",
    ];

    #[test]
    fn each_protocols_end_is_found_whatever_follows_and_however_it_comes() {
        for pickle in PICKLES {
            let followed = [pickle, b"junk."].concat();
            assert_eq!(PickleScanner::default().end(&followed), Ok(Some(pickle.len())), "{pickle:?}");
            let mut scanner = PickleScanner::default();
            for length in 0..pickle.len() {
                assert_eq!(scanner.end(&pickle[..length]), Ok(None), "{pickle:?} at {length}");
            }
            assert_eq!(scanner.end(&followed), Ok(Some(pickle.len())), "{pickle:?}");
        }
    }

    /// `(fractions.Fraction(1, 2), 'a', None)` in protocols 0 to 5, as CPython writes it.
    const OBJECTS: [&[u8]; 6] = [
        b"(cfractions\nFraction\np0\n(I1\nI2\ntp1\nRp2\nVa\np3\nNtp4\n.",
        b"(cfractions\nFraction\nq\x00(K\x01K\x02tq\x01Rq\x02X\x01\x00\x00\x00aq\x03Ntq\x04.",
        b"\x80\x02cfractions\nFraction\nq\x00K\x01K\x02\x86q\x01Rq\x02X\x01\x00\x00\x00aq\x03N\x87q\x04.",
        b"\x80\x03cfractions\nFraction\nq\x00K\x01K\x02\x86q\x01Rq\x02X\x01\x00\x00\x00aq\x03N\x87q\x04.",
        b"\x80\x04\x95)\x00\x00\x00\x00\x00\x00\x00\x8c\x09fractions\x94\x8c\x08Fraction\x94\x93\x94K\x01K\x02\x86\x94R\x94\x8c\x01a\x94N\x87\x94.",
        b"\x80\x05\x95)\x00\x00\x00\x00\x00\x00\x00\x8c\x09fractions\x94\x8c\x08Fraction\x94\x93\x94K\x01K\x02\x86\x94R\x94\x8c\x01a\x94N\x87\x94.",
    ];

    #[test]
    fn the_class_of_the_first_item_is_found_and_that_of_no_other() {
        for pickle in OBJECTS {
            assert_eq!(first_class(pickle).as_deref(), Some(&b"fractions Fraction"[..]), "{pickle:?}");
            for length in 0..15 {
                assert_eq!(first_class(&pickle[..length]), None, "{pickle:?} at {length}");
            }
        }
        for pickle in PICKLES {
            assert_eq!(first_class(pickle), None, "{pickle:?}");
        }
        assert_eq!(first_class(b"\x80\x04\x95\x12\0\0\0\0\0\0\0\x8c\x01a\x94\x8c\x01b\x94N\x87."), None, "two texts");
        assert_eq!(first_class(b"\x80\x02X\xff\xff\xff\xffa"), None);
    }

    #[test]
    fn what_is_no_pickle_is_told_at_once_and_a_length_that_lies_allocates_nothing() {
        assert!(PickleScanner::default().end(b"hello\n").unwrap_err().contains("0x0a"));
        assert!(PickleScanner::default().end(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
        for claim in [b"\x8d\xff\xff\xff\xff\xff\xff\x00\x00.", b"\x95\xff\xff\xff\xff\xff\xff\x00\x00."] {
            let mut scanner = PickleScanner::default();
            assert_eq!((scanner.end(claim), scanner.least()), (Ok(None), 9 + 0xffff_ffff_ffff));
        }
        assert!(PickleScanner::default().end(b"\x95\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn a_frame_that_is_empty_or_ends_with_the_byte_of_an_end_is_walked_through() {
        let empty = b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00N.";
        assert_eq!(PickleScanner::default().end(empty), Ok(Some(empty.len())));
        let dotted = b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x03a..\x95\x02\x00\x00\x00\x00\x00\x00\x000.";
        assert_eq!(PickleScanner::default().end(dotted), Ok(Some(dotted.len())));
    }
}
