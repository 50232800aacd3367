//! What the server says about itself on standard error: a line an event, for people or as JSON.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The server cannot do what it should.
    Error,
    /// Somebody was refused or misbehaves.
    Warn,
    /// The server starts or ends.
    Info,
    /// For who looks for a fault.
    Debug,
}

impl Level {
    /// The name that settings and lines bear.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Time, level, what happened, and `name=value` pairs.
    Text,
    /// An object with `time`, `level`, `message` and the rest.
    Json,
}

/// What is said, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// What matters less is not said.
    pub level: Level,
    /// How lines look.
    pub format: Format,
}

/// Most events of connections in a minute: a hostile peer must not fill the disk.
const MOST_A_MINUTE: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

/// Writes the lines of one server.
#[derive(Debug)]
pub(crate) struct Logger {
    /// Nothing is said where there is none.
    log: Option<Log>,
    minute: Mutex<Option<Minute>>,
}

#[derive(Debug)]
struct Minute {
    began: Instant,
    said: u32,
}

type Field<'a> = (&'a str, &'a dyn Display);

impl Logger {
    pub(crate) fn new(log: Option<Log>) -> Self {
        Self { log, minute: Mutex::new(None) }
    }

    /// Nobody has to listen: a log that cannot be written is no reason to stop serving.
    pub(crate) fn write(&self, level: Level, message: &str, fields: &[Field<'_>]) {
        if let Some(log) = self.log.filter(|log| level <= log.level) {
            let line = line(log.format, SystemTime::now(), level, message, fields);
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
    }

    /// As [`Logger::write`], for what any stranger can cause: from some number on it is counted only.
    pub(crate) fn of_a_connection(&self, level: Level, message: &str, fields: &[Field<'_>]) {
        if self.log.is_none_or(|log| level > log.level) {
            return;
        }
        let (say, missed) = {
            let mut minute = self.minute.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let now = Instant::now();
            let over = minute.as_ref().is_none_or(|minute| now.duration_since(minute.began) >= MINUTE);
            let missed = if over {
                let last = minute.replace(Minute { began: now, said: 0 });
                last.map_or(0, |last| last.said.saturating_sub(MOST_A_MINUTE))
            } else {
                0
            };
            let said = minute.as_mut().map_or(0, |minute| {
                minute.said = minute.said.saturating_add(1);
                minute.said
            });
            (said <= MOST_A_MINUTE, missed)
        };
        if missed > 0 {
            self.write(Level::Warn, "more happened than was said", &[("events", &missed)]);
        }
        if say {
            self.write(level, message, fields);
        }
    }
}

fn line(format: Format, time: SystemTime, level: Level, message: &str, fields: &[Field<'_>]) -> String {
    let time = timestamp(time);
    let mut line = String::new();
    match format {
        Format::Text => {
            let _ = write!(line, "{time} {:5} {}", level.name(), printable(message));
            for (name, value) in fields {
                let value = printable(&value.to_string());
                let quote = if value.is_empty() || value.contains([' ', '"', '=']) { "\"" } else { "" };
                let _ = write!(line, " {name}={quote}{}{quote}", value.replace('"', "\\\""));
            }
        }
        Format::Json => {
            let mut object = serde_json::Map::new();
            let mut put = |name: &str, value: String| object.insert(name.to_owned(), value.into());
            put("time", time);
            put("level", level.name().to_owned());
            put("message", message.to_owned());
            for (name, value) in fields {
                put(name, value.to_string());
            }
            line = serde_json::Value::Object(object).to_string();
        }
    }
    line.push('\n');
    line
}

/// What a peer sent must neither begin a line nor move the cursor of who reads it.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() { shown.extend(letter.escape_default()) } else { shown.push(letter) }
    }
    shown
}

/// `2026-11-20T09:51:34.123Z`.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// The Gregorian date of a day counted from 1970-01-01: years begin in March here, so that the leap
/// day is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(timestamp(at(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(at(951_782_400)), "2000-02-29T00:00:00.000Z");
        assert_eq!(timestamp(at(951_868_800)), "2000-03-01T00:00:00.000Z");
        assert_eq!(timestamp(at(1_795_168_294)), "2026-11-20T09:51:34.000Z");
        assert_eq!(timestamp(at(4_107_542_399)), "2100-02-28T23:59:59.000Z");
        assert_eq!(timestamp(at(4_107_542_400)), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn a_line_is_for_people_or_json_and_is_one_line() {
        let fields: [Field<'_>; 3] = [("peer", &"127.0.0.1:1"), ("label", &"a \"b\"\n\x1b[1m"), ("n", &3)];
        assert_eq!(
            line(Format::Text, at(0), Level::Warn, "gone", &fields),
            "1970-01-01T00:00:00.000Z warn  gone peer=127.0.0.1:1 label=\"a \\\"b\\\"\\n\\u{1b}[1m\" n=3\n"
        );
        let json = line(Format::Json, at(0), Level::Warn, "gone", &fields);
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&read["level"], &read["label"]), (&"warn".into(), &"a \"b\"\n\x1b[1m".into()));
        assert_eq!(json.matches('\n').count(), 1);
    }

    #[test]
    fn what_strangers_cause_is_said_so_many_times_a_minute() {
        let logger = Logger::new(Some(Log { level: Level::Error, format: Format::Text }));
        for _ in 0..MOST_A_MINUTE + 5 {
            logger.of_a_connection(Level::Error, "test", &[]);
        }
        assert_eq!(logger.minute.lock().unwrap().as_ref().unwrap().said, MOST_A_MINUTE + 5);
        // Below the level nothing is counted either.
        logger.of_a_connection(Level::Warn, "test", &[]);
        assert_eq!(logger.minute.lock().unwrap().as_ref().unwrap().said, MOST_A_MINUTE + 5);
    }
}
