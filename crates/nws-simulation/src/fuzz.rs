//! What the fuzzers run around the whole server.

/// The bytes choose what clients do and what happens to them; the server keeps every promise.
///
/// # Panics
/// Where it does not.
pub fn simulation(bytes: &[u8]) {
    if let Err(wrong) = crate::replay(bytes, 400) {
        panic!("{wrong}");
    }
}
