//! Names of workspaces and variables, which are bytes, on a command line and on a screen.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The bytes that were typed.
pub(crate) fn bytes(name: &OsStr) -> &[u8] {
    name.as_bytes()
}

/// For people: nothing in it moves the cursor or ends the line.
pub(crate) fn shown(name: &[u8]) -> String {
    let mut shown = String::with_capacity(name.len());
    for letter in String::from_utf8_lossy(name).chars() {
        if letter.is_control() { shown.extend(letter.escape_default()) } else { shown.push(letter) }
    }
    shown
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_shown_on_one_line() {
        assert_eq!(super::shown("väl\n\x1b[1m\t".as_bytes()), "väl\\n\\u{1b}[1m\\t");
        assert_eq!(super::shown(b"\xff"), "\u{fffd}");
    }
}
