//! The settings in a file: TOML, one key a setting.

use std::path::{Path, PathBuf};
use std::{fs, io};

use toml::de::{DeTable, DeValue};

use super::table::TABLE;

/// Where the file is looked for where none is named.
pub fn usual_path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("nws/server.toml"))
}

/// A setting that stands in a file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) text: String,
    /// `FILE:LINE`.
    pub(super) place: String,
}

/// What the file sets. The one that is usually there may be missing; one that was named may not.
pub(super) fn read(named: Option<&Path>) -> Result<Vec<Entry>, String> {
    let Some(path) = named.map(Path::to_owned).or_else(usual_path) else { return Ok(Vec::new()) };
    match fs::read_to_string(&path) {
        Ok(text) => entries(&path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(Vec::new()),
        Err(error) => Err(format!("the settings in {} cannot be read: {error}", path.display())),
    }
}

fn entries(path: &Path, text: &str) -> Result<Vec<Entry>, String> {
    let place = |offset: usize| {
        let line = text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
        format!("{}:{line}", path.display())
    };
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        format!("{}: expected TOML: {}", place(offset), error.message())
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let place = place(key.span().start);
        let key: &str = key.get_ref();
        let Some(setting) = TABLE.iter().find(|setting| setting.name == key) else {
            return Err(format!("{place}: there is no setting {key}{}", suggestion(key)));
        };
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().replace('_', ""),
            DeValue::Boolean(value) => value.to_string(),
            other => {
                let expected = (setting.expected)();
                return Err(format!("{place}: {key}: expected {expected}, got a TOML {}", other.type_str()));
            }
        };
        entries.push(Entry { name: setting.name, text, place });
    }
    Ok(entries)
}

/// The setting that was meant, as far as one can guess.
fn suggestion(key: &str) -> String {
    let written = key.to_lowercase().replace('_', "-");
    let nearest = TABLE.iter().map(|setting| setting.name).min_by_key(|name| distance(name, &written));
    match nearest.filter(|name| distance(name, &written) <= 2) {
        Some(name) => format!("; did you mean {name}?"),
        None => format!("; there are {}", TABLE.iter().map(|setting| setting.name).collect::<Vec<_>>().join(", ")),
    }
}

/// How many letters have to be put in, left out or changed to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in one.bytes().enumerate() {
        let mut before = std::mem::replace(&mut row[0], place + 1);
        for (column, wanted) in other.bytes().enumerate() {
            let changed = before + usize::from(letter != wanted);
            before = row[column + 1];
            row[column + 1] = changed.min(before + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String, String)>, String> {
        let entries = entries(Path::new("s.toml"), text)?;
        let mut read: Vec<_> =
            entries.into_iter().map(|entry| (entry.name.to_owned(), entry.text, entry.place)).collect();
        read.sort_by(|a, b| a.2.cmp(&b.2));
        Ok(read)
    }

    #[test]
    fn entries_are_told_with_their_places() {
        let expected =
            [("port", "1_0", "s.toml:2"), ("insecure", "true", "s.toml:3"), ("value-size", "2MiB", "s.toml:5")]
                .map(|(name, text, place)| (name.to_owned(), text.replace('_', ""), place.to_owned()));
        assert_eq!(read("# ours\nport = 1_0\ninsecure = true\n\nvalue-size = \"2MiB\"\n").unwrap(), expected);
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_to_do() {
        for (text, message) in [
            ("port = 1\nprot = 2\n", "s.toml:2: there is no setting prot; did you mean port?"),
            ("web_port = 2\n", "s.toml:1: there is no setting web_port; did you mean web-port?"),
            (
                "port = 1.5\n",
                "s.toml:1: port: expected a port from 1 to 65535, or 0 for any free one, got a TOML float",
            ),
            ("\n[limits]\nport = 1\n", "s.toml:2: there is no setting limits; there are port, web-port, "),
            ("port = 1\nport 2\n", "s.toml:2: expected TOML: "),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
