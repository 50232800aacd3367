//! How values are read from a command line and shown.

use std::io::{self, Write};

use nws_client::{Language, Value};
use serde_json::json;

use crate::babelfish::Untold;

/// What a value given on the command line is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum As {
    /// Text where it is UTF-8, else raw bytes.
    Auto,
    /// Text in UTF-8.
    Text,
    /// Raw bytes.
    Bytes,
    /// JSON.
    Json,
    /// An integer of 64 bits.
    Int,
    /// A floating-point number.
    Float,
    /// true or false.
    Bool,
    /// What Python calls None; the text is "none" or empty.
    None,
}

/// The value that these bytes stand for.
///
/// # Errors
/// Says what was expected.
pub(crate) fn read(bytes: Vec<u8>, kind: As) -> Result<Value, String> {
    if kind == As::Bytes {
        return Ok(Value::raw(bytes));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if kind == As::Auto => return Ok(Value::raw(error.into_bytes())),
        Err(error) => return Err(format!("expected text in UTF-8, got something else: {error}; store it --as bytes")),
    };
    let expected = |what: &str| format!("expected {what}, got {:?}", text.chars().take(60).collect::<String>());
    let word = text.trim();
    Ok(match kind {
        As::Auto | As::Text | As::Bytes => Value::text(text),
        As::Json => {
            serde_json::from_str::<serde::de::IgnoredAny>(&text)
                .map_err(|error| expected(&format!("JSON ({error})")))?;
            Value::json(text)
        }
        As::Int => Value::from(word.parse::<i64>().map_err(|_| expected("an integer of 64 bits"))?),
        As::Float => Value::from(word.parse::<f64>().map_err(|_| expected("a number"))?),
        As::Bool => Value::from(word.parse::<bool>().map_err(|_| expected("true or false"))?),
        As::None if word.is_empty() || word == "none" => Value::none(),
        As::None => return Err(expected("\"none\" or nothing")),
    })
}

/// How values are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Text and what is like it as a line, raw bytes as they are, the rest described.
    Plain,
    /// Every value as its bytes, and nothing else.
    Raw,
    /// An object on a line.
    Json,
}

/// Whether only the language that wrote it can say what it is.
pub(crate) fn is_foreign(value: &Value) -> bool {
    matches!(kind(value), Shown::Opaque) && !value.descriptor.is_native()
}

/// Writes a value. `told` is what its own language says of it, where it was asked.
pub(crate) fn write(
    output: &mut impl Write,
    value: &Value,
    show: Show,
    told: Option<Result<String, Untold>>,
) -> io::Result<()> {
    match show {
        Show::Raw => output.write_all(&value.bytes),
        Show::Json => {
            let mut object = to_json(value);
            if let (Some(Ok(text)), Some(object)) = (told, object.as_object_mut()) {
                object.insert("text".to_owned(), text.into());
            }
            writeln!(output, "{object}")
        }
        Show::Plain => match kind(value) {
            Shown::Text(_) => {
                output.write_all(&value.bytes)?;
                output.write_all(b"\n")
            }
            Shown::Bytes => output.write_all(&value.bytes),
            Shown::Word(word) => writeln!(output, "{word}"),
            Shown::Opaque => match told {
                Some(Ok(text)) => writeln!(output, "{text}"),
                Some(Err(untold)) => writeln!(output, "{}", describe(value, untold.advice())),
                None => writeln!(output, "{}", describe(value, None)),
            },
        },
    }
}

enum Shown<'a> {
    Text(&'a str),
    Bytes,
    /// None, a boolean, a number.
    Word(String),
    Opaque,
}

fn kind(value: &Value) -> Shown<'_> {
    if let Some(text) = value.as_text() {
        return Shown::Text(text);
    }
    let word = if value.is_none() {
        Some("none".to_owned())
    } else {
        let number = || value.as_i64().map(|number| number.to_string());
        let float = || value.as_f64().map(|float| format!("{float:?}"));
        value.as_bool().map(|boolean| boolean.to_string()).or_else(number).or_else(float)
    };
    match word {
        Some(word) => Shown::Word(word),
        // Text of other clients that is not UTF-8 is bytes as well.
        None if value.descriptor.is_string() => Shown::Bytes,
        None => Shown::Opaque,
    }
}

/// What others cannot read: in what form it is, and how long.
fn describe(value: &Value, advice: Option<String>) -> String {
    let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
    format!("<{}, {} bytes, descriptor {:#010x}{advice}>", form(value), value.bytes.len(), value.descriptor.0)
}

fn form(value: &Value) -> String {
    let native = if value.descriptor.is_native() { "native" } else { "serialized" };
    match Language::from_code(value.descriptor.language()) {
        Some(language) => format!("{native} {} value", language.name()),
        None => format!("{native} value"),
    }
}

/// A value with all that is known of it; bytes that are no text in base 64.
pub(crate) fn to_json(value: &Value) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    let mut put = |name: &str, value: serde_json::Value| object.insert(name.to_owned(), value);
    match kind(value) {
        Shown::Text(text) => match serde_json::from_str(text) {
            Ok(parsed) if value.descriptor.is_json() => {
                put("kind", "json".into());
                put("value", parsed);
            }
            _ => {
                put("kind", "text".into());
                put("value", text.into());
            }
        },
        Shown::Bytes => {
            put("kind", "bytes".into());
            put("base64", base64(&value.bytes).into());
        }
        Shown::Word(_) if value.is_none() => {
            put("kind", "none".into());
            put("value", json!(null));
        }
        Shown::Word(word) => {
            let (kind, native) = match (value.as_bool(), value.as_i64(), value.as_f64()) {
                (Some(boolean), ..) => ("bool", json!(boolean)),
                (_, Some(integer), _) => ("int", json!(integer)),
                // JSON has no infinite numbers.
                (_, _, Some(float)) if !float.is_finite() => ("float", word.into()),
                (_, _, float) => ("float", json!(float)),
            };
            put("kind", kind.into());
            put("value", native);
        }
        Shown::Opaque => {
            let native = value.descriptor.is_native();
            put("kind", if native { "native" } else { "serialized" }.into());
            put("base64", base64(&value.bytes).into());
        }
    }
    put("size_bytes", value.bytes.len().into());
    put("descriptor", value.descriptor.0.into());
    object.into()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { letter.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use nws_proto::{Descriptor, Language};

    fn plain(value: &Value) -> String {
        let mut output = Vec::new();
        write(&mut output, value, Show::Plain, None).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn what_is_read_is_shown_again() {
        for (text, kind, shown) in [
            ("soup", As::Auto, "soup\n"),
            ("soup", As::Bytes, "soup"),
            ("[1, 2]", As::Json, "[1, 2]\n"),
            ("-7", As::Int, "-7\n"),
            ("7", As::Float, "7.0\n"),
            ("true", As::Bool, "true\n"),
            ("none", As::None, "none\n"),
        ] {
            assert_eq!(plain(&read(text.into(), kind).unwrap()), shown);
        }
        assert_eq!(read(vec![0xff], As::Auto).unwrap(), Value::raw(vec![0xff]));
    }

    #[test]
    fn what_is_not_of_its_kind_is_refused() {
        for (bytes, kind, message) in [
            (&b"\xff"[..], As::Text, "expected text in UTF-8"),
            (b"{", As::Json, "expected JSON (EOF"),
            (b"1.5", As::Int, "expected an integer of 64 bits, got \"1.5\""),
            (b"x", As::Float, "expected a number, got \"x\""),
            (b"1", As::Bool, "expected true or false, got \"1\""),
            (b"0", As::None, "expected \"none\" or nothing, got \"0\""),
        ] {
            let error = read(bytes.to_vec(), kind).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn what_only_another_language_can_read_is_described() {
        let pickle =
            Value { descriptor: Descriptor::serialized(Language::Python), bytes: b"\x80\x05N.".to_vec().into() };
        assert_eq!(plain(&pickle), "<serialized Python value, 4 bytes, descriptor 0x01000000>\n");
        assert_eq!(to_json(&pickle)["base64"], "gAVOLg==");
        let unknown = Value { descriptor: Descriptor(0), bytes: b"x".to_vec().into() };
        assert_eq!(plain(&unknown), "<serialized value, 1 bytes, descriptor 0x00000000>\n");
    }

    #[test]
    fn json_tells_the_kind() {
        for (value, expected) in [
            (Value::from("a"), json!({"kind": "text", "value": "a", "size_bytes": 1, "descriptor": 0x0a00_0001})),
            (Value::json("[1]"), json!({"kind": "json", "value": [1], "size_bytes": 3, "descriptor": 0x0a00_0005})),
            (
                Value::from(b"\0\x01"),
                json!({"kind": "bytes", "base64": "AAE=", "size_bytes": 2, "descriptor": 0x0a00_0003}),
            ),
            (Value::from(5), json!({"kind": "int", "value": 5, "size_bytes": 9, "descriptor": 0x0a00_0008})),
            (Value::from(0.5), json!({"kind": "float", "value": 0.5, "size_bytes": 9, "descriptor": 0x0a00_0008})),
            (
                Value::from(f64::INFINITY),
                json!({"kind": "float", "value": "inf", "size_bytes": 9, "descriptor": 0x0a00_0008}),
            ),
            (Value::from(true), json!({"kind": "bool", "value": true, "size_bytes": 1, "descriptor": 0x0a00_0008})),
            (Value::none(), json!({"kind": "none", "value": null, "size_bytes": 1, "descriptor": 0x0a00_0008})),
        ] {
            assert_eq!(to_json(&value), expected);
        }
    }

    #[test]
    fn base_64_is_that_of_rfc_4648() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
