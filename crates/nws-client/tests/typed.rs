//! What Rust types are as values, and what values are as Rust types.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use bytes::Bytes;
use nws_client::{Descriptor, Error, FromValue, IntoValue, Language, Mismatch, Value};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    dish: String,
    price: f64,
    wishes: Option<Vec<String>>,
    table: (u8, i64),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Course {
    Starter,
    Main(Order),
    Dessert { spoons: u32 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Metres(f64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Nothing;

fn order() -> Order {
    Order { dish: "soup \u{1f372}\n".into(), price: 0.1 + 0.2, wishes: None, table: (255, i64::MIN) }
}

/// As a value and back.
fn there_and_back<T: IntoValue + FromValue + Clone + PartialEq + Debug>(object: T) -> Value {
    let value = object.clone().into_value().unwrap();
    assert_eq!(T::from_value(&value), Ok(object));
    value
}

/// Why this is no `T`.
fn refused<T: FromValue + Debug>(value: impl Into<Value>) -> Mismatch {
    match T::from_value(&value.into()).unwrap_err() {
        Error::Mismatch(mismatch) => *mismatch,
        error => panic!("{error}"),
    }
}

fn python(descriptor: fn(Language) -> Descriptor, bytes: &[u8]) -> Value {
    Value { descriptor: descriptor(Language::Python), bytes: Bytes::copy_from_slice(bytes) }
}

#[test]
fn what_is_one_thing_is_a_value_that_every_language_reads() {
    assert_eq!(there_and_back(()), Value::none());
    assert_eq!(there_and_back(None::<i32>), Value::none());
    assert_eq!(there_and_back(Nothing), Value::none());
    assert_eq!(there_and_back(Some(7)), Value::from(7));
    assert_eq!(there_and_back(true), Value::from(true));
    assert_eq!(there_and_back(-7i8), Value::from(-7));
    assert_eq!(there_and_back(u32::MAX), Value::from(i64::from(u32::MAX)));
    assert_eq!(there_and_back(i64::MIN), Value::from(i64::MIN));
    assert_eq!(there_and_back(0.1f32), Value::from(f64::from(0.1f32)));
    assert_eq!(there_and_back(f64::NEG_INFINITY), Value::from(f64::NEG_INFINITY));
    assert_eq!(there_and_back(Metres(1.5)), Value::from(1.5));
    assert_eq!(there_and_back(String::from("soup")), Value::from("soup"));
    assert_eq!(there_and_back('\u{1f372}'), Value::from("\u{1f372}"));
    assert_eq!(there_and_back(Course::Starter), Value::from("Starter"));
    assert!(f64::from_value(&f64::NAN.into_value().unwrap()).unwrap().is_nan());
}

#[test]
fn integers_beyond_64_bits_are_integers() {
    for value in [there_and_back(u64::MAX), there_and_back(i128::MIN), there_and_back(u128::MAX)] {
        assert!(value.descriptor.is_native());
    }
    assert_eq!(there_and_back(1u64 << 63), there_and_back(1i128 << 63));
    let as_python_writes_it = python(Descriptor::native, &[5, 0, 0, 0, 0, 0, 0, 0, 0x80, 0]);
    assert_eq!(u64::from_value(&as_python_writes_it), Ok(1 << 63));
}

#[test]
fn octets_are_raw_bytes_in_whatever_they_come() {
    let soup = Value::from(b"soup");
    assert_eq!(there_and_back(b"soup".to_vec()), soup);
    assert_eq!(there_and_back(Bytes::from_static(b"soup")), soup);
    assert_eq!(there_and_back(*b"soup"), soup);
    assert_eq!(b"soup".into_value().unwrap(), soup);
    assert_eq!(b"soup"[..].into_value().unwrap(), soup);
    for empty in [
        there_and_back(Vec::<u8>::new()),
        there_and_back(Bytes::new()),
        there_and_back(Box::<[u8]>::default()),
        (&Vec::<u8>::new()).into_value().unwrap(),
        b""[..].into_value().unwrap(),
        b"".into_value().unwrap(),
    ] {
        assert_eq!(empty, Value::from(b""));
    }
}

#[test]
fn what_is_made_of_others_is_json() {
    assert_eq!(there_and_back(vec![1, 2]), Value::json("[1,2]"));
    assert_eq!(there_and_back(Vec::<String>::new()), Value::json("[]"));
    assert_eq!(there_and_back(vec![Some("a".to_owned()), None]), Value::json(r#"["a",null]"#));
    assert_eq!(there_and_back(BTreeMap::from([(2, true)])), Value::json(r#"{"2":true}"#));
    assert_eq!(there_and_back(Course::Dessert { spoons: 2 }), Value::json(r#"{"Dessert":{"spoons":2}}"#));
    let text = r#"{"dish":"soup 🍲\n","price":0.30000000000000004,"wishes":null,"table":[255,-9223372036854775808]}"#;
    assert_eq!(there_and_back(order()), Value::json(text));
    there_and_back(Course::Main(order()));
    there_and_back(HashMap::from([("a".to_owned(), vec![order(); 3])]));
    there_and_back((u128::MAX, i128::MIN, f64::MIN_POSITIVE, f64::MAX, 0.1f32));
}

#[test]
fn a_value_goes_as_it_is() {
    let pickle = python(Descriptor::serialized, b"\x80\x05N.");
    assert_eq!(there_and_back(pickle.clone()), pickle);
    assert_eq!((&pickle).into_value(), Ok(pickle));
}

#[test]
fn what_no_value_can_say_is_refused_and_not_changed() {
    for (result, reason) in [
        ([1.0, f64::NAN].into_value(), "JSON has no number NaN"),
        (Some(vec![f32::INFINITY]).into_value(), "JSON has no number inf"),
        (HashMap::from([("x", Some(Course::Main(Order { price: f64::NAN, ..order() })))]).into_value(), "number NaN"),
        (HashMap::from([(vec![1], 1)]).into_value(), "key must be a string"),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::NotStorable { .. }) && error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn what_programs_in_other_languages_store_is_read() {
    assert_eq!(Order::from_value(&python(Descriptor::json, br#"{"dish": "a", "price": 1, "table": [1, 2]}"#)), {
        Ok(Order { dish: "a".into(), price: 1.0, wishes: None, table: (1, 2) })
    });
    assert_eq!(f64::from_value(&Value::from(3)), Ok(3.0));
    assert_eq!(Vec::<u16>::from_value(&Value::from(b"\x01\x02")), Ok(vec![1, 2]));
    assert_eq!(Vec::<u8>::from_value(&Value::json("[1, 2]")), Ok(vec![1, 2]));
    assert_eq!(<(u8, u8)>::from_value(&Value::from(b"\x01\x02")), Ok((1, 2)));
    assert_eq!(Course::from_value(&Value::json("\"Starter\"")), Ok(Course::Starter));
    let any = |value: &Value| serde_json::Value::from_value(value).unwrap();
    assert_eq!(any(&Value::none()), serde_json::json!(null));
    assert_eq!(any(&Value::from(5)), serde_json::json!(5));
    assert_eq!(any(&Value::from("5")), serde_json::json!("5"));
    assert_eq!(any(&Value::json("[5]")), serde_json::json!([5]));
}

#[test]
fn nothing_is_guessed() {
    refused::<i64>("7");
    refused::<i64>(7.0);
    refused::<u8>(256);
    refused::<u64>(-1);
    refused::<bool>(1);
    refused::<String>(b"soup");
    refused::<String>(7);
    refused::<char>("so");
    refused::<Bytes>("soup");
    refused::<i64>(Value::none());
    refused::<()>(0);
    refused::<Vec<i64>>("[1]");
    refused::<Order>("{}");
    refused::<Course>("Soup");
    refused::<[u8; 3]>(b"soup");
    refused::<[u8; 5]>(b"soup");
    refused::<Vec<i64>>(Value::json("[1] 2"));
}

#[test]
fn a_mismatch_says_what_was_expected_and_what_came() {
    let text = |mismatch: Mismatch| mismatch.to_string();
    assert_eq!(text(refused::<i64>("soup")), "expected i64 as a value, got the text \"soup\"");
    assert_eq!(text(refused::<u8>(256)), "expected u8 as a value, got the integer 256");
    assert_eq!(text(refused::<Vec<Order>>(b"\0\xff")), "expected Vec<Order> as a value, got 2 raw bytes");
    let json = text(refused::<Order>(Value::json("{\"dish\": 1}")));
    assert!(json.starts_with("expected Order as a value, got the JSON {\"dish\": 1}: invalid type: integer"), "{json}");
    let pickle = text(refused::<Order>(python(Descriptor::serialized, b"\x80\x05N.")));
    let advice = "only Python reads pickles; store it there with encoding=\"json\", or read it as a `Value`";
    assert_eq!(pickle, format!("expected Order as a value, got a Python pickle of 4 bytes: {advice}"));
    let arrays = refused::<Order>(python(Descriptor::serialized_with_buffers, b"x"));
    assert!(text(arrays).contains("encoding=\"json\""));
    let matlab = Value { descriptor: Descriptor::serialized(Language::Matlab), bytes: Bytes::from_static(b"x") };
    assert!(text(refused::<i64>(matlab)).contains("only Matlab reads it"));
    let huge = python(Descriptor::native, &[&[5][..], &[1; 40]].concat());
    assert!(text(refused::<u64>(huge)).contains("no type of Rust holds an integer of that size"));
}

#[test]
fn bytes_that_lie_about_what_they_are_end_no_program() {
    let bad: [Value; 8] = [
        python(Descriptor::native, b""),
        python(Descriptor::native, &[5]),
        python(Descriptor::native, &[3, 1]),
        python(Descriptor::native, &[9, 1]),
        python(Descriptor::json, b"{"),
        python(Descriptor::json, b"\xff"),
        python(Descriptor::json, "[".repeat(100_000).as_bytes()),
        python(Descriptor::text, b"\xff"),
    ];
    for value in bad {
        refused::<Order>(value.clone());
        refused::<u64>(value.clone());
        refused::<Vec<i64>>(value.clone());
        refused::<serde_json::Value>(value);
    }
}
