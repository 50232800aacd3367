//! The compact form of objects: it opens with a tag byte and nests, so that it needs no descriptor.
//!
//! The sleigh's tasks and results are in it, and native values are its tags up to `BIG_INT`. Only exact
//! types are written natively; an instance of a subclass is pickled, so that it comes back as what it
//! was.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};

pub(crate) const NONE: u8 = 0x00;
const FALSE: u8 = 0x01;
const TRUE: u8 = 0x02;
const INT: u8 = 0x03;
const FLOAT: u8 = 0x04;
pub(crate) const BIG_INT: u8 = 0x05;
const TEXT: u8 = 0x06;
const BYTES: u8 = 0x07;
const PICKLE: u8 = 0x08;
const TUPLE: u8 = 0x09;

/// Deepest nesting of tuples that is written or read natively; deeper ones are pickled.
const TUPLE_DEPTH: u32 = 16;

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

/// Appends none, a bool, an int or a float; false where `object` is none of them.
pub(crate) fn encode_scalar(buffer: &mut Vec<u8>, object: &Bound<'_, PyAny>) -> PyResult<bool> {
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
pub(crate) fn exact_text<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a str> {
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

pub(crate) fn pickle<'py>(object: &Bound<'py, PyAny>, dumps: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(dumps.call1((object,))?.cast_into::<PyBytes>()?)
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

/// Whether all items of a list or tuple are of types that are written natively, tuples apart.
#[pyfunction]
fn are_plain(items: &Bound<'_, PyAny>) -> bool {
    match items.cast::<PyList>() {
        Ok(list) => list.iter().all(|item| is_leaf(&item)),
        Err(_) => items.cast::<PyTuple>().is_ok_and(|tuple| tuple.iter_borrowed().all(|item| is_leaf(&item))),
    }
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

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(are_plain, module)?)?;
    module.add_function(wrap_pyfunction!(encode_compact, module)?)?;
    module.add_function(wrap_pyfunction!(decode_compact, module)?)
}
