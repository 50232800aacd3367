//! Commands as a shell would take them, on one line.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

/// The command with its arguments quoted where a shell would take them for something else. Neither a
/// newline nor a tab is in it.
pub(super) fn command(words: &[OsString]) -> String {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        add(&mut line, word.as_bytes());
    }
    line
}

fn add(line: &mut String, word: &[u8]) {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_^".contains(byte);
    match std::str::from_utf8(word) {
        Ok(text) if !word.is_empty() && word.iter().all(plain) => line.push_str(text),
        Ok(text) if !text.chars().any(char::is_control) => {
            line.push('\'');
            line.push_str(&text.replace('\'', "'\\''"));
            line.push('\'');
        }
        _ => add_escaped(line, word),
    }
}

/// In the form that bash, zsh and ksh read, with each odd byte by its number.
fn add_escaped(line: &mut String, word: &[u8]) {
    line.push_str("$'");
    for chunk in word.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\n' => line.push_str("\\n"),
                '\t' => line.push_str("\\t"),
                '\'' | '\\' => line.extend(['\\', letter]),
                letter if letter.is_control() => add_numbers(line, letter.encode_utf8(&mut [0; 4]).as_bytes()),
                letter => line.push(letter),
            }
        }
        add_numbers(line, chunk.invalid());
    }
    line.push('\'');
}

fn add_numbers(line: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Three octal digits, so that a digit that follows is not taken for another.
        let _ = write!(line, "\\{byte:03o}");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn commands_are_quoted_only_where_they_must_be() {
        let words = ["echo", "a-b/c.d=e", "", "a b", "it's", "$x", "é"].map(OsString::from);
        assert_eq!(command(&words), "echo a-b/c.d=e '' 'a b' 'it'\\''s' '$x' 'é'");
        assert_eq!(command(&["a\tb\n'\\".into()]), "$'a\\tb\\n\\'\\\\'");
    }

    #[test]
    fn a_shell_reads_them_as_they_were() {
        let mut words: Vec<OsString> = ["printf", "%s|"].map(OsString::from).to_vec();
        words.extend(["", " ", "*", "~", "#x", "!", "a\nb", "\u{7f}1", "\u{85}2", "é\t'"].map(OsString::from));
        words.push(OsString::from_vec((1..=255).collect()));
        words.push(OsString::from_vec(b"\xff1".to_vec()));
        let line = command(&words);
        assert!(!line.contains(['\n', '\t']), "{line}");
        let ran = Command::new("bash").args(["-c", &line]).output().unwrap();
        let mut expected = Vec::new();
        for word in &words[2..] {
            expected.extend(word.as_bytes());
            expected.push(b'|');
        }
        assert!(ran.stdout == expected, "{line}\n{}", String::from_utf8_lossy(&ran.stdout));
    }
}
