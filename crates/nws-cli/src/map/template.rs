//! The command with places for inputs.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Stands for the slot that a job runs in.
const SLOT: &str = "{%}";

/// A command whose arguments have places for inputs.
#[derive(Debug)]
pub(super) struct Template {
    words: Vec<Word>,
}

#[derive(Debug, Default)]
struct Word {
    parts: Vec<Part>,
    /// It is given once for each input of the job.
    repeats: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    JobNumber,
    Slot,
    /// An input; `None`: the one that the word is given for.
    Input(Option<usize>, Form),
}

/// What of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    NoExtension,
    Base,
    Folder,
    BaseNoExtension,
}

impl Template {
    /// Reads a command. `replace` stands for the whole input where it is given, and then nothing
    /// else is a placeholder. With `appends`, a command without a place for an input gets it last.
    pub(super) fn new(words: &[OsString], replace: Option<&OsStr>, appends: bool) -> Result<Self, String> {
        if replace.is_some_and(OsStr::is_empty) {
            return Err("--replace: expected the text that stands for the input, got none".to_owned());
        }
        let mut words: Vec<Word> = words.iter().map(|word| Word::new(word.as_bytes(), replace)).collect();
        let has_place = words.iter().any(|word| word.parts.iter().any(|part| matches!(part, Part::Input(..))));
        if appends && !has_place {
            words.push(Word { parts: vec![Part::Input(None, Form::Whole)], repeats: true });
        }
        Ok(Self { words })
    }

    /// The highest number of an input that is named.
    pub(super) fn highest_input(&self) -> Option<usize> {
        let parts = self.words.iter().flat_map(|word| &word.parts);
        parts.filter_map(|part| if let Part::Input(Some(number), _) = part { Some(*number) } else { None }).max()
    }

    /// Whether all jobs run the same program.
    pub(super) fn has_fixed_program(&self) -> bool {
        self.words.first().is_some_and(|word| word.parts.iter().all(|part| matches!(part, Part::Text(_))))
    }

    /// Whether jobs are told their slots.
    pub(super) fn has_slot(&self) -> bool {
        self.words.iter().any(|word| word.parts.contains(&Part::Slot))
    }

    /// The command of a job, its program first, as it is known before it has a slot.
    pub(super) fn fill(&self, job: u64, inputs: &[Vec<u8>]) -> Vec<OsString> {
        self.fill_with(SLOT, job, inputs)
    }

    /// The same for one that has.
    pub(super) fn fill_with(&self, slot: &str, job: u64, inputs: &[Vec<u8>]) -> Vec<OsString> {
        let mut command = Vec::with_capacity(self.words.len());
        for word in &self.words {
            if word.repeats {
                command.extend(inputs.iter().map(|input| word.fill(slot, job, inputs, input)));
            } else {
                command.push(word.fill(slot, job, inputs, &[]));
            }
        }
        command
    }
}

impl Word {
    fn new(word: &[u8], replace: Option<&OsStr>) -> Self {
        let mut made = Self::default();
        let mut text = Vec::new();
        let mut rest = word;
        while let Some((first, after)) = rest.split_first() {
            let found = match replace {
                Some(replace) => {
                    rest.strip_prefix(replace.as_bytes()).map(|rest| (Part::Input(None, Form::Whole), rest))
                }
                None => placeholder(rest),
            };
            if let Some((part, after)) = found {
                if !text.is_empty() {
                    made.parts.push(Part::Text(std::mem::take(&mut text)));
                }
                made.repeats |= matches!(part, Part::Input(None, _));
                made.parts.push(part);
                rest = after;
            } else {
                text.push(*first);
                rest = after;
            }
        }
        if !text.is_empty() {
            made.parts.push(Part::Text(text));
        }
        made
    }

    fn fill(&self, slot: &str, job: u64, inputs: &[Vec<u8>], input: &[u8]) -> OsString {
        let mut filled = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.extend_from_slice(text),
                Part::Slot => filled.extend_from_slice(slot.as_bytes()),
                Part::JobNumber => filled.extend_from_slice(job.to_string().as_bytes()),
                Part::Input(None, form) => filled.extend_from_slice(form.of(input)),
                // The last job may have fewer inputs than the others.
                Part::Input(Some(number), form) => {
                    filled.extend_from_slice(form.of(inputs.get(number - 1).map_or(&[], |input| input)));
                }
            }
        }
        OsString::from_vec(filled)
    }
}

/// The placeholder that a text begins with, and what follows it.
fn placeholder(text: &[u8]) -> Option<(Part, &[u8])> {
    let inner = text.strip_prefix(b"{")?;
    let end = inner.iter().position(|byte| *byte == b'}')?;
    let (inner, rest) = inner.split_at(end);
    let rest = rest.get(1..).unwrap_or_default();
    if inner == b"#" {
        return Some((Part::JobNumber, rest));
    }
    if inner == b"%" {
        return Some((Part::Slot, rest));
    }
    let digits = inner.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, form) = inner.split_at(digits);
    let number = if number.is_empty() {
        None
    } else {
        Some(std::str::from_utf8(number).ok()?.parse().ok().filter(|number| *number > 0)?)
    };
    let form = match form {
        b"" => Form::Whole,
        b"." => Form::NoExtension,
        b"/" => Form::Base,
        b"//" => Form::Folder,
        b"/." => Form::BaseNoExtension,
        _ => return None,
    };
    Some((Part::Input(number, form), rest))
}

impl Form {
    fn of(self, input: &[u8]) -> &[u8] {
        match self {
            Form::Whole => input,
            Form::NoExtension => input.get(..input.len() - extension(input)).unwrap_or_default(),
            Form::Base => base(input),
            Form::Folder => folder(input),
            Form::BaseNoExtension => {
                let base = base(input);
                base.get(..base.len() - extension(base)).unwrap_or_default()
            }
        }
    }
}

/// The bytes of the extension with its dot. A name that begins with its only dot has none.
fn extension(path: &[u8]) -> usize {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    match name.iter().rposition(|byte| *byte == b'.') {
        Some(place) if name.iter().take(place).any(|byte| *byte != b'.') => name.len() - place,
        _ => 0,
    }
}

fn without_slashes(path: &[u8]) -> &[u8] {
    let kept = path.iter().rposition(|byte| *byte != b'/').map_or(0, |place| place + 1);
    path.get(..kept).unwrap_or_default()
}

fn base(path: &[u8]) -> &[u8] {
    match without_slashes(path) {
        b"" if path.is_empty() => b"",
        b"" => b"/",
        path => path.rsplit(|byte| *byte == b'/').next().unwrap_or_default(),
    }
}

fn folder(path: &[u8]) -> &[u8] {
    let path = match without_slashes(path) {
        b"" if path.is_empty() => return b".",
        b"" => return b"/",
        path => path,
    };
    match path.iter().rposition(|byte| *byte == b'/') {
        None => b".",
        Some(place) => match without_slashes(path.get(..place).unwrap_or_default()) {
            b"" => b"/",
            folder => folder,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(words: &[&str], inputs: &[&str]) -> Vec<String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let inputs: Vec<Vec<u8>> = inputs.iter().map(|input| input.as_bytes().to_vec()).collect();
        let filled = Template::new(&words, None, true).unwrap().fill(7, &inputs);
        filled.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn an_input_is_one_argument_whatever_is_in_it() {
        let nasty = "a b; $(rm -rf /) `x` \"'\n{} {#}";
        assert_eq!(filled(&["echo"], &[nasty]), ["echo", nasty]);
        assert_eq!(filled(&["echo", "<{}>"], &[nasty]), ["echo".to_owned(), format!("<{nasty}>")]);
    }

    #[test]
    fn placeholders_are_parts_of_paths() {
        for (input, expected) in [
            ("a/b.tar.gz", ["a/b.tar", "b.tar.gz", "a", "b.tar"]),
            ("b", ["b", "b", ".", "b"]),
            ("/b.c", ["/b", "b.c", "/", "b"]),
            ("a.d/b", ["a.d/b", "b", "a.d", "b"]),
            ("a/.profile", ["a/.profile", ".profile", "a", ".profile"]),
            ("a//b.c/", ["a//b.c/", "b.c", "a", "b"]),
            ("/", ["/", "/", "/", "/"]),
            ("..", ["..", "..", ".", ".."]),
            ("", ["", "", ".", ""]),
        ] {
            assert_eq!(filled(&["{.}", "{/}", "{//}", "{/.}"], &[input]), expected, "{input:?}");
        }
    }

    #[test]
    fn several_inputs_have_numbers_or_an_argument_each() {
        assert_eq!(filled(&["c", "{2}-{1.}", "{#}"], &["a.x", "b"]), ["c", "b-a", "7"]);
        assert_eq!(filled(&["c", "-f{}", "x"], &["a", "b"]), ["c", "-fa", "-fb", "x"]);
        assert_eq!(filled(&["c"], &["a", "b"]), ["c", "a", "b"]);
        assert_eq!(filled(&["c", "{1}", "{2}"], &["a"]), ["c", "a", ""]);
    }

    #[test]
    fn a_slot_is_filled_in_where_it_is_known() {
        let template = Template::new(&["c".into(), "gpu{%}/{%}".into(), "{}".into()], None, true).unwrap();
        assert!(template.has_slot());
        assert_eq!(template.fill(1, &[b"{%}".to_vec()]), ["c", "gpu{%}/{%}", "{%}"]);
        assert_eq!(template.fill_with("3", 1, &[b"{%}".to_vec()]), ["c", "gpu3/3", "{%}"]);
    }

    #[test]
    fn what_is_no_placeholder_stays() {
        let words = ["{x}", "{0}", "{", "}", "{{}}", "{.", "{99999999999999999999}", "{print}"];
        assert_eq!(filled(&words, &["i"]), ["{x}", "{0}", "{", "}", "{i}", "{.", "{99999999999999999999}", "{print}"]);
    }

    #[test]
    fn another_text_stands_for_the_input_and_nothing_else_does() {
        let words = ["awk", "{}", "{#}", "a@@b"].map(OsString::from);
        let template = Template::new(&words, Some("@@".as_ref()), true).unwrap();
        assert_eq!(template.fill(1, &[b"in".to_vec()]), ["awk", "{}", "{#}", "ainb"]);
        assert!(Template::new(&words, Some("".as_ref()), true).is_err());
    }

    #[test]
    fn nothing_is_appended_for_who_gets_inputs_otherwise() {
        let template = Template::new(&["wc".into(), "{#}".into()], None, false).unwrap();
        assert_eq!(template.fill(3, &[b"in".to_vec()]), ["wc", "3"]);
        assert!(template.has_fixed_program());
        assert!(!Template::new(&["{}".into()], None, true).unwrap().has_fixed_program());
    }
}
