//! The value of an object.
//!
//! What is a value by itself (a number, text, bytes) is made at once; a compound stops the first
//! attempt and becomes JSON in a second.

use std::fmt::{self, Display};

use bytes::Bytes;
use serde::Serialize;
use serde::ser::{Error, Impossible, SerializeSeq, SerializeTuple, Serializer};

use super::finite::Finite;
use crate::Value;

/// The value of `object`, or why there is none.
pub(super) fn value<T: Serialize>(object: &T) -> Result<Value, String> {
    match object.serialize(Plain) {
        Ok(value) => Ok(value),
        Err(NotPlain::Compound) => {
            let json = serde_json::to_string(&Finite(object)).map_err(|error| error.to_string())?;
            Ok(Value::json(json))
        }
        Err(NotPlain::Impossible(reason)) => Err(reason),
    }
}

/// Why there is no value yet.
#[derive(Debug)]
enum NotPlain {
    /// It is made of others.
    Compound,
    /// The type says so.
    Impossible(String),
}

impl Display for NotPlain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotPlain::Compound => f.write_str("made of other values"),
            NotPlain::Impossible(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for NotPlain {}

impl Error for NotPlain {
    fn custom<T: Display>(message: T) -> Self {
        NotPlain::Impossible(message.to_string())
    }
}

struct Plain;

type Compound = Impossible<Value, NotPlain>;

macro_rules! integers {
    ($($method:ident($type:ty);)*) => {
        $(fn $method(self, integer: $type) -> Result<Value, NotPlain> {
            Ok(Value::from(i64::from(integer)))
        })*
    };
}

macro_rules! compounds {
    ($($method:ident($($type:ty),*) -> $compound:ident;)*) => {
        $(fn $method(self $(, _: $type)*) -> Result<Self::$compound, NotPlain> {
            Err(NotPlain::Compound)
        })*
    };
}

impl Serializer for Plain {
    type Ok = Value;
    type Error = NotPlain;
    type SerializeSeq = Octets;
    type SerializeTuple = Octets;
    type SerializeTupleStruct = Compound;
    type SerializeTupleVariant = Compound;
    type SerializeMap = Compound;
    type SerializeStruct = Compound;
    type SerializeStructVariant = Compound;

    integers! {
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
    }

    compounds! {
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant;
        serialize_map(Option<usize>) -> SerializeMap;
        serialize_struct(&'static str, usize) -> SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant;
    }

    fn serialize_bool(self, boolean: bool) -> Result<Value, NotPlain> {
        Ok(Value::from(boolean))
    }

    fn serialize_u64(self, integer: u64) -> Result<Value, NotPlain> {
        Ok(Value::integer(integer.into()))
    }

    fn serialize_i128(self, integer: i128) -> Result<Value, NotPlain> {
        Ok(Value::integer(integer))
    }

    fn serialize_u128(self, integer: u128) -> Result<Value, NotPlain> {
        Ok(i128::try_from(integer).map_or_else(|_| Value::large_integer(integer), Value::integer))
    }

    fn serialize_f32(self, float: f32) -> Result<Value, NotPlain> {
        Ok(Value::from(f64::from(float)))
    }

    fn serialize_f64(self, float: f64) -> Result<Value, NotPlain> {
        Ok(Value::from(float))
    }

    fn serialize_char(self, character: char) -> Result<Value, NotPlain> {
        Ok(Value::text(character))
    }

    fn serialize_str(self, text: &str) -> Result<Value, NotPlain> {
        Ok(Value::text(text))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Value, NotPlain> {
        Ok(Value::raw(Bytes::copy_from_slice(bytes)))
    }

    fn serialize_none(self) -> Result<Value, NotPlain> {
        Ok(Value::none())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, object: &T) -> Result<Value, NotPlain> {
        object.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, NotPlain> {
        Ok(Value::none())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, NotPlain> {
        Ok(Value::none())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value, NotPlain> {
        Ok(Value::text(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, object: &T) -> Result<Value, NotPlain> {
        object.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Value, NotPlain> {
        Err(NotPlain::Compound)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Octets, NotPlain> {
        // A length is what the type says, not what comes.
        let bytes = Vec::with_capacity(length.unwrap_or(0).min(64 * 1024));
        Ok(Octets { bytes })
    }

    fn serialize_tuple(self, length: usize) -> Result<Octets, NotPlain> {
        self.serialize_seq(Some(length))
    }
}

/// A sequence, as long as it has nothing but `u8`.
struct Octets {
    bytes: Vec<u8>,
}

impl Octets {
    fn push<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), NotPlain> {
        self.bytes.push(element.serialize(Octet)?);
        Ok(())
    }

    fn finish(self) -> Result<Value, NotPlain> {
        // Of an empty one nobody knows what it would hold.
        if self.bytes.is_empty() { Err(NotPlain::Compound) } else { Ok(Value::raw(self.bytes)) }
    }
}

impl SerializeSeq for Octets {
    type Ok = Value;
    type Error = NotPlain;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), NotPlain> {
        self.push(element)
    }

    fn end(self) -> Result<Value, NotPlain> {
        self.finish()
    }
}

impl SerializeTuple for Octets {
    type Ok = Value;
    type Error = NotPlain;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), NotPlain> {
        self.push(element)
    }

    fn end(self) -> Result<Value, NotPlain> {
        self.finish()
    }
}

/// An element of a sequence; any but a `u8` makes the sequence a compound.
struct Octet;

type NoOctet = Impossible<u8, NotPlain>;

macro_rules! no_octets {
    ($($method:ident($($type:ty),*) -> $output:ty;)*) => {
        $(fn $method(self $(, _: $type)*) -> Result<$output, NotPlain> {
            Err(NotPlain::Compound)
        })*
    };
}

impl Serializer for Octet {
    type Ok = u8;
    type Error = NotPlain;
    type SerializeSeq = NoOctet;
    type SerializeTuple = NoOctet;
    type SerializeTupleStruct = NoOctet;
    type SerializeTupleVariant = NoOctet;
    type SerializeMap = NoOctet;
    type SerializeStruct = NoOctet;
    type SerializeStructVariant = NoOctet;

    fn serialize_u8(self, octet: u8) -> Result<u8, NotPlain> {
        Ok(octet)
    }

    no_octets! {
        serialize_bool(bool) -> u8;
        serialize_i8(i8) -> u8;
        serialize_i16(i16) -> u8;
        serialize_i32(i32) -> u8;
        serialize_i64(i64) -> u8;
        serialize_i128(i128) -> u8;
        serialize_u16(u16) -> u8;
        serialize_u32(u32) -> u8;
        serialize_u64(u64) -> u8;
        serialize_u128(u128) -> u8;
        serialize_f32(f32) -> u8;
        serialize_f64(f64) -> u8;
        serialize_char(char) -> u8;
        serialize_str(&str) -> u8;
        serialize_bytes(&[u8]) -> u8;
        serialize_none() -> u8;
        serialize_unit() -> u8;
        serialize_unit_struct(&'static str) -> u8;
        serialize_unit_variant(&'static str, u32, &'static str) -> u8;
        serialize_seq(Option<usize>) -> NoOctet;
        serialize_tuple(usize) -> NoOctet;
        serialize_tuple_struct(&'static str, usize) -> NoOctet;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> NoOctet;
        serialize_map(Option<usize>) -> NoOctet;
        serialize_struct(&'static str, usize) -> NoOctet;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> NoOctet;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<u8, NotPlain> {
        Err(NotPlain::Compound)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<u8, NotPlain> {
        Err(NotPlain::Compound)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<u8, NotPlain> {
        Err(NotPlain::Compound)
    }
}
