//! Bytes into values.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::{
    BYTES, DEPTH, FALSE, FLOAT32, FLOAT64, INT8, INT16, INT32, INT64, INT128, MAP, NONE, Problem, SEQUENCE, SMALL,
    SOME, TEXT, TRUE, UNIT, UNSIGNED128, VARIANT, too_deep,
};

/// Reads values from bytes.
pub(super) struct Reader<'de> {
    rest: &'de [u8],
    depth: u32,
}

impl<'de> Reader<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes, depth: 0 }
    }

    /// Nothing more is here.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(Problem(format!("there are {more} bytes more than the value has"))),
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn count(&mut self) -> Result<usize, Problem> {
        Ok(u32::from_le_bytes(self.bytes()?) as usize)
    }

    fn run(&mut self) -> Result<&'de [u8], Problem> {
        let length = self.count()?;
        let (run, rest) = self.rest.split_at_checked(length).ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(run)
    }

    fn text(&mut self) -> Result<&'de str, Problem> {
        std::str::from_utf8(self.run()?).map_err(|_| Problem("a text is not UTF-8".to_owned()))
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Problem>) -> Result<T, Problem> {
        self.depth += 1;
        let value = if self.depth > DEPTH { Err(too_deep()) } else { read(self) };
        self.depth -= 1;
        value
    }

    /// Lets `visit` take so many items, and sees that it took them all.
    fn items<T>(&mut self, visit: impl FnOnce(&mut Items<'_, 'de>) -> Result<T, Problem>) -> Result<T, Problem> {
        let left = self.count()?;
        let mut items = Items { reader: self, left };
        let value = visit(&mut items)?;
        match items.left {
            0 => Ok(value),
            more => Err(Problem(format!("there are {more} items more than were expected"))),
        }
    }

    fn value<V: Visitor<'de>>(&mut self, tag: u8, visitor: V) -> Result<V::Value, Problem> {
        match tag {
            SMALL.. => visitor.visit_u8(tag & !SMALL),
            INT8 => visitor.visit_i8(i8::from_le_bytes(self.bytes()?)),
            INT16 => visitor.visit_i16(i16::from_le_bytes(self.bytes()?)),
            INT32 => visitor.visit_i32(i32::from_le_bytes(self.bytes()?)),
            INT64 => visitor.visit_i64(i64::from_le_bytes(self.bytes()?)),
            INT128 => {
                let wide = i128::from_le_bytes(self.bytes()?);
                // What a u64 wrote is read as one also by who asks what comes.
                match u64::try_from(wide) {
                    Ok(number) => visitor.visit_u64(number),
                    Err(_) => visitor.visit_i128(wide),
                }
            }
            UNSIGNED128 => {
                let wide = u128::from_le_bytes(self.bytes()?);
                match u64::try_from(wide) {
                    Ok(number) => visitor.visit_u64(number),
                    Err(_) => visitor.visit_u128(wide),
                }
            }
            FLOAT32 => visitor.visit_f32(f32::from_le_bytes(self.bytes()?)),
            FLOAT64 => visitor.visit_f64(f64::from_le_bytes(self.bytes()?)),
            FALSE => visitor.visit_bool(false),
            TRUE => visitor.visit_bool(true),
            TEXT => visitor.visit_borrowed_str(self.text()?),
            BYTES => visitor.visit_borrowed_bytes(self.run()?),
            NONE => visitor.visit_none(),
            UNIT => visitor.visit_unit(),
            SOME => self.nested(|reader| visitor.visit_some(reader)),
            SEQUENCE => self.items(|items| visitor.visit_seq(items)),
            MAP => self.items(|items| visitor.visit_map(items)),
            VARIANT => {
                let name = self.text()?;
                if self.rest.first() == Some(&UNIT) {
                    self.bytes::<1>()?;
                    visitor.visit_borrowed_str(name)
                } else {
                    visitor.visit_map(Only { reader: self, name: Some(name) })
                }
            }
            other => Err(Problem(format!("{other:#04x} is no tag of a value"))),
        }
    }
}

fn cut_off() -> Problem {
    Problem("its bytes are cut off".to_owned())
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let [tag] = self.bytes()?;
        self.value(tag, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Problem> {
        self.nested(|reader| visitor.visit_newtype_struct(reader))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.bytes()? {
            [VARIANT] => self.nested(|reader| visitor.visit_enum(Variant { reader })),
            // Types may write a variant without contents as its name.
            [TEXT] => visitor.visit_enum(self.text()?.into_deserializer()),
            [tag] => self.value(tag, visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The items of a sequence or map that were not taken yet.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    left: usize,
}

impl<'de> Items<'_, 'de> {
    fn item<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.value(seed).map(Some)
    }

    fn value<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Problem> {
        self.reader.nested(|reader| seed.deserialize(reader))
    }

    /// How many there can be at most: each takes a byte.
    fn likely(&self) -> usize {
        self.left.min(self.reader.rest.len())
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        self.item(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.likely())
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        self.item(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        self.value(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.likely())
    }
}

/// A variant that holds something, for who asks what comes: a map of its name to that.
struct Only<'r, 'de> {
    reader: &'r mut Reader<'de>,
    name: Option<&'de str>,
}

impl<'de> MapAccess<'de> for Only<'_, 'de> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        self.name.take().map(|name| seed.deserialize(name.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        self.reader.nested(|reader| seed.deserialize(reader))
    }
}

/// A variant, for who expects an enum.
struct Variant<'r, 'de> {
    reader: &'r mut Reader<'de>,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Problem;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Problem> {
        let name = self.reader.text()?;
        let variant = seed.deserialize(IntoDeserializer::<Problem>::into_deserializer(name))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        match self.reader.bytes()? {
            [UNIT] => Ok(()),
            _ => Err(serde::de::Error::invalid_type(Unexpected::NewtypeVariant, &"unit variant")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Problem> {
        self.reader.nested(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Problem> {
        self.reader.nested(|reader| reader.deserialize_any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Problem> {
        self.reader.nested(|reader| reader.deserialize_any(visitor))
    }
}
