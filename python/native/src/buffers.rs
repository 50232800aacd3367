//! Memory that Python and the client share: buffers of objects on their way out, and views on values
//! that came in.
//!
//! A value with buffers is a pickle of protocol 5 and the buffers that it leaves out, as "Values with
//! buffers" in `docs/protocol.md` has it. Outgoing ones are sent from where they lie; incoming ones
//! are views on the frame that they came in.

use std::os::raw::c_int;
use std::ptr::NonNull;

use bytes::{BufMut, Bytes, BytesMut};
use nws_client::Pieces;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMemoryView};

use crate::value::SHARED_BYTES;

/// Buffers begin at a multiple of this many bytes, counted from `LEAD_BYTES` before the value.
const ALIGNMENT: usize = 64;
/// What lies before the value in a reply with one value; see `Values` in `docs/protocol.md`. So a
/// buffer is aligned in memory where the reply's payload is.
const LEAD_BYTES: usize = 38;
/// Most buffers of one value.
const MOST_BUFFERS: usize = 1 << 20;

/// Python's memory, lent until this is dropped, which needs no interpreter.
struct Lent {
    address: NonNull<u8>,
    length: usize,
    /// A memoryview, which nobody else has and so nobody releases.
    _keeper: Py<PyAny>,
}

// SAFETY: the memory stays where it is as long as the memoryview lives, and is only read.
unsafe impl Send for Lent {}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: a contiguous buffer of this length, exported while `_keeper` lives. Another thread of
        // Python's may write to it meanwhile, as with any `write` of such a buffer: then what is sent
        // is a mixture, which the docs of `store` forbid.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.length) }
    }
}

/// The bytes of an object that has some: shared where they are many, else copied.
pub(crate) fn lend(object: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let view = PyMemoryView::from(object)?;
    // Any shape and type, as long as it is in one piece.
    let view = view.call_method1("cast", ("B",))?;
    let buffer = PyBuffer::<u8>::get(&view)?;
    let (Some(address), length) = (NonNull::new(buffer.buf_ptr().cast::<u8>()), buffer.len_bytes()) else {
        return Ok(Bytes::new());
    };
    let lent = Lent { address, length, _keeper: view.unbind() };
    Ok(if length < SHARED_BYTES { Bytes::copy_from_slice(lent.as_ref()) } else { Bytes::from_owner(lent) })
}

/// The value of a pickle and the buffers that it leaves out.
pub(crate) fn join(pickle: Bytes, buffers: Vec<Bytes>) -> PyResult<Pieces> {
    if buffers.len() > MOST_BUFFERS {
        let got = buffers.len();
        return Err(PyValueError::new_err(format!("expected at most {MOST_BUFFERS} buffers in one value, got {got}")));
    }
    let mut head = BytesMut::with_capacity(4 + 8 + 16 * buffers.len());
    head.put_u32_le(buffers.len() as u32);
    head.put_u64_le(pickle.len() as u64);
    let mut end = 4 + 8 + 16 * buffers.len() + pickle.len();
    let mut rest = vec![pickle];
    for buffer in buffers {
        let padding = (ALIGNMENT - (LEAD_BYTES + end) % ALIGNMENT) % ALIGNMENT;
        head.put_u64_le((end + padding) as u64);
        head.put_u64_le(buffer.len() as u64);
        end += padding + buffer.len();
        rest.push(Bytes::from_static(&[0; ALIGNMENT]).slice(..padding));
        rest.push(buffer);
    }
    Ok(Pieces::new(head.freeze(), rest))
}

/// The object of a value with buffers. The buffers are views on the value, which can be written to:
/// where somebody else has the value too, on a copy of it.
pub(crate) fn load<'py>(py: Python<'py>, value: Bytes, loads: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let mut value = value.try_into_mut().unwrap_or_else(|shared| {
        let mut copy = BytesMut::with_capacity(LEAD_BYTES + shared.len());
        copy.put_bytes(0, LEAD_BYTES);
        copy.put_slice(&shared);
        copy.split_off(LEAD_BYTES)
    });
    let (pickle_bytes, places) = places(&value)?;
    let mut at = 0;
    let mut next = |start: usize, length: usize| -> PyResult<BytesMut> {
        let skipped = start.checked_sub(at).filter(|skipped| *skipped <= value.len());
        let skipped = skipped.ok_or_else(|| malformed("buffers in order"))?;
        drop(value.split_to(skipped));
        if length > value.len() {
            return Err(malformed("buffers that end with the value"));
        }
        at = start + length;
        Ok(value.split_to(length))
    };
    let pickle = Buffer::writable(next(12 + 16 * places.len(), pickle_bytes)?);
    let buffers = PyList::empty(py);
    for (start, length) in places {
        buffers.append(PyMemoryView::from(Bound::new(py, Buffer::writable(next(start, length)?))?.as_any())?)?;
    }
    let named = PyDict::new(py);
    named.set_item("buffers", buffers)?;
    loads.call((Bound::new(py, pickle)?,), Some(&named))
}

/// The length of the pickle, and where each buffer begins and how long it is.
fn places(value: &[u8]) -> PyResult<(usize, Vec<(usize, usize)>)> {
    let (count, rest) = value.split_first_chunk::<4>().ok_or_else(|| malformed("a count of buffers"))?;
    let count = u32::from_le_bytes(*count) as usize;
    if count > MOST_BUFFERS {
        return Err(malformed("fewer buffers"));
    }
    let (pickle, rest) = number(rest)?;
    let mut rest = rest;
    let mut places = Vec::with_capacity(count.min(rest.len() / 16));
    for _ in 0..count {
        let (start, after) = number(rest)?;
        let (length, after) = number(after)?;
        places.push((start, length));
        rest = after;
    }
    Ok((pickle, places))
}

fn number(bytes: &[u8]) -> PyResult<(usize, &[u8])> {
    let (field, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| malformed("a number of eight bytes"))?;
    let number = usize::try_from(u64::from_le_bytes(*field)).ok().filter(|number| *number <= isize::MAX as usize);
    Ok((number.ok_or_else(|| malformed("a place within the value"))?, rest))
}

fn malformed(expected: &str) -> PyErr {
    PyValueError::new_err(format!("malformed value: expected {expected}"))
}

/// Bytes that came from the server, as a buffer.
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct Buffer {
    address: NonNull<u8>,
    length: usize,
    writable: bool,
    _memory: Memory,
}

enum Memory {
    Own { _bytes: BytesMut },
    Shared { _bytes: Bytes },
}

// SAFETY: from here on only Python touches the memory, by its own rules; Rust frees it, once.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Nobody else has these bytes.
    fn writable(mut bytes: BytesMut) -> Self {
        let address = NonNull::new(bytes.as_mut_ptr()).unwrap_or(NonNull::dangling());
        Self { address, length: bytes.len(), writable: true, _memory: Memory::Own { _bytes: bytes } }
    }

    pub(crate) fn readonly(bytes: Bytes) -> Self {
        let address = NonNull::new(bytes.as_ptr().cast_mut()).unwrap_or(NonNull::dangling());
        Self { address, length: bytes.len(), writable: false, _memory: Memory::Shared { _bytes: bytes } }
    }
}

#[pymethods]
impl Buffer {
    fn __len__(&self) -> usize {
        self.length
    }

    /// A view on the memory, which lives as long as the view.
    ///
    /// # Safety
    /// `view` is null or to be filled, as Python has it.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("expected a view to fill, got none"));
        }
        let buffer = slf.get();
        let (address, length) = (buffer.address.as_ptr().cast(), buffer.length as ffi::Py_ssize_t);
        // SAFETY: the view is Python's; it takes a reference to this object, which is frozen and keeps
        // the memory where it is.
        match unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), address, length, (!buffer.writable).into(), flags) } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }
}

/// The bytes of an object for the encoding that is called so.
pub(crate) fn raw_bytes(object: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    lend(object).map_err(|cause| {
        let py = object.py();
        let got = object.get_type().name().map_or_else(|_| String::from("an object"), |name| name.to_string());
        let expected = "expected bytes, or an object with its bytes in one piece, for the encoding 'bytes'";
        let error = PyTypeError::new_err(format!("{expected}, got {got}"));
        error.set_cause(py, Some(cause));
        error
    })
}
