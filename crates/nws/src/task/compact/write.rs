//! Values into bytes.

use serde::Serialize;
use serde::ser::{self, Serializer};

use super::{
    BYTES, DEPTH, FALSE, FLOAT32, FLOAT64, INT8, INT16, INT32, INT64, INT128, MAP, NONE, Problem, SEQUENCE, SMALL,
    SOME, TEXT, TRUE, UNIT, UNSIGNED128, VARIANT, too_deep,
};

/// Appends values to a buffer.
pub(super) struct Writer<'a> {
    buffer: &'a mut Vec<u8>,
    depth: u32,
}

/// A sequence or map while its items are written.
pub(super) struct Items<'w, 'a> {
    writer: &'w mut Writer<'a>,
    /// Where the count is to be written once it is known.
    count_at: usize,
    count: u32,
}

impl<'a> Writer<'a> {
    pub(super) fn new(buffer: &'a mut Vec<u8>) -> Self {
        Self { buffer, depth: 0 }
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.buffer.push(tag);
        self.buffer.extend_from_slice(bytes);
    }

    fn integer(&mut self, number: i64) {
        if let Ok(small @ 0..) = i8::try_from(number) {
            self.buffer.push(SMALL | small.cast_unsigned());
        } else if let Ok(number) = i8::try_from(number) {
            self.tagged(INT8, &number.to_le_bytes());
        } else if let Ok(number) = i16::try_from(number) {
            self.tagged(INT16, &number.to_le_bytes());
        } else if let Ok(number) = i32::try_from(number) {
            self.tagged(INT32, &number.to_le_bytes());
        } else {
            self.tagged(INT64, &number.to_le_bytes());
        }
    }

    fn run(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let length = u32::try_from(bytes.len()).map_err(|_| too_long())?;
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn nested<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, Problem>) -> Result<T, Problem> {
        self.depth += 1;
        let written = if self.depth > DEPTH { Err(too_deep()) } else { write(self) };
        self.depth -= 1;
        written
    }

    fn variant(&mut self, name: &str) -> Result<(), Problem> {
        self.buffer.push(VARIANT);
        self.run(name.as_bytes())
    }

    fn items<'w>(&'w mut self, tag: u8) -> Items<'w, 'a> {
        self.tagged(tag, &[0; 4]);
        let count_at = self.buffer.len() - 4;
        Items { writer: self, count_at, count: 0 }
    }
}

fn too_long() -> Problem {
    Problem("it holds something longer than 4 GiB".to_owned())
}

impl Items<'_, '_> {
    fn item(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Problem> {
        self.count = self.count.checked_add(1).ok_or_else(too_long)?;
        self.value(value)
    }

    fn value(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Problem> {
        self.writer.nested(|writer| value.serialize(writer))
    }

    fn field(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Problem> {
        self.item(name)?;
        self.value(value)
    }

    fn close(self) -> Result<(), Problem> {
        if let Some(place) = self.writer.buffer.get_mut(self.count_at..self.count_at + 4) {
            place.copy_from_slice(&self.count.to_le_bytes());
        }
        Ok(())
    }
}

impl<'w, 'a> Serializer for &'w mut Writer<'a> {
    type Ok = ();
    type Error = Problem;
    type SerializeSeq = Items<'w, 'a>;
    type SerializeTuple = Items<'w, 'a>;
    type SerializeTupleStruct = Items<'w, 'a>;
    type SerializeTupleVariant = Items<'w, 'a>;
    type SerializeMap = Items<'w, 'a>;
    type SerializeStruct = Items<'w, 'a>;
    type SerializeStructVariant = Items<'w, 'a>;

    fn serialize_bool(self, value: bool) -> Result<(), Problem> {
        self.buffer.push(if value { TRUE } else { FALSE });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Problem> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Problem> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Problem> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Problem> {
        self.integer(value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Problem> {
        self.tagged(INT128, &value.to_le_bytes());
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Problem> {
        self.serialize_i64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Problem> {
        self.serialize_i64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Problem> {
        self.serialize_i64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Problem> {
        match i64::try_from(value) {
            Ok(value) => self.serialize_i64(value),
            Err(_) => self.serialize_i128(value.into()),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<(), Problem> {
        self.tagged(UNSIGNED128, &value.to_le_bytes());
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Problem> {
        self.tagged(FLOAT32, &value.to_le_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Problem> {
        self.tagged(FLOAT64, &value.to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Problem> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Problem> {
        self.buffer.push(TEXT);
        self.run(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Problem> {
        self.buffer.push(BYTES);
        self.run(value)
    }

    fn serialize_none(self) -> Result<(), Problem> {
        self.buffer.push(NONE);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Problem> {
        self.buffer.push(SOME);
        self.nested(|writer| value.serialize(writer))
    }

    fn serialize_unit(self) -> Result<(), Problem> {
        self.buffer.push(UNIT);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Problem> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Problem> {
        self.variant(variant)?;
        self.serialize_unit()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Problem> {
        self.nested(|writer| value.serialize(writer))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Problem> {
        self.variant(variant)?;
        self.nested(|writer| value.serialize(writer))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'w, 'a>, Problem> {
        Ok(self.items(SEQUENCE))
    }

    fn serialize_tuple(self, _: usize) -> Result<Items<'w, 'a>, Problem> {
        Ok(self.items(SEQUENCE))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items<'w, 'a>, Problem> {
        Ok(self.items(SEQUENCE))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'w, 'a>, Problem> {
        self.variant(variant)?;
        Ok(self.items(SEQUENCE))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Items<'w, 'a>, Problem> {
        Ok(self.items(MAP))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Items<'w, 'a>, Problem> {
        Ok(self.items(MAP))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'w, 'a>, Problem> {
        self.variant(variant)?;
        Ok(self.items(MAP))
    }
}

macro_rules! items {
    ($($trait:ident $method:ident),*) => {
        $(impl ser::$trait for Items<'_, '_> {
            type Ok = ();
            type Error = Problem;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Problem> {
                self.item(value)
            }

            fn end(self) -> Result<(), Problem> {
                self.close()
            }
        })*
    };
}

items!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

impl ser::SerializeMap for Items<'_, '_> {
    type Ok = ();
    type Error = Problem;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Problem> {
        self.item(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Problem> {
        self.value(value)
    }

    fn end(self) -> Result<(), Problem> {
        self.close()
    }
}

macro_rules! fields {
    ($($trait:ident),*) => {
        $(impl ser::$trait for Items<'_, '_> {
            type Ok = ();
            type Error = Problem;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Problem> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Problem> {
                self.close()
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);
