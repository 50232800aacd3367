//! How a Python object becomes bytes, and back.
//!
//! Two forms. The *compact* one opens with a tag byte and nests, so that it needs no descriptor:
//! the sleigh's tasks and results use it. The *wire* one is an [`Item`] as every client stores it:
//! text and raw bytes are what they are under their descriptor, and none, bool, int and float are
//! the compact form under the descriptor for native values. What has large buffers is a pickle with
//! them beside it: see `buffers`.
//!
//! Only exact types are written natively; an instance of a subclass is pickled, so that it comes
//! back as what it was.

use bytes::Bytes;
use nws_client::Pieces;
use nws_proto::{Descriptor, Item, Language};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple};

use crate::buffers;

const NONE: u8 = 0x00;
const FALSE: u8 = 0x01;
const TRUE: u8 = 0x02;
const INT: u8 = 0x03;
const FLOAT: u8 = 0x04;
const BIG_INT: u8 = 0x05;
const TEXT: u8 = 0x06;
const BYTES: u8 = 0x07;
const PICKLE: u8 = 0x08;
const TUPLE: u8 = 0x09;

/// Deepest nesting of tuples that is written or read natively; deeper ones are pickled.
const TUPLE_DEPTH: u32 = 16;
/// From this size on, bytes that Python owns are shared with the client rather than copied.
pub(crate) const SHARED_BYTES: usize = 4096;

/// How a value is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// So that Python gets it back as it was.
    Python,
    /// As JSON text, for every language.
    Json,
    /// As text, for every language.
    Text,
    /// As raw bytes, for every language.
    Bytes,
    /// As a tagged none, bool, int or float, for every language.
    Native,
}

impl Encoding {
    /// The encoding of this name; none is Python's.
    pub(crate) fn of_name(name: Option<&str>) -> PyResult<Self> {
        Ok(match name {
            None => Encoding::Python,
            Some("json") => Encoding::Json,
            Some("text") => Encoding::Text,
            Some("bytes") => Encoding::Bytes,
            Some("native") => Encoding::Native,
            Some(other) => {
                let message =
                    format!("expected the encoding 'json', 'text', 'bytes' or 'native', or None, got '{other}'");
                return Err(PyValueError::new_err(message));
            }
        })
    }
}

/// The function `loads` of `nws._pickle`.
pub(crate) fn loads(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(LOADS.get_or_try_init(py, || function(py, "nws._pickle", "loads"))?.bind(py))
}

/// The function `dumps_with_buffers` of `nws._pickle`: a pickle, and a list of the large buffers that
/// it leaves out.
fn dumps_with_buffers(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(DUMPS.get_or_try_init(py, || function(py, "nws._pickle", "dumps_with_buffers"))?.bind(py))
}

fn function(py: Python<'_>, module: &str, name: &str) -> PyResult<Py<PyAny>> {
    Ok(py.import(module)?.getattr(name)?.unbind())
}

/// Appends the compact form of `object`. `dumps` makes `bytes` of what is not native.
pub(crate) fn encode_into(buffer: &mut Vec<u8>, object: &Bound<'_, PyAny>, dumps: &Bound<'_, PyAny>) -> PyResult<()> {
    if encode_scalar(buffer, object)? {
        return Ok(());
    }
    if let Some(text) = exact_text(object) {
        buffer.push(TEXT);
        buffer.extend_from_slice(text.as_bytes());
    } else if object.is_exact_instance_of::<PyBytes>() {
        buffer.push(BYTES);
        buffer.extend_from_slice(object.cast::<PyBytes>()?.as_bytes());
    } else if object.is_exact_instance_of::<PyTuple>() && pickled_items(object, 0)? <= 1 {
        encode_tuple(buffer, object.cast::<PyTuple>()?, dumps)?;
    } else {
        buffer.push(PICKLE);
        buffer.extend_from_slice(pickle(object, dumps)?.as_bytes());
    }
    Ok(())
}

/// Reads the compact form. `loads` reads a pickle.
pub(crate) fn decode<'py>(py: Python<'py>, bytes: &[u8], loads: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    decode_nested(py, bytes, loads, 0)
}

/// The wire form of `object`.
pub(crate) fn encode_item(object: &Bound<'_, PyAny>, encoding: Encoding) -> PyResult<Item<Pieces>> {
    if encoding != Encoding::Python {
        let Item { descriptor, value } = encode_neutral(object, encoding)?;
        return Ok(Item { descriptor, value: value.into() });
    }
    if let Some(Item { descriptor, value }) = encode_plain(object)? {
        return Ok(Item { descriptor, value: value.into() });
    }
    let py = object.py();
    let (pickle, buffers) =
        dumps_with_buffers(py)?.call1((object,))?.extract::<(Bound<'_, PyBytes>, Vec<Bound<'_, PyAny>>)>()?;
    if buffers.is_empty() {
        return Ok(Item { descriptor: Descriptor::serialized(Language::Python), value: shared(&pickle).into() });
    }
    let buffers = buffers.iter().map(buffers::lend).collect::<PyResult<_>>()?;
    let descriptor = Descriptor::serialized_with_buffers(Language::Python);
    Ok(Item { descriptor, value: buffers::join(shared(&pickle), buffers)? })
}

/// The wire form of what needs no pickle.
fn encode_plain(object: &Bound<'_, PyAny>) -> PyResult<Option<Item<Bytes>>> {
    let mut buffer = Vec::new();
    let item = |descriptor, value| Some(Item { descriptor, value });
    Ok(if encode_scalar(&mut buffer, object)? {
        item(Descriptor::native(Language::Python), buffer.into())
    } else if let Some(text) = exact_text(object) {
        item(Descriptor::text(Language::Python), Bytes::copy_from_slice(text.as_bytes()))
    } else if object.is_exact_instance_of::<PyBytes>() {
        item(Descriptor::bytes(Language::Python), shared(object.cast::<PyBytes>()?))
    } else {
        None
    })
}

/// The wire form that the user has chosen. Nothing is converted but by JSON: what does not fit is an
/// error.
fn encode_neutral(object: &Bound<'_, PyAny>, encoding: Encoding) -> PyResult<Item<Bytes>> {
    let wrong = |expected: &str| {
        let got = object.get_type().name().map_or_else(|_| String::from("an object"), |name| name.to_string());
        PyTypeError::new_err(format!("expected {expected}, got {got}"))
    };
    let (descriptor, value): (_, Bytes) = match encoding {
        Encoding::Json => {
            let text = json_dumps(object.py())?.call1((object,))?;
            let text = text.cast::<PyString>()?.to_str()?;
            (Descriptor::json(Language::Python), Bytes::copy_from_slice(text.as_bytes()))
        }
        Encoding::Text => {
            let text = object.cast::<PyString>().map_err(|_| wrong("a str for the encoding 'text'"))?;
            (Descriptor::text(Language::Python), Bytes::copy_from_slice(text.to_str()?.as_bytes()))
        }
        Encoding::Bytes => (Descriptor::bytes(Language::Python), buffers::raw_bytes(object)?),
        Encoding::Native | Encoding::Python => {
            let mut buffer = Vec::new();
            if !encode_scalar(&mut buffer, object)? {
                return Err(wrong("None, a bool, an int or a float for the encoding 'native'"));
            }
            (Descriptor::native(Language::Python), buffer.into())
        }
    };
    Ok(Item { descriptor, value })
}

/// The object that an item stands for. Text that is not UTF-8, and what another language
/// serialized its own way, come as `bytes`.
pub(crate) fn decode_item<'py>(
    py: Python<'py>,
    item: Item<Bytes>,
    loads: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let descriptor = item.descriptor;
    if descriptor == Descriptor::serialized_with_buffers(Language::Python) {
        return buffers::load(py, item.value, loads);
    }
    let bytes = &item.value;
    let as_bytes = || Ok(PyBytes::new(py, bytes).into_any());
    if descriptor.is_native() {
        return match bytes.first() {
            Some(NONE..=BIG_INT) => decode(py, bytes, loads),
            _ => Err(PyValueError::new_err("expected a native value of tag 0 to 5; it was written by a newer version")),
        };
    }
    if descriptor.is_bytes() {
        return as_bytes();
    }
    if descriptor.is_string() {
        return match core::str::from_utf8(bytes) {
            Ok(text) if descriptor.is_json() => json_loads(py)?.call1((text,)),
            Ok(text) => Ok(PyString::new(py, text).into_any()),
            Err(_) => as_bytes(),
        };
    }
    if descriptor == Descriptor::serialized(Language::Python) {
        return loads.call1((PyBytes::new(py, bytes),));
    }
    as_bytes()
}

/// What a descriptor says, for people.
pub(crate) fn kind(descriptor: Descriptor) -> &'static str {
    if descriptor.is_json() {
        "json"
    } else if descriptor.is_bytes() {
        "bytes"
    } else if descriptor.is_string() {
        "text"
    } else if descriptor.is_native() {
        "native"
    } else if descriptor == Descriptor::serialized(Language::Python)
        || descriptor == Descriptor::serialized_with_buffers(Language::Python)
    {
        "pickle"
    } else {
        "other"
    }
}

/// Appends none, a bool, an int or a float; false where `object` is none of them.
fn encode_scalar(buffer: &mut Vec<u8>, object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if object.is_exact_instance_of::<PyInt>() {
        match object.extract::<i64>() {
            Ok(number) => {
                buffer.push(INT);
                buffer.extend_from_slice(&number.to_le_bytes());
            }
            Err(_) => {
                buffer.push(BIG_INT);
                buffer.extend_from_slice(big_int_bytes(object)?.as_bytes());
            }
        }
    } else if object.is_exact_instance_of::<PyFloat>() {
        buffer.push(FLOAT);
        buffer.extend_from_slice(&object.cast::<PyFloat>()?.value().to_le_bytes());
    } else if object.is_none() {
        buffer.push(NONE);
    } else if object.is_exact_instance_of::<PyBool>() {
        buffer.push(if object.cast::<PyBool>()?.is_true() { TRUE } else { FALSE });
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// The UTF-8 of an exact `str`. One that holds surrogates has none and is pickled.
fn exact_text<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    if object.is_exact_instance_of::<PyString>() { object.cast::<PyString>().ok()?.to_str().ok() } else { None }
}

/// How many items in a tuple, its tuples included, would be pickled. Two or more may share
/// objects, which only one pickle of them all preserves.
fn pickled_items(object: &Bound<'_, PyAny>, depth: u32) -> PyResult<u32> {
    if depth == TUPLE_DEPTH {
        return Ok(2);
    }
    let mut count = 0;
    for item in object.cast::<PyTuple>()?.iter_borrowed() {
        if item.is_exact_instance_of::<PyTuple>() {
            count += pickled_items(&item, depth + 1)?;
        } else if !is_leaf(&item) {
            count += 1;
        }
        if count > 1 {
            break;
        }
    }
    Ok(count)
}

fn is_leaf(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyString>()
        || object.is_none()
        || object.is_exact_instance_of::<PyBool>()
        || object.is_exact_instance_of::<PyBytes>()
}

fn encode_tuple(buffer: &mut Vec<u8>, tuple: &Bound<'_, PyTuple>, dumps: &Bound<'_, PyAny>) -> PyResult<()> {
    let too_long = |_| PyValueError::new_err("expected a tuple of less than 4 GiB");
    buffer.push(TUPLE);
    buffer.extend_from_slice(&u32::try_from(tuple.len()).map_err(too_long)?.to_le_bytes());
    for item in tuple.iter_borrowed() {
        let at = buffer.len();
        buffer.extend_from_slice(&[0; 4]);
        encode_into(buffer, &item, dumps)?;
        let length = u32::try_from(buffer.len() - at - 4).map_err(too_long)?;
        if let Some(field) = buffer.get_mut(at..at + 4) {
            field.copy_from_slice(&length.to_le_bytes());
        }
    }
    Ok(())
}

fn decode_nested<'py>(
    py: Python<'py>,
    bytes: &[u8],
    loads: &Bound<'py, PyAny>,
    depth: u32,
) -> PyResult<Bound<'py, PyAny>> {
    let Some((tag, payload)) = bytes.split_first() else {
        return Err(malformed("a tag byte"));
    };
    Ok(match (*tag, payload.len()) {
        (NONE, 0) => py.None().into_bound(py),
        (FALSE, 0) => PyBool::new(py, false).to_owned().into_any(),
        (TRUE, 0) => PyBool::new(py, true).to_owned().into_any(),
        (INT, 8) => i64::from_le_bytes(eight(payload)?).into_pyobject(py)?.into_any(),
        (FLOAT, 8) => PyFloat::new(py, f64::from_le_bytes(eight(payload)?)).into_any(),
        (BIG_INT, _) => big_int(py, payload)?,
        (TEXT, _) => PyString::new(py, core::str::from_utf8(payload).map_err(|_| malformed("UTF-8"))?).into_any(),
        (BYTES, _) => PyBytes::new(py, payload).into_any(),
        (PICKLE, _) => loads.call1((PyBytes::new(py, payload),))?,
        (TUPLE, _) if depth < TUPLE_DEPTH => decode_tuple(py, payload, loads, depth)?,
        _ => return Err(malformed("a tag from 0 to 9 with a payload of its length")),
    })
}

fn decode_tuple<'py>(
    py: Python<'py>,
    payload: &[u8],
    loads: &Bound<'py, PyAny>,
    depth: u32,
) -> PyResult<Bound<'py, PyAny>> {
    let (count, mut rest) = split_u32(payload)?;
    if count > rest.len() / 4 {
        return Err(malformed("as many items as the tuple's count says"));
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, tail) = split_u32(rest)?;
        let (item, tail) = tail.split_at_checked(length).ok_or_else(|| malformed("an item of its length"))?;
        items.push(decode_nested(py, item, loads, depth + 1)?);
        rest = tail;
    }
    if !rest.is_empty() {
        return Err(malformed("the end of the tuple"));
    }
    Ok(PyTuple::new(py, items)?.into_any())
}

fn split_u32(bytes: &[u8]) -> PyResult<(usize, &[u8])> {
    let (field, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| malformed("a count of four bytes"))?;
    Ok((u32::from_le_bytes(*field) as usize, rest))
}

fn eight(payload: &[u8]) -> PyResult<[u8; 8]> {
    payload.try_into().map_err(|_| malformed("eight bytes"))
}

fn malformed(expected: &str) -> PyErr {
    PyValueError::new_err(format!("malformed value: expected {expected}"))
}

fn pickle<'py>(object: &Bound<'py, PyAny>, dumps: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(dumps.call1((object,))?.cast_into::<PyBytes>()?)
}

/// Python's own memory where it is worth it: the client may let go of it on any thread.
fn shared(bytes: &Bound<'_, PyBytes>) -> Bytes {
    if bytes.as_bytes().len() < SHARED_BYTES {
        Bytes::copy_from_slice(bytes.as_bytes())
    } else {
        Bytes::from_owner(PyBackedBytes::from(bytes.clone()))
    }
}

fn big_int_bytes<'py>(number: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = number.py();
    let bits: usize = number.call_method0("bit_length")?.extract()?;
    let signed = pyo3::types::PyDict::new(py);
    signed.set_item("signed", true)?;
    let bytes = number.call_method("to_bytes", (bits / 8 + 1, "little"), Some(&signed))?;
    Ok(bytes.cast_into::<PyBytes>()?)
}

fn big_int<'py>(py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let signed = pyo3::types::PyDict::new(py);
    signed.set_item("signed", true)?;
    py.get_type::<PyInt>().call_method("from_bytes", (PyBytes::new(py, payload), "little"), Some(&signed))
}

fn json_loads(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(LOADS.get_or_try_init(py, || function(py, "json", "loads"))?.bind(py))
}

fn json_dumps(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(DUMPS.get_or_try_init(py, || function(py, "nws._pickle", "json_text"))?.bind(py))
}

/// The compact form of an object.
#[pyfunction]
fn encode_compact<'py>(object: &Bound<'py, PyAny>, dumps: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let mut buffer = Vec::new();
    encode_into(&mut buffer, object, dumps)?;
    Ok(PyBytes::new(object.py(), &buffer))
}

/// The object of a compact form.
#[pyfunction]
fn decode_compact<'py>(data: &Bound<'py, PyBytes>, loads: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    decode(data.py(), data.as_bytes(), loads)
}

/// The descriptor and bytes that a client stores for an object.
#[pyfunction]
fn encode_value<'py>(object: &Bound<'py, PyAny>, dumps: &Bound<'py, PyAny>) -> PyResult<(u32, Bound<'py, PyBytes>)> {
    let item = match encode_plain(object)? {
        Some(item) => item,
        None => {
            let descriptor = Descriptor::serialized(Language::Python);
            Item { descriptor, value: shared(&pickle(object, dumps)?) }
        }
    };
    Ok((item.descriptor.0, PyBytes::new(object.py(), &item.value)))
}

/// The object of a descriptor and bytes.
#[pyfunction]
fn decode_value<'py>(
    descriptor: u32,
    data: &Bound<'py, PyBytes>,
    loads: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let item = Item { descriptor: Descriptor(descriptor), value: Bytes::copy_from_slice(data.as_bytes()) };
    decode_item(data.py(), item, loads)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(encode_compact, module)?)?;
    module.add_function(wrap_pyfunction!(decode_compact, module)?)?;
    module.add_function(wrap_pyfunction!(encode_value, module)?)?;
    module.add_function(wrap_pyfunction!(decode_value, module)?)
}
