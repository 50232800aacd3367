//! The 32 bits that say how a value is to be read.

/// How a value's bytes are to be read: bits 31 to 24 name the language that wrote it, bit 0 says
/// that the bytes are a plain string, bit 1 beside it that they are raw bytes rather than text,
/// and the bits from 2 up name one of our own encodings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Descriptor(pub u32);

/// The language that wrote a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Language {
    Python = 1,
    Matlab = 2,
    R = 3,
    Perl = 4,
    Ruby = 5,
    Octave = 6,
    Java = 7,
    CSharp = 8,
    ObjectiveC = 9,
    Rust = 10,
}

impl Language {
    const ALL: [(Language, &'static str); 10] = [
        (Language::Python, "Python"),
        (Language::Matlab, "Matlab"),
        (Language::R, "R"),
        (Language::Perl, "Perl"),
        (Language::Ruby, "Ruby"),
        (Language::Octave, "Octave"),
        (Language::Java, "Java"),
        (Language::CSharp, "C#"),
        (Language::ObjectiveC, "Objective-C"),
        (Language::Rust, "Rust"),
    ];

    /// The language of this code, see [`Descriptor::language`].
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().find(|(language, _)| *language as u8 == code).map(|(language, _)| *language)
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(language, _)| *language == self).map_or("", |(_, name)| name)
    }
}

impl Descriptor {
    /// In a [`FinishItem`](crate::FinishItem), with no bytes: nothing is to be stored for this one.
    pub const NOTHING: Self = Self(u32::MAX);

    const STRING: u32 = 1;
    const BYTES: u32 = 1 << 1;
    const JSON: u32 = 1 << 2;
    const NATIVE: u32 = 2 << 2;
    const WITH_BUFFERS: u32 = 3 << 2;

    /// Text in UTF-8, written by `language`.
    pub const fn text(language: Language) -> Self {
        Self((language as u32) << 24 | Self::STRING)
    }

    /// Raw bytes, written by `language`.
    pub const fn bytes(language: Language) -> Self {
        Self((language as u32) << 24 | Self::STRING | Self::BYTES)
    }

    /// JSON text, which also an old client reads as a string.
    pub const fn json(language: Language) -> Self {
        Self((language as u32) << 24 | Self::STRING | Self::JSON)
    }

    /// The language's own serialization: for Python a pickle.
    pub const fn serialized(language: Language) -> Self {
        Self((language as u32) << 24)
    }

    /// A tagged none, bool, integer or float; see "Native values" in `docs/protocol.md`.
    pub const fn native(language: Language) -> Self {
        Self((language as u32) << 24 | Self::NATIVE)
    }

    /// The language's own serialization with buffers beside it; see "Values with buffers" in
    /// `docs/protocol.md`.
    pub const fn serialized_with_buffers(language: Language) -> Self {
        Self((language as u32) << 24 | Self::WITH_BUFFERS)
    }

    /// The language code, 0 where none was given.
    pub const fn language(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// Whether the bytes are a string that any language reads as one.
    pub const fn is_string(self) -> bool {
        self.0 & Self::STRING != 0
    }

    /// Whether they are raw bytes rather than text.
    pub const fn is_bytes(self) -> bool {
        self.is_string() && self.0 & Self::BYTES != 0
    }

    /// Whether they are JSON.
    pub const fn is_json(self) -> bool {
        self.encoding() == Self::JSON
    }

    /// Whether they are a tagged native value.
    pub const fn is_native(self) -> bool {
        self.encoding() == Self::NATIVE
    }

    /// Whether they are a serialization with buffers beside it.
    pub const fn has_buffers(self) -> bool {
        self.encoding() == Self::WITH_BUFFERS && !self.is_string()
    }

    const fn encoding(self) -> u32 {
        self.0 & 0x00ff_fffc
    }
}
