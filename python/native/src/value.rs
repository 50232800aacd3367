//! How a Python object becomes an [`Item`] as every client stores it, and back.
//!
//! Text and raw bytes are what they are under their descriptor; none, bool, int and float are the
//! compact form (see `compact`) under the descriptor for native values. What has large buffers is a
//! pickle with them beside it (see `buffers`), and anything else a pickle.

use bytes::Bytes;
use nws_client::Pieces;
use nws_proto::{Descriptor, Item, Language};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString};

use crate::buffers;
use crate::compact::{self, BIG_INT, NONE, encode_scalar, exact_text, pickle};

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
            Some(NONE..=BIG_INT) => compact::decode(py, bytes, loads),
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

/// Python's own memory where it is worth it: the client may let go of it on any thread.
pub(crate) fn shared(bytes: &Bound<'_, PyBytes>) -> Bytes {
    if bytes.as_bytes().len() < SHARED_BYTES {
        Bytes::copy_from_slice(bytes.as_bytes())
    } else {
        Bytes::from_owner(PyBackedBytes::from(bytes.clone()))
    }
}

fn json_loads(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(LOADS.get_or_try_init(py, || function(py, "json", "loads"))?.bind(py))
}

fn json_dumps(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(DUMPS.get_or_try_init(py, || function(py, "nws._pickle", "json_text"))?.bind(py))
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
    module.add_function(wrap_pyfunction!(encode_value, module)?)?;
    module.add_function(wrap_pyfunction!(decode_value, module)?)
}
