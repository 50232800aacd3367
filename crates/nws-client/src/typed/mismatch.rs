//! A value that is not what was asked for.

use std::any::type_name;
use std::fmt;

use nws_proto::{Descriptor, Language};

use crate::Value;

/// So much of a text is shown in an error.
const SHOWN_CHARS: usize = 60;

/// A value that is not of the type that was asked for. Where it was taken away to be read, it is
/// here: nothing is lost.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
/// # fn main() -> Result<(), nws_client::Error> {
/// # let (endpoint, options) = served();
/// use nws_client::{Error, Value, blocking::Server};
///
/// let kitchen = Server::connect(&endpoint, options)?.open("kitchen")?;
/// kitchen.store("orders", "soup")?;
/// let error = kitchen.fetch::<i64>("orders").unwrap_err();
/// assert_eq!(error.to_string(), "expected i64 as a value of the variable 'orders', got the text \"soup\"");
/// let Error::Mismatch(mismatch) = error else { panic!("{error}") };
/// assert_eq!(mismatch.values, [Value::from("soup")]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// The variable, where the value comes from one.
    pub variable: Option<Vec<u8>>,
    /// The type that was asked for.
    pub expected: String,
    /// What came, for people.
    pub got: String,
    /// What does not fit about it, or what to do.
    pub reason: Option<String>,
    /// All values that the request brought, in their order: those that could be read, too.
    pub values: Vec<Value>,
    /// Which of them could not be read, from 0.
    pub position: usize,
}

impl Mismatch {
    /// Says that `value` is no `T`, and why or what to do about it.
    pub fn new<T>(value: &Value, reason: Option<String>) -> Self {
        let expected = without_paths(type_name::<T>());
        let reason = advice(value).or(reason);
        Self { variable: None, expected, got: described(value), reason, values: vec![value.clone()], position: 0 }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} as a value", self.expected)?;
        if let Some(variable) = &self.variable {
            write!(f, " of the variable '{}'", variable.escape_ascii())?;
        }
        write!(f, ", got {}", self.got)?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

impl std::error::Error for Mismatch {}

/// What to do about a value that no Rust type is made of.
fn advice(value: &Value) -> Option<String> {
    let descriptor = value.descriptor;
    let language = Language::from_code(descriptor.language());
    if descriptor.is_string() {
        None
    } else if descriptor.is_native() {
        let is_known = value.is_none() || value.as_bool().is_some() || value.as_f64().is_some();
        match value.is_any_integer() {
            true if value.as_integer().is_none() => Some("no type of Rust holds an integer of that size".to_owned()),
            false if !is_known => Some("it is broken, or was written by a newer version".to_owned()),
            _ => None,
        }
    } else if language == Some(Language::Python) {
        let advice = "only Python reads pickles; store it there with encoding=\"json\", or read it as a `Value`";
        Some(advice.to_owned())
    } else {
        let name = language.map_or("its own language", Language::name);
        Some(format!("only {name} reads it; store it there as a string, or read it as a `Value`"))
    }
}

/// What a value is, with the beginning of it.
fn described(value: &Value) -> String {
    let length = value.bytes.len();
    let integer = || value.as_integer().map(|integer| format!("the integer {integer}"));
    let float = || value.as_f64().map(|float| format!("the float {float:?}"));
    let boolean = || value.as_bool().map(|boolean| format!("the boolean {boolean}"));
    if let Some(text) = value.as_text() {
        let cut: String = text.chars().take(SHOWN_CHARS).collect();
        let dots = if cut.len() < text.len() { "..." } else { "" };
        return if value.descriptor.is_json() {
            format!("the JSON {cut}{dots}")
        } else {
            format!("the text {cut:?}{dots}")
        };
    }
    if value.is_none() {
        return "none".to_owned();
    }
    if let Some(scalar) = boolean().or_else(integer).or_else(float) {
        return scalar;
    }
    kind(value.descriptor).map_or_else(|| format!("{length} raw bytes"), |kind| format!("{kind} of {length} bytes"))
}

fn kind(descriptor: Descriptor) -> Option<String> {
    let language = Language::from_code(descriptor.language());
    if descriptor.is_bytes() {
        None
    } else if descriptor.is_string() {
        Some("text that is not UTF-8".to_owned())
    } else if descriptor.is_native() {
        Some("a native value".to_owned())
    } else if language == Some(Language::Python) {
        Some("a Python pickle".to_owned())
    } else {
        Some(format!("a value serialized by {}", language.map_or("an unknown language", Language::name)))
    }
}

/// `alloc::vec::Vec<kitchen::Order>` as `Vec<Order>`.
fn without_paths(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut rest = name;
    while !rest.is_empty() {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        let (path, tail) = rest.split_at(word);
        short.push_str(path.rsplit("::").next().unwrap_or(path));
        let next = tail.find(|c: char| c.is_alphanumeric() || c == '_').unwrap_or(tail.len());
        short.push_str(&tail[..next]);
        rest = &tail[next..];
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_without_their_paths() {
        assert_eq!(without_paths(type_name::<Vec<(Mismatch, [u8; 3])>>()), "Vec<(Mismatch, [u8; 3])>");
        assert_eq!(without_paths(type_name::<Option<&'static str>>()), "Option<&str>");
        assert_eq!(without_paths("i64"), "i64");
    }

    #[test]
    fn values_are_described_with_their_beginning_and_no_more() {
        let text = "x".repeat(1000);
        assert_eq!(described(&Value::text(&text)), format!("the text {:?}...", &text[..SHOWN_CHARS]));
        assert_eq!(described(&Value::json("[1]")), "the JSON [1]");
        assert_eq!(described(&Value::none()), "none");
        assert_eq!(described(&Value::from(true)), "the boolean true");
        assert_eq!(described(&Value::from(-7)), "the integer -7");
        assert_eq!(described(&Value::from(0.5)), "the float 0.5");
        assert_eq!(described(&Value::raw(vec![0; 5])), "5 raw bytes");
        let other = |descriptor| Value { descriptor, bytes: vec![0xff; 3].into() };
        assert_eq!(described(&other(Descriptor::text(Language::R))), "text that is not UTF-8 of 3 bytes");
        assert_eq!(described(&other(Descriptor::native(Language::R))), "a native value of 3 bytes");
        assert_eq!(described(&other(Descriptor::serialized(Language::Python))), "a Python pickle of 3 bytes");
        assert_eq!(described(&other(Descriptor::serialized(Language::R))), "a value serialized by R of 3 bytes");
        assert_eq!(described(&other(Descriptor(0))), "a value serialized by an unknown language of 3 bytes");
    }
}
