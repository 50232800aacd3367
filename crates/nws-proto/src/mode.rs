//! Modes of a variable.

/// In which order a variable's values are retrieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The oldest value first.
    Fifo,
    /// The newest value first.
    Lifo,
    /// One at random.
    Multi,
    /// At most one value is kept; a store replaces it.
    Single,
}

impl Mode {
    /// Every mode, in wire order.
    pub const ALL: [Mode; 4] = [Mode::Fifo, Mode::Lifo, Mode::Multi, Mode::Single];

    /// The name that users write.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Fifo => "fifo",
            Mode::Lifo => "lifo",
            Mode::Multi => "multi",
            Mode::Single => "single",
        }
    }

    /// The mode that bears this name.
    pub fn from_name(name: &[u8]) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name().as_bytes() == name)
    }

    /// The byte on the wire. 0 is kept for a variable that has no mode yet.
    pub const fn to_wire(self) -> u8 {
        match self {
            Mode::Fifo => 1,
            Mode::Lifo => 2,
            Mode::Multi => 3,
            Mode::Single => 4,
        }
    }

    /// The mode that this byte stands for.
    pub const fn from_wire(byte: u8) -> Option<Mode> {
        match byte {
            1 => Some(Mode::Fifo),
            2 => Some(Mode::Lifo),
            3 => Some(Mode::Multi),
            4 => Some(Mode::Single),
            _ => None,
        }
    }
}
