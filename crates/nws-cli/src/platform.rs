//! Everything `unsafe` of this crate.

use std::ptr;

/// Has a thread of the allocator give free memory back to the kernel, so that no other thread stands still
/// meanwhile. Where the allocator cannot, all works but for that.
pub(crate) fn return_memory_in_background() {
    let mut on = true;
    // SAFETY: the name ends with a zero, nothing is to be read, and what is written is the `bool` that the
    // allocator expects under this name.
    unsafe {
        tikv_jemalloc_sys::mallctl(
            c"background_thread".as_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::from_mut(&mut on).cast(),
            size_of::<bool>(),
        );
    }
}
