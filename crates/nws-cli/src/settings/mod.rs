//! The settings of `nws serve`: what they are, where they come from, which of them counts.
//!
//! `table` is the one place where a setting is written down; `kind` knows how they are written,
//! `file` reads them, `flags` makes the command line's options of them. A flag goes before the
//! environment, that before the file, and that before the default.

pub(crate) mod file;
mod flags;
pub(crate) mod kind;
pub(crate) mod table;

use std::fmt;
use std::path::Path;

pub(crate) use flags::Flags;
use nws_server::log::{Level, Log};
pub(crate) use table::{Setting, Settings, TABLE};

/// Where a setting's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag,
    Environment,
    File(String),
    Default,
}

/// What counts for one setting.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    pub(crate) setting: &'static Setting,
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

impl Effective {
    /// How a message names it: where it was written.
    fn place(&self) -> String {
        match &self.origin {
            Origin::Flag => format!("--{}", self.setting.name),
            Origin::Environment => format!("the environment variable {}", self.setting.variable),
            Origin::File(place) => format!("{place}: {}", self.setting.name),
            Origin::Default => format!("the default of {}", self.setting.name),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag => f.write_str("flag"),
            Origin::Environment => f.write_str("environment"),
            Origin::File(place) => f.write_str(place),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// What counts for each setting, in the order of the table.
///
/// # Errors
/// Where one is not what it should be, or the file is wrong; the message names the place.
pub(crate) fn effective(flags: &Flags, config: Option<&Path>) -> Result<Vec<Effective>, String> {
    let file = file::read(config)?;
    TABLE.iter().map(|setting| choose(setting, flags, &file)).collect()
}

fn choose(setting: &'static Setting, flags: &Flags, file: &[file::Entry]) -> Result<Effective, String> {
    let from_file = || file.iter().find(|entry| entry.name == setting.name);
    let (text, origin) = if let Some(text) = flags.text(setting.name) {
        (text.to_owned(), Origin::Flag)
    } else if let Some(text) = std::env::var_os(setting.variable).filter(|text| !text.is_empty()) {
        (text.to_string_lossy().into_owned(), Origin::Environment)
    } else if let Some(entry) = from_file() {
        (entry.text.clone(), Origin::File(entry.place.clone()))
    } else {
        (setting.default.to_owned(), Origin::Default)
    };
    let chosen = Effective { setting, text, origin };
    match (setting.canonical)(&chosen.text) {
        Some(_) => Ok(chosen),
        None => Err(format!("{}: expected {}, got {:?}", chosen.place(), (setting.expected)(), chosen.text)),
    }
}

impl Settings {
    /// Reads what counts.
    pub(crate) fn of(effective: &[Effective]) -> Result<Self, String> {
        let text = |name| effective.iter().find(|one| one.setting.name == name).map(|one| one.text.clone());
        Settings::read(|name| text(name).unwrap_or_default()).map_err(|name| format!("the setting {name} is wrong"))
    }

    /// What the server bears.
    pub(crate) fn limits(&self) -> nws_server::Limits {
        nws_server::Limits {
            connections: self.connections.0 as usize,
            frame_payload_bytes: u32::try_from(self.frame_size.0).unwrap_or(u32::MAX),
            values_bytes: self.values_memory.0,
            values_disk_bytes: self.values_disk.0,
            spill_bytes: self.spill_size.0,
            value_bytes: self.value_size.0,
            name_bytes: self.name_length.0,
            session_workspaces: self.session_workspaces.0,
            session_variables: self.session_variables.0,
            session_waiting: self.session_waiting.0,
            session_leases: self.session_leases.0,
            session_orphans: self.session_orphans.0,
            waiting: self.waiting.0,
            session_transfers: self.session_transfers.0,
            session_readings: self.session_readings.0,
            unsent_bytes: usize::try_from(self.unsent_size.0).unwrap_or(usize::MAX),
            handshake_ms: self.handshake_time.0,
            silence_ms: self.silence_time.0,
            spin_us: self.spin_us.0,
            ..nws_server::Limits::default()
        }
    }

    /// What is said, and how.
    pub(crate) fn log(&self) -> Log {
        Log { level: self.log_level, format: self.log_format }
    }
}

/// An embedded server's standard error is its program's, so it says only what is wrong.
pub(crate) fn quiet_unless_told(log: Log, effective: &[Effective]) -> Log {
    let told = effective.iter().any(|one| one.setting.name == "log-level" && one.origin != Origin::Default);
    if told { log } else { Log { level: Level::Warn, ..log } }
}
