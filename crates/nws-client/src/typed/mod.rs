//! Rust types as values, by serde.
//!
//! `write` makes a value of what serde serializes and `read` an object of a value; `finite` keeps
//! numbers that JSON cannot say out of it, `octets` is the short way for raw bytes, and `mismatch` tells
//! why a value is not what was asked for.

mod finite;
mod mismatch;
mod octets;
mod read;
mod write;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use mismatch::Mismatch;

use crate::{Error, Value};

/// What can be stored: all that serde serializes, and a [`Value`] as it is.
///
/// | in Rust | the value | in Python |
/// |---|---|---|
/// | `()`, `None` | native none | `None` |
/// | `bool` | native | `bool` |
/// | integers of any size | native | `int` |
/// | `f32`, `f64` | native, infinite ones and NaN too | `float` |
/// | `String`, `&str`, `char`, the name of a unit variant | text | `str` |
/// | `Vec<u8>`, `&[u8]`, `[u8; N]`, [`bytes::Bytes`] | raw bytes | `bytes` |
/// | structs, maps, tuples, other sequences, variants with data | JSON text | `dict`, `list` |
///
/// `Some` and structs of one unnamed field are what they hold. Raw bytes are whatever serde shows as
/// a sequence of `u8` and nothing else, a tuple of them too, unless it is empty and of a type that
/// this table does not name. Those of [`Value::raw`] are not even copied. Within JSON bytes are numbers, and a number that is infinite or NaN is
/// an error.
///
/// ```
/// use nws_client::{IntoValue, Value};
///
/// assert_eq!("soup".into_value(), Ok(Value::text("soup")));
/// assert_eq!(7.into_value(), Ok(Value::from(7)));
/// assert_eq!(vec![1u8, 2].into_value(), Ok(Value::raw(vec![1, 2])));
/// assert_eq!(vec![1u16, 2].into_value(), Ok(Value::json("[1,2]")));
/// assert!([1.0, f64::NAN].into_value().is_err());
/// ```
pub trait IntoValue {
    /// The value.
    ///
    /// # Errors
    /// [`Error::NotStorable`], where neither JSON nor any other value can say it.
    fn into_value(self) -> Result<Value, Error>;
}

impl<T: Serialize> IntoValue for T {
    fn into_value(self) -> Result<Value, Error> {
        if let Some(bytes) = octets::of(&self) {
            return Ok(Value::raw(Bytes::copy_from_slice(bytes)));
        }
        write::value(&self).map_err(|reason| Error::NotStorable { variable: None, reason })
    }
}

impl IntoValue for Value {
    fn into_value(self) -> Result<Value, Error> {
        Ok(self)
    }
}

impl IntoValue for &Value {
    fn into_value(self) -> Result<Value, Error> {
        Ok(self.clone())
    }
}

/// What a value can be read as: all that serde deserializes without borrowing, and a [`Value`].
///
/// The table of [`IntoValue`] read backwards. Nothing is guessed: text is no number, raw bytes are no
/// text, a float is no integer. An integer that fits is read as a float, and sequences of `u8` are
/// read from raw bytes and from JSON.
///
/// ```
/// use nws_client::{FromValue, Value};
///
/// assert_eq!(u8::from_value(&Value::from(7)), Ok(7));
/// assert!(u8::from_value(&Value::from(700)).is_err());
/// assert_eq!(Vec::<u16>::from_value(&Value::json("[1, 2]")), Ok(vec![1, 2]));
/// assert_eq!(Option::<String>::from_value(&Value::none()), Ok(None));
/// ```
pub trait FromValue: Sized + 'static {
    /// The object.
    ///
    /// # Errors
    /// [`Error::Mismatch`], which says what was expected and what came.
    fn from_value(value: &Value) -> Result<Self, Error>;
}

impl<T: DeserializeOwned + 'static> FromValue for T {
    fn from_value(value: &Value) -> Result<Self, Error> {
        octets::read_as(value).map_or_else(|| read::object(value), Ok)
    }
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Result<Self, Error> {
        Ok(value.clone())
    }
}
