//! Values of other languages, told by a helper of that language.
//!
//! A babelfish owns the workspace `Python babelfish` (`R babelfish`, ...) and answers each value that
//! is stored in its variable `food` with a text in `doof`. Neither carries a name, so those who ask
//! take turns, and one starts only while the helper waits for food: nobody gets another's text.

use std::thread;
use std::time::{Duration, Instant};

use nws_client::blocking::{Server, Workspace};
use nws_client::{Error, Value};
use nws_proto::{ErrorCode, Language, OpenMode};

/// How long one value may take, with all that comes before it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Longer values are not sent to a helper, which would have to hold them in memory.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// So much of a text is shown.
const MOST_CHARS: usize = 20_000;
/// Between two looks at a helper that is busy: the server tells nobody that somebody waits.
const LOOK: Duration = Duration::from_millis(10);

/// Asks helpers. One that did not answer in time is not asked again.
#[derive(Debug)]
pub(crate) struct Babelfish {
    server: Server,
    silent: Vec<Language>,
}

/// Why a value has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untold {
    /// There is nothing to ask: the value is too long, or nobody serves such values.
    NotAsked,
    /// No helper for this language runs.
    NoHelper(Language),
    /// One runs and said nothing in time.
    Silent(Language),
}

impl Babelfish {
    pub(crate) fn new(server: Server) -> Self {
        Self { server, silent: Vec::new() }
    }

    /// The value as its own language writes it.
    pub(crate) fn text(&mut self, value: &Value) -> Result<String, Untold> {
        let language = Language::from_code(value.descriptor.language());
        let (Some(language), true) = (language, value.bytes.len() <= MOST_BYTES) else { return Err(Untold::NotAsked) };
        let space = workspace_name(language).ok_or(Untold::NotAsked)?;
        if self.silent.contains(&language) {
            return Err(Untold::Silent(language));
        }
        match self.ask(space, value) {
            Ok(text) => Ok(printable(&text)),
            Err(Error::Fault(fault)) if fault.code == ErrorCode::NoSuchWorkspace => Err(Untold::NoHelper(language)),
            Err(_) => {
                self.silent.push(language);
                Err(Untold::Silent(language))
            }
        }
    }

    fn ask(&self, space: &str, value: &Value) -> Result<String, Error> {
        let until = Instant::now() + PATIENCE;
        let space = self.server.open_with(space, OpenMode::Use, false)?;
        let turn = Turn::take(&self.server, space.name(), until)?;
        wait_until_hungry(&space, until)?;
        // Texts that those before us did not wait for.
        while !space.fetch_many_try::<Value>("doof", 1000)?.is_empty() {}
        space.store("food", value)?;
        let text = space.fetch_timeout::<Value>("doof", until.saturating_duration_since(Instant::now()));
        if text.is_err() {
            // Nobody shall read what nobody waits for.
            let _ = space.fetch_try::<Value>("food");
        }
        drop(turn);
        text.map(|text| String::from_utf8_lossy(&text.bytes).into_owned())
    }
}

impl Untold {
    /// What to do about it, for people.
    pub(crate) fn advice(self) -> Option<String> {
        match self {
            Untold::NotAsked => None,
            Untold::NoHelper(Language::Python) => Some("start pybabelfish to see it".to_owned()),
            Untold::NoHelper(language) => Some(format!("no {} runs", workspace_name(language).unwrap_or("helper"))),
            Untold::Silent(language) => {
                let name = workspace_name(language).unwrap_or("helper");
                Some(format!("the {name} does not answer"))
            }
        }
    }
}

/// The workspace of a language's helper, by its documented name.
fn workspace_name(language: Language) -> Option<&'static str> {
    Some(match language {
        Language::Python => "Python babelfish",
        Language::Matlab => "Matlab babelfish",
        Language::R => "R babelfish",
        Language::Perl => "Perl babelfish",
        Language::Ruby => "Ruby babelfish",
        Language::Octave => "Octave babelfish",
        Language::Java => "Java babelfish",
        Language::CSharp => "CSharp babelfish",
        Language::ObjectiveC => "ObjC babelfish",
        Language::Rust => return None,
    })
}

/// Who owns a workspace of this name has the turn. It goes with whoever has it, however that one ends.
struct Turn<'a> {
    server: &'a Server,
    name: Vec<u8>,
}

impl<'a> Turn<'a> {
    fn take(server: &'a Server, space: &[u8], until: Instant) -> Result<Self, Error> {
        let name = [space, b" turn"].concat();
        loop {
            let turn = server.open(&name)?;
            if turn.is_owned() {
                return Ok(Self { server, name });
            }
            // Nothing is ever stored there: the wait ends with the workspace.
            match turn.find_timeout::<Value>("end", until.saturating_duration_since(Instant::now())) {
                Err(Error::Fault(fault)) if fault.code == ErrorCode::WorkspaceGone => {}
                Err(error) => return Err(error),
                Ok(_) => return Err(Error::TimedOut),
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Where the connection has ended, so has the turn.
        let _ = self.server.delete_workspace(&self.name);
    }
}

/// Until a helper waits for food. It answers what it took before it asks for more.
fn wait_until_hungry(space: &Workspace, until: Instant) -> Result<(), Error> {
    loop {
        let food = space.list_variables()?.into_iter().find(|info| info.name == b"food");
        if food.is_some_and(|food| food.fetchers > 0) {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(Error::TimedOut);
        }
        thread::sleep(LOOK);
    }
}

/// Cut, and without what would steer a terminal.
fn printable(text: &str) -> String {
    let mut shown: String = text
        .trim_end_matches('\n')
        .chars()
        .take(MOST_CHARS)
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if shown.len() < text.len() && text.chars().nth(MOST_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_steers_no_terminal_and_has_an_end() {
        assert_eq!(printable("[1,\n\t2]\n"), "[1,\n\t2]");
        assert_eq!(printable("\u{1b}[2Jx\r\u{7f}"), "\u{fffd}[2Jx\u{fffd}\u{fffd}");
        let long = printable(&"ä".repeat(MOST_CHARS + 1));
        assert_eq!(long.chars().count(), MOST_CHARS + 3);
        assert!(long.ends_with("ä..."));
    }
}
