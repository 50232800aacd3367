//! The object of a value.

use std::fmt::{self, Display};

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, Expected, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::Mismatch;
use crate::{Error, Value};

/// Reads `value` as a `T`.
pub(super) fn object<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    let read = match form(value) {
        Some(Form::Json(text)) => {
            serde_json::from_str(text).map_err(|error| Unread { reason: Some(error.to_string()) })
        }
        Some(form) => T::deserialize(form),
        None => Err(Unread { reason: None }),
    };
    read.map_err(|error| Mismatch::new::<T>(value, error.reason).into())
}

/// What a value is, to be deserialized.
enum Form<'a> {
    None,
    Boolean(bool),
    Integer(i128),
    /// Beyond an `i128`.
    Large(u128),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Json(&'a str),
}

fn form(value: &Value) -> Option<Form<'_>> {
    if let Some(text) = value.as_text() {
        return Some(if value.descriptor.is_json() { Form::Json(text) } else { Form::Text(text) });
    }
    let boolean = || value.as_bool().map(Form::Boolean);
    let integer = || value.as_integer().map(Form::Integer);
    let large = || value.as_large_integer().map(Form::Large);
    let float = || value.as_f64().map(Form::Float);
    let none = || value.is_none().then_some(Form::None);
    let bytes = value.as_raw().map(Form::Bytes);
    bytes.or_else(integer).or_else(float).or_else(boolean).or_else(none).or_else(large)
}

/// Why a value is not what was asked for; nothing, where the two say all.
#[derive(Debug)]
struct Unread {
    reason: Option<String>,
}

impl Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_deref().unwrap_or("another kind of value"))
    }
}

impl std::error::Error for Unread {}

impl de::Error for Unread {
    fn custom<T: Display>(message: T) -> Self {
        Unread { reason: Some(message.to_string()) }
    }

    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Unread { reason: None }
    }

    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Unread { reason: None }
    }
}

impl<'a, 'de> Form<'a> {
    fn refuse<V: Visitor<'de>>(&self, visitor: &V) -> Unread {
        de::Error::invalid_type(Unexpected::Other("bytes"), visitor)
    }
}

impl<'a, 'de> Deserializer<'de> for Form<'a> {
    type Error = Unread;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        match self {
            Form::None => visitor.visit_unit(),
            Form::Boolean(boolean) => visitor.visit_bool(boolean),
            Form::Integer(integer) => match (i64::try_from(integer), u64::try_from(integer)) {
                (Ok(integer), _) => visitor.visit_i64(integer),
                (_, Ok(integer)) => visitor.visit_u64(integer),
                _ => visitor.visit_i128(integer),
            },
            Form::Large(integer) => visitor.visit_u128(integer),
            Form::Float(float) => visitor.visit_f64(float),
            Form::Text(text) | Form::Json(text) => visitor.visit_str(text),
            Form::Bytes(bytes) => visitor.visit_bytes(bytes),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        match self {
            Form::None => visitor.visit_none(),
            form => visitor.visit_some(form),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Unread> {
        visitor.visit_newtype_struct(self)
    }

    // Who asks for a string would also take bytes that are UTF-8: they are another kind of value.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        if matches!(self, Form::Bytes(_)) { Err(self.refuse(&visitor)) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_str(visitor)
    }

    // And the other way round.
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        if matches!(self, Form::Text(_)) { Err(self.refuse(&visitor)) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        match self {
            Form::Bytes(bytes) => {
                let mut octets = SeqDeserializer::new(bytes.iter().copied());
                let object = visitor.visit_seq(&mut octets)?;
                octets.end()?;
                Ok(object)
            }
            form => form.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unread> {
        match self {
            Form::Text(text) => visitor.visit_enum(StrDeserializer::new(text)),
            form => Err(form.refuse(&visitor)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 unit unit_struct tuple_struct map struct identifier
        ignored_any
    }
}
