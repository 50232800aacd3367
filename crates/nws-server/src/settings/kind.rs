//! What a setting may be: how it is written, and what is refused.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::Network;
use crate::log::{Format, Level};

/// A type of settings. All of them are written as text, wherever they come from.
pub(crate) trait Kind: Sized {
    /// What stands for it in help: `N`, `SIZE`.
    const PLACEHOLDER: &'static str;
    /// Whether the flag may stand without a value, and then means `true`.
    const IS_SWITCH: bool = false;

    /// What is expected, for messages and the documentation.
    fn expected() -> String;

    /// The value that the text stands for.
    fn read(text: &str) -> Option<Self>;

    /// The value in its own form.
    fn show(&self) -> String;
}

/// A number, in these bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count<const LEAST: u32, const MOST: u32>(pub(crate) u32);

impl<const LEAST: u32, const MOST: u32> Kind for Count<LEAST, MOST> {
    const PLACEHOLDER: &'static str = "N";

    fn expected() -> String {
        format!("a number from {LEAST} to {MOST}")
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| (LEAST..=MOST).contains(number)).map(Self)
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// Bytes, in these bounds: `4096`, `64KiB`, `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size<const LEAST: u64, const MOST: u64>(pub(crate) u64);

impl<const LEAST: u64, const MOST: u64> Kind for Size<LEAST, MOST> {
    const PLACEHOLDER: &'static str = "SIZE";

    fn expected() -> String {
        format!("a size such as 4096, 64KiB or 2GiB, from {} to {}", show_size(LEAST), show_size(MOST))
    }

    fn read(text: &str) -> Option<Self> {
        read_size(text).filter(|bytes| (LEAST..=MOST).contains(bytes)).map(Self)
    }

    fn show(&self) -> String {
        show_size(self.0)
    }
}

/// Bytes, or a share of the machine's memory: `2GiB`, `50%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory(pub(crate) u64);

/// Less than this could not hold what a server does for itself.
const LEAST_MEMORY_BYTES: u64 = 1 << 20;

impl Kind for Memory {
    const PLACEHOLDER: &'static str = "SIZE";

    fn expected() -> String {
        "a size of at least 1MiB such as 64MiB or 2GiB, or a share of the machine's memory such as 50%".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = match text.strip_suffix('%') {
            Some(percent) => {
                let percent: u64 = percent.parse().ok().filter(|percent| (1..=100).contains(percent))?;
                crate::machine_memory_bytes() / 100 * percent
            }
            None => read_size(text)?,
        };
        (bytes >= LEAST_MEMORY_BYTES).then_some(Self(bytes))
    }

    fn show(&self) -> String {
        show_size(self.0)
    }
}

/// Bytes on disk, or `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disk(pub(crate) Option<u64>);

impl Kind for Disk {
    const PLACEHOLDER: &'static str = "SIZE";

    fn expected() -> String {
        "a size such as 64MiB or 2TiB, 0 for none, or auto".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        if text == "auto" { Some(Self(None)) } else { read_size(text).map(|bytes| Self(Some(bytes))) }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "auto".to_owned(), show_size)
    }
}

/// A folder, or `auto`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder(pub(crate) Option<PathBuf>);

impl Kind for Folder {
    const PLACEHOLDER: &'static str = "FOLDER";

    fn expected() -> String {
        "the path of a folder, beginning with a slash, or auto".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self(None)),
            path => Some(Self(Some(PathBuf::from(path)))).filter(|_| path.starts_with('/')),
        }
    }

    fn show(&self) -> String {
        self.0.as_ref().map_or_else(|| "auto".to_owned(), |folder| folder.display().to_string())
    }
}

/// A time, in these bounds of milliseconds: `500ms`, `4s`, `10min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span<const LEAST_MS: u32, const MOST_MS: u32>(pub(crate) u32);

impl<const LEAST_MS: u32, const MOST_MS: u32> Kind for Span<LEAST_MS, MOST_MS> {
    const PLACEHOLDER: &'static str = "TIME";

    fn expected() -> String {
        let (least, most) = (show_time(LEAST_MS.into()), show_time(MOST_MS.into()));
        format!("a time such as 500ms, 4s or 10min, from {least} to {most}")
    }

    fn read(text: &str) -> Option<Self> {
        let ms = u32::try_from(read_time(text)?).ok()?;
        (LEAST_MS..=MOST_MS).contains(&ms).then_some(Self(ms))
    }

    fn show(&self) -> String {
        show_time(self.0.into())
    }
}

/// A port; 0 is any free one.
impl Kind for u16 {
    const PLACEHOLDER: &'static str = "PORT";

    fn expected() -> String {
        "a port from 1 to 65535, or 0 for any free one".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A port that may be absent.
impl Kind for Option<u16> {
    const PLACEHOLDER: &'static str = "PORT";

    fn expected() -> String {
        "a port from 1 to 65535, 0 for any free one, or off".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        if text == "off" { Some(None) } else { text.parse().ok().map(Some) }
    }

    fn show(&self) -> String {
        self.map_or_else(|| "off".to_owned(), |port| port.to_string())
    }
}

impl Kind for IpAddr {
    const PLACEHOLDER: &'static str = "ADDRESS";

    fn expected() -> String {
        "an IP address such as 127.0.0.1, or localhost".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        if text == "localhost" { Some(Ipv4Addr::LOCALHOST.into()) } else { text.parse().ok() }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Addresses and networks, with commas between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Networks(pub(crate) Vec<Network>);

impl Kind for Networks {
    const PLACEHOLDER: &'static str = "NETWORKS";

    fn expected() -> String {
        "addresses and networks such as 10.0.0.0/8,192.168.1.5, the bits behind a network's own being 0, or none"
            .to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self(Vec::new()));
        }
        text.split(',').map(|network| network.trim().parse().ok()).collect::<Option<_>>().map(Self)
    }

    fn show(&self) -> String {
        let networks: Vec<String> = self.0.iter().map(Network::to_string).collect();
        if networks.is_empty() { "none".to_owned() } else { networks.join(",") }
    }
}

impl Kind for bool {
    const PLACEHOLDER: &'static str = "BOOL";
    const IS_SWITCH: bool = true;

    fn expected() -> String {
        "true or false".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        match text {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Kind for Level {
    const PLACEHOLDER: &'static str = "LEVEL";

    fn expected() -> String {
        "error, warn, info or debug".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        [Level::Error, Level::Warn, Level::Info, Level::Debug].into_iter().find(|level| level.name() == text)
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}

impl Kind for Format {
    const PLACEHOLDER: &'static str = "FORMAT";

    fn expected() -> String {
        "text or json".to_owned()
    }

    fn read(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Format::Text),
            "json" => Some(Format::Json),
            _ => None,
        }
    }

    fn show(&self) -> String {
        if *self == Format::Json { "json" } else { "text" }.to_owned()
    }
}

const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const TIMES: [(&str, u64); 5] = [("ms", 1), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("s", 1000)];

fn read_size(text: &str) -> Option<u64> {
    let with_unit = SIZES.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit_bytes) = with_unit.unwrap_or((text, 1));
    number.trim_end().parse::<u64>().ok()?.checked_mul(unit_bytes)
}

/// In the largest unit of which it is a whole number.
pub(crate) fn show_size(bytes: u64) -> String {
    let unit = SIZES.iter().find(|(_, unit_bytes)| bytes >= *unit_bytes && bytes.is_multiple_of(*unit_bytes));
    match unit {
        Some((unit, unit_bytes)) if *unit != "B" => format!("{}{unit}", bytes / unit_bytes),
        _ => bytes.to_string(),
    }
}

/// The milliseconds of a time as users write it: `500ms`, `4s`, `10min`. A number without a unit counts
/// seconds, and may have decimals.
///
/// ```
/// use nws_server::settings::read_time;
///
/// assert_eq!((read_time("1.5"), read_time("2min"), read_time("soon")), (Some(1500), Some(120_000), None));
/// ```
pub fn read_time(text: &str) -> Option<u64> {
    let with_unit = TIMES.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, *ms)));
    let (number, unit_ms) = with_unit.unwrap_or((text, 1000));
    let is_decimal = number.starts_with(|c: char| c.is_ascii_digit()) && !number.contains(['e', 'E']);
    let ms = number.trim_end().parse::<f64>().ok()? * unit_ms as f64;
    // From a week of centuries on it is no time that anybody meant.
    (is_decimal && ms.is_finite() && ms < 1e15).then(|| ms.ceil() as u64)
}

/// In the largest unit of which it is a whole number.
pub(crate) fn show_time(ms: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)];
    let unit = units.iter().find(|(_, unit_ms)| ms >= *unit_ms && ms.is_multiple_of(*unit_ms));
    unit.map_or_else(|| format!("{ms}ms"), |(unit, unit_ms)| format!("{}{unit}", ms / unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_they_are_shown() {
        for (text, bytes) in [("4096", 4096), ("4KiB", 4096), ("3 MiB", 3 << 20), ("1TiB", 1 << 40), ("17B", 17)] {
            assert_eq!(read_size(text), Some(bytes), "{text}");
            assert_eq!(read_size(&show_size(bytes)), Some(bytes), "{text}");
        }
        for (text, ms) in
            [("4", 4000), ("0.5", 500), ("1.5s", 1500), ("20ms", 20), ("2min", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(read_time(text), Some(ms), "{text}");
            assert_eq!(read_time(&show_time(ms)), Some(ms), "{text}");
        }
        assert_eq!((show_size(0), show_size(1025), show_time(0)), ("0".into(), "1025".into(), "0ms".into()));
    }

    #[test]
    fn networks_are_read_as_they_are_shown() {
        for text in ["none", "10.0.0.0/8,192.168.1.5", "::1"] {
            assert_eq!(Networks::read(text).map(|networks| networks.show()).as_deref(), Some(text));
        }
        assert_eq!(Networks::read("10.0.0.0/8, ::1").unwrap().0.len(), 2);
        for text in ["", "all", "10.0.0.0/8,", "10.0.0.1/8", "none,::1"] {
            assert_eq!(Networks::read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_size_or_time_is_refused() {
        for text in ["", "x", "-1", "1.5MiB", "1kb", "99999999999GiB", "KiB", "0x10"] {
            assert_eq!(read_size(text), None, "{text}");
        }
        for text in ["", "x", "-1", "inf", "nan", "1e3", "s", "1w", "-5s", "1e400"] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }

    #[test]
    fn bounds_belong_to_what_is_allowed() {
        type Small = Count<2, 5>;
        assert_eq!((Small::read("1"), Small::read("2"), Small::read("5")), (None, Some(Count(2)), Some(Count(5))));
        assert_eq!(Small::read("6"), None);
        assert_eq!(Size::<1024, 2048>::read("3KiB"), None);
        assert_eq!(Span::<100, 1000>::read("1s"), Some(Span(1000)));
        assert_eq!(Span::<100, 1000>::read("99ms"), None);
        assert_eq!((Memory::read("0%"), Memory::read("101%"), Memory::read("1KiB")), (None, None, None));
        assert!(Memory::read("100%").is_some_and(|memory| memory.0 > 1 << 20));
    }
}
