//! How arguments and results are written between processes of one program.
//!
//! Every value opens with a tag, so that types which ask what comes (`#[serde(untagged)]`,
//! `#[serde(flatten)]`, JSON values) can be read. Structs are written by the names of their fields, so
//! that fields may be left out. `Some` has a tag of its own: formats that write `Some(x)` as `x` read
//! `Some(None)` as `None`. Tags below 0x10 are those of native values, see `docs/protocol.md`.
//!
//! | tag | then |
//! |---|---|
//! | 0x00 `None`, 0x01 false, 0x02 true, 0x10 unit | nothing |
//! | 0x03 integer of 64 bits, 0x04 float of 64 | 8 bytes, little-endian |
//! | 0x11 integer of 8 bits, 0x12 of 16, 0x13 of 32, 0x14 beyond 64, 0x15 beyond that | 1, 2, 4, 16, 16 bytes |
//! | 0x16 float of 32 bits | 4 bytes |
//! | 0x06 text, 0x07 bytes | length as u32, bytes |
//! | 0x20 `Some` | a value |
//! | 0x21 sequence | count as u32, values |
//! | 0x22 map or struct | count as u32, keys and values in turn |
//! | 0x23 variant of an enum | its name as length and bytes, a value |
//! | 0x80 and above | nothing: the integers 0 to 127 |

mod read;
mod write;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

const NONE: u8 = 0x00;
const FALSE: u8 = 0x01;
const TRUE: u8 = 0x02;
const INT64: u8 = 0x03;
const FLOAT64: u8 = 0x04;
const TEXT: u8 = 0x06;
const BYTES: u8 = 0x07;
const UNIT: u8 = 0x10;
const INT8: u8 = 0x11;
const INT16: u8 = 0x12;
const INT32: u8 = 0x13;
const INT128: u8 = 0x14;
const UNSIGNED128: u8 = 0x15;
const FLOAT32: u8 = 0x16;
const SOME: u8 = 0x20;
const SEQUENCE: u8 = 0x21;
const MAP: u8 = 0x22;
const VARIANT: u8 = 0x23;
const SMALL: u8 = 0x80;

/// Deepest nesting that is read or written: each level takes some of a thread's stack.
const DEPTH: u32 = 256;

/// Appends a value.
pub(crate) fn encode(value: &(impl Serialize + ?Sized), buffer: &mut Vec<u8>) -> Result<(), String> {
    value.serialize(&mut write::Writer::new(buffer)).map_err(|problem| problem.0)
}

/// Reads a value, which is all that there is.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut reader = read::Reader::new(bytes);
    let value = T::deserialize(&mut reader).map_err(|problem| problem.0)?;
    reader.end().map_err(|problem| problem.0)?;
    Ok(value)
}

/// Why a value cannot be written or read.
#[derive(Debug)]
struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}

impl serde::ser::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Problem(message.to_string())
    }
}

impl serde::de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Problem(message.to_string())
    }
}

fn too_deep() -> Problem {
    Problem(format!("it is nested deeper than {DEPTH} levels; send a flat form of it"))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::net::IpAddr;

    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;

    fn again<T: Serialize + DeserializeOwned>(value: &T) -> T {
        let mut bytes = vec![0xee];
        encode(value, &mut bytes).unwrap();
        decode(&bytes[1..]).unwrap()
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Point,
        Circle(f64),
        Box(u8, i8),
        Named { name: String, inner: Option<Box<Shape>> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Chain(Option<Box<Chain>>);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Shape(Shape),
        Number(i64),
        Address(IpAddr),
        Nothing(()),
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        One { size: Option<u32> },
        Two,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        left_out: Option<String>,
        #[serde(flatten)]
        rest: BTreeMap<String, i32>,
        shapes: Vec<Shape>,
        either: [Either; 5],
        tagged: (Tagged, Tagged),
        unit: Unit,
        letter: char,
        wide: (u64, i128, u128, f32),
        keys: HashMap<(i16, bool), ()>,
    }

    #[test]
    fn every_shape_that_serde_knows_comes_back_as_it_was() {
        let named = Shape::Named { name: "ü".into(), inner: Some(Box::new(Shape::Circle(f64::INFINITY))) };
        let record = Record {
            left_out: None,
            rest: BTreeMap::from([("x".into(), i32::MIN), ("y".into(), 200)]),
            shapes: vec![Shape::Point, Shape::Circle(-0.0), Shape::Box(255, -128), named.clone()],
            either: [
                Either::Shape(named),
                Either::Number(7),
                Either::Address([1, 2, 3, 4].into()),
                Either::Nothing(()),
                Either::Shape(Shape::Point),
            ],
            tagged: (Tagged::One { size: Some(3) }, Tagged::Two),
            unit: Unit,
            letter: '𝄞',
            wide: (u64::MAX, i128::MIN, u128::MAX, f32::MIN_POSITIVE),
            keys: HashMap::from([((-1, true), ()), ((300, false), ())]),
        };
        assert_eq!(again(&record), record);
        let json = serde_json::json!({"a": [1, -1, 1.5, null, true, u64::MAX], "b": {"c": ""}});
        assert_eq!(again(&json), json);
    }

    #[test]
    fn options_in_options_are_told_apart() {
        for value in [None, Some(None), Some(Some(()))] {
            assert_eq!(again(&value), value);
        }
        let chain = (0..100).fold(Chain(None), |inner, _| Chain(Some(Box::new(inner))));
        assert_eq!(again(&chain), chain);
    }

    #[test]
    fn integers_are_short_where_they_are_small() {
        let length = |number: i64| {
            let mut bytes = Vec::new();
            encode(&number, &mut bytes).unwrap();
            bytes.len()
        };
        let lengths = [0, 127, 128, -1, -129, 40_000, -40_000, i64::from(i32::MIN), i64::MIN].map(length);
        assert_eq!(lengths, [1, 1, 3, 2, 3, 5, 5, 5, 9]);
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused_both_ways() {
        let deep = (0..DEPTH).fold(Chain(None), |inner, _| Chain(Some(Box::new(inner))));
        assert!(encode(&deep, &mut Vec::new()).unwrap_err().contains("nested deeper"));
        let bytes = vec![SOME; 100_000];
        assert!(decode::<Chain>(&bytes).unwrap_err().contains("nested deeper"));
        assert!(decode::<serde_json::Value>(&bytes).unwrap_err().contains("nested deeper"));
    }

    #[test]
    fn bytes_that_are_cut_off_or_go_on_are_refused() {
        let value = (Some("text".to_owned()), vec![1.5, 2.5], Shape::Box(1, 2));
        let mut bytes = Vec::new();
        encode(&value, &mut bytes).unwrap();
        for cut in 0..bytes.len() {
            assert!(decode::<(Option<String>, Vec<f64>, Shape)>(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        bytes.push(0);
        assert!(decode::<(Option<String>, Vec<f64>, Shape)>(&bytes).unwrap_err().contains("1 bytes more"));
    }

    #[test]
    fn a_count_that_lies_allocates_nothing() {
        let bytes = [SEQUENCE, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<Vec<[u64; 32]>>(&bytes).is_err());
        let bytes = [TEXT, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<String>(&bytes).unwrap_err().contains("cut off"));
    }

    proptest! {
        #[test]
        fn numbers_and_texts_survive(
            integers: Vec<i64>, unsigned: u64, wide: i128, floats: Vec<f64>, text: String, maybe: Option<Option<u8>>
        ) {
            let value = (integers, unsigned, wide, text, maybe);
            prop_assert_eq!(again(&value), value);
            let bits = |floats: &[f64]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&again(&floats)), bits(&floats));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = decode::<Record>(&bytes);
            let _ = decode::<serde_json::Value>(&bytes);
            let _ = decode::<Vec<Either>>(&bytes);
        }
    }
}
