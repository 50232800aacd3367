//! The settings of a server: what they are, where they come from, which of them counts.
//!
//! [`TABLE`] is the one place where a setting is written down: the program's flags, its help, manual page
//! and completions and the documentation are made from it, and servers embedded in Rust programs read it
//! too. `kind` knows how settings are written, `file` reads them. A flag goes before the environment, that
//! before the file, and that before the default.
//!
//! ```
//! use nws_server::settings::{Settings, effective};
//!
//! let given = [("values-memory", "64MiB".to_owned()), ("port", "0".to_owned())];
//! let settings = Settings::of(&effective(&given, None)?)?;
//! assert_eq!(settings.options().limits.values_bytes, 64 << 20);
//! # Ok::<(), nws_server::settings::BadSettings>(())
//! ```

mod file;
mod kind;
mod table;

use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;

pub use file::usual_path;
pub use kind::read_time;
pub use table::{Setting, Settings, TABLE};

use crate::config::{Limits, check_tmp_dir, default_tmp_dir};
use crate::log::{Level, Log};
use crate::program::{Announcement, ServeOptions};

/// Settings that are not what they should be: the message names the place, what was expected and what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSettings(String);

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadSettings {}

/// Where a setting's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was given as a flag.
    Flag,
    /// The environment variable has it.
    Environment,
    /// A file has it: `FILE:LINE`.
    File(String),
    /// Nobody said anything else.
    Default,
}

/// What counts for one setting.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Which one.
    pub setting: &'static Setting,
    /// Its value, as it was written.
    pub text: String,
    /// Who says so.
    pub origin: Origin,
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

/// What counts for each setting, in the order of the table. `given` are the names and values of those that
/// go before all others; `config` names a file in the place of the one that is [usually](usual_path) there.
///
/// # Errors
/// Where one is not what it should be, or the file is wrong.
pub fn effective(given: &[(&str, String)], config: Option<&Path>) -> Result<Vec<Effective>, BadSettings> {
    let file = file::read(config).map_err(BadSettings)?;
    TABLE.iter().map(|setting| choose(setting, given, &file)).collect()
}

fn choose(setting: &'static Setting, given: &[(&str, String)], file: &[file::Entry]) -> Result<Effective, BadSettings> {
    let from_file = || file.iter().find(|entry| entry.name == setting.name);
    let (text, origin) = if let Some((_, text)) = given.iter().find(|(name, _)| *name == setting.name) {
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
        None => {
            let (place, expected) = (chosen.place(), (setting.expected)());
            Err(BadSettings(format!("{place}: expected {expected}, got {:?}", chosen.text)))
        }
    }
}

impl Settings {
    /// Reads what counts.
    ///
    /// # Errors
    /// Where one is not what it should be.
    pub fn of(effective: &[Effective]) -> Result<Self, BadSettings> {
        let text = |name| effective.iter().find(|one| one.setting.name == name).map(|one| one.text.clone());
        Settings::read(|name| text(name).unwrap_or_default())
            .map_err(|name| BadSettings(format!("the setting {name} is wrong")))
    }

    /// What a server is to be told, one that is not embedded and speaks to people.
    pub fn options(&self) -> ServeOptions {
        ServeOptions {
            port: self.port,
            web_port: self.web_port,
            interface: self.interface,
            embedded: false,
            insecure: self.insecure,
            allow_users: self.allow_users,
            classic_from: self.classic_from.0.clone(),
            limits: self.limits(),
            tmp_dir: self.tmp_dir.0.clone().unwrap_or_else(default_tmp_dir),
            log: Log { level: self.log_level, format: self.log_format },
            announcement: Announcement::Text,
        }
    }

    /// Whether the folder for long values, where one is named and needed, is of use. The usual one may be of
    /// no use where nobody needs it: the server says so then, and does without.
    ///
    /// # Errors
    /// Where no file can be made there.
    pub fn check_tmp_dir(&self) -> Result<(), BadSettings> {
        match &self.tmp_dir.0 {
            Some(folder) if self.values_disk.0 != Some(0) => {
                check_tmp_dir(folder).map_err(|error| BadSettings(error.to_string()))
            }
            _ => Ok(()),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
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
            ..Limits::default()
        }
    }
}

/// What a server is to be told that is embedded in a program. Where it listens is not for the settings to
/// say, as that would be one place for all; and its standard error is its program's, so it says only what
/// is wrong unless it is told otherwise.
///
/// # Errors
/// Where a setting is not what it should be, or the folder for long values is of no use.
pub fn embedded(effective: &[Effective]) -> Result<ServeOptions, BadSettings> {
    let settings = Settings::of(effective)?;
    settings.check_tmp_dir()?;
    let told = effective.iter().any(|one| one.setting.name == "log-level" && one.origin != Origin::Default);
    let options = settings.options();
    Ok(ServeOptions {
        port: 0,
        web_port: None,
        interface: Ipv4Addr::LOCALHOST.into(),
        embedded: true,
        insecure: false,
        log: if told { options.log } else { Log { level: Level::Warn, ..options.log } },
        announcement: Announcement::Json,
        ..options
    })
}
