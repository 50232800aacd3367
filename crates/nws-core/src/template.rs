//! The names of temporary workspaces.

use alloc::format;
use alloc::vec::Vec;

/// Widest field that a template may ask for.
const WIDTH_MAX: usize = 1024;

/// Puts `number` into a printf template with exactly one integer conversion: `%d` or `%i`, with
/// flag `0` and a width if wanted; `%%` is a percent sign. `None` for any other template.
pub(crate) fn fill(template: &[u8], number: u64) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(template.len() + 8);
    let mut conversions = 0;
    let mut rest = template.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            name.push(byte);
            continue;
        }
        let mut next = rest.next()?;
        if next == b'%' {
            name.push(b'%');
            continue;
        }
        let zeros = next == b'0';
        let mut width = 0;
        while next.is_ascii_digit() {
            width = width * 10 + usize::from(next - b'0');
            if width > WIDTH_MAX {
                return None;
            }
            next = rest.next()?;
        }
        if !matches!(next, b'd' | b'i') {
            return None;
        }
        conversions += 1;
        let field = if zeros { format!("{number:0width$}") } else { format!("{number:width$}") };
        name.extend_from_slice(field.as_bytes());
    }
    (conversions == 1).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn a_template_with_one_integer_conversion_is_filled() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"__ws__%d", b"__ws__42"),
            (b"%i", b"42"),
            (b"a%04db", b"a0042b"),
            (b"%010d", b"0000000042"),
            (b"%5d", b"   42"),
            (b"100%%-%d", b"100%-42"),
            (b"\xff%d\x00", b"\xff42\x00"),
        ];
        for (template, expected) in cases {
            assert_eq!(fill(template, 42).as_deref(), Some(expected), "{}", template.escape_ascii());
        }
    }

    #[test]
    fn any_other_template_is_refused() {
        let cases: [&[u8]; 11] =
            [b"", b"plain", b"%d%d", b"%s", b"%", b"%5", b"%d%", b"%%d", b"%1025d", b"%ld", b"%99999999999999999999d"];
        for template in cases {
            assert_eq!(fill(template, 1), None, "{}", template.escape_ascii());
        }
    }
}
