//! Raw bytes in the types that hold them in one piece: serde would hand them over one by one.

use std::any::{Any, TypeId};

use bytes::Bytes;

use crate::Value;

/// The bytes of a `T` that is one of these types.
pub(super) fn of<T>(object: &T) -> Option<&[u8]> {
    let this = typeid::of::<T>();
    // SAFETY: each type is only read as itself, but for a lifetime that is cut to that of `object`.
    unsafe {
        if this == TypeId::of::<Vec<u8>>() {
            Some(read::<T, Vec<u8>>(object))
        } else if this == TypeId::of::<&Vec<u8>>() {
            Some(*read::<T, &Vec<u8>>(object))
        } else if this == TypeId::of::<&[u8]>() {
            Some(*read::<T, &[u8]>(object))
        } else if this == TypeId::of::<Box<[u8]>>() {
            Some(read::<T, Box<[u8]>>(object))
        } else if this == TypeId::of::<[u8; 0]>() || this == TypeId::of::<&[u8; 0]>() {
            Some(&[])
        } else {
            None
        }
    }
}

/// # Safety
/// `T` is `U`, but for lifetimes that are at least those of `object`.
unsafe fn read<T, U>(object: &T) -> &U {
    // SAFETY: so the caller promises.
    unsafe { &*std::ptr::from_ref(object).cast::<U>() }
}

/// A `T` of raw bytes, where it is one of these types.
pub(super) fn read_as<T: 'static>(value: &Value) -> Option<T> {
    let bytes = value.as_raw()?;
    let mut object: Option<T> = None;
    let slot: &mut dyn Any = &mut object;
    if let Some(slot) = slot.downcast_mut::<Option<Vec<u8>>>() {
        *slot = Some(bytes.to_vec());
    } else if let Some(slot) = slot.downcast_mut::<Option<Bytes>>() {
        *slot = Some(value.bytes.clone());
    }
    object
}
