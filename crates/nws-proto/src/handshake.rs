//! The first frames of a connection: versions, and the proof that both ends know the token.

use alloc::vec::Vec;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{Malformed, Reader, SessionId, Sink};

/// The first bytes that a client of this protocol sends.
pub const GREETING: [u8; 4] = *b"NWS\x01";
/// The version that this crate speaks.
pub const PROTOCOL_VERSION: u16 = 1;
/// Length of a nonce in bytes.
pub const NONCE_BYTES: usize = 32;
/// HMAC-SHA-256 over both nonces, keyed with the token.
pub type ProofBytes = [u8; 32];

/// The secret that a server shares with those it lets in.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub [u8; 32]);

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// The token as 64 hexadecimal digits, the form in which it is kept in files.
    pub fn to_hex(&self) -> alloc::string::String {
        use core::fmt::Write;
        self.0.iter().fold(alloc::string::String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The token that these hexadecimal digits are; white space around them does not count.
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.trim().as_bytes();
        if text.len() != 64 {
            return None;
        }
        let mut token = [0; 32];
        for (byte, pair) in token.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Some(Self(token))
    }
}

fn proof(token: &Token, who: &[u8], server_nonce: &[u8; NONCE_BYTES], client_nonce: &[u8; NONCE_BYTES]) -> ProofBytes {
    #[allow(clippy::expect_used, reason = "the message is the invariant")]
    let mut mac = Hmac::<Sha256>::new_from_slice(&token.0).expect("HMAC takes a key of any length");
    mac.update(who);
    mac.update(server_nonce);
    mac.update(client_nonce);
    mac.finalize().into_bytes().into()
}

/// What a client answers to a challenge.
pub fn client_proof(token: &Token, server_nonce: &[u8; NONCE_BYTES], client_nonce: &[u8; NONCE_BYTES]) -> ProofBytes {
    proof(token, b"nws client v1", server_nonce, client_nonce)
}

/// What a server answers to a hello, so that the client knows whom it talks to.
pub fn server_proof(token: &Token, server_nonce: &[u8; NONCE_BYTES], client_nonce: &[u8; NONCE_BYTES]) -> ProofBytes {
    proof(token, b"nws server v1", server_nonce, client_nonce)
}

/// Compares two proofs in a time that does not depend on where they differ.
pub fn proofs_match(a: &ProofBytes, b: &ProofBytes) -> bool {
    // Opaque to the optimizer, which could otherwise stop at the first difference.
    core::hint::black_box(a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y))) == 0
}

/// The server's first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Oldest version that the server speaks.
    pub oldest_version: u16,
    /// Newest version that the server speaks.
    pub newest_version: u16,
    /// Which run of which server this is.
    pub server: [u8; 16],
    /// What the client is to sign.
    pub nonce: [u8; NONCE_BYTES],
}

/// The client's first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version that the client chose.
    pub version: u16,
    /// What the server is to sign.
    pub nonce: [u8; NONCE_BYTES],
    /// See [`client_proof`].
    pub proof: ProofBytes,
    /// The session ends after this much silence; 0: only when the connection ends, which the server
    /// grants over a Unix socket alone; `u32::MAX`: the server's default.
    pub silence_ms: u32,
    /// The session that gets this one's leases when it ends; 0: they return to their variables.
    pub guardian: SessionId,
    /// Shown beside the address in listings; clients send their pid.
    pub label: Vec<u8>,
    /// Kept for resuming a session; empty in version 1.
    pub resume: Vec<u8>,
}

/// The server's answer to a good hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// This connection's session.
    pub session: SessionId,
    /// See [`server_proof`].
    pub proof: ProofBytes,
    /// Longest payload that the server takes, in bytes.
    pub frame_payload_bytes: u32,
    /// The silence that was granted, in milliseconds; 0: without limit.
    pub silence_ms: u32,
}

impl Challenge {
    /// Writes the payload.
    pub fn encode(&self, sink: &mut Vec<u8>) {
        Sink::<Bytes>::put_u16(sink, self.oldest_version);
        Sink::<Bytes>::put_u16(sink, self.newest_version);
        Sink::<Bytes>::put(sink, &self.server);
        Sink::<Bytes>::put(sink, &self.nonce);
    }

    /// Reads the payload.
    pub fn decode(payload: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&payload);
        let challenge = Self {
            oldest_version: reader.u16("oldest version")?,
            newest_version: reader.u16("newest version")?,
            server: reader.array("server id")?,
            nonce: reader.array("nonce")?,
        };
        reader.end()?;
        Ok(challenge)
    }
}

impl Hello {
    /// Writes the payload.
    pub fn encode(&self, sink: &mut Vec<u8>) {
        Sink::<Bytes>::put_u16(sink, self.version);
        Sink::<Bytes>::put(sink, &self.nonce);
        Sink::<Bytes>::put(sink, &self.proof);
        Sink::<Bytes>::put_u32(sink, self.silence_ms);
        Sink::<Bytes>::put_u64(sink, self.guardian.0);
        Sink::<Bytes>::put_name(sink, &self.label);
        Sink::<Bytes>::put_name(sink, &self.resume);
    }

    /// Reads the payload.
    pub fn decode(payload: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&payload);
        let hello = Self {
            version: reader.u16("version")?,
            nonce: reader.array("nonce")?,
            proof: reader.array("proof")?,
            silence_ms: reader.u32("silence")?,
            guardian: SessionId(reader.u64("guardian")?),
            label: reader.name("label")?,
            resume: reader.name("resumption")?,
        };
        reader.end()?;
        if hello.label.len() > crate::limits::LABEL_BYTES.into() {
            return Err(Malformed { expected: "a label of at most 256 bytes" });
        }
        Ok(hello)
    }
}

impl Welcome {
    /// Writes the payload.
    pub fn encode(&self, sink: &mut Vec<u8>) {
        Sink::<Bytes>::put_u64(sink, self.session.0);
        Sink::<Bytes>::put(sink, &self.proof);
        Sink::<Bytes>::put_u32(sink, self.frame_payload_bytes);
        Sink::<Bytes>::put_u32(sink, self.silence_ms);
    }

    /// Reads the payload.
    pub fn decode(payload: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&payload);
        let welcome = Self {
            session: SessionId(reader.u64("session")?),
            proof: reader.array("proof")?,
            frame_payload_bytes: reader.u32("frame limit")?,
            silence_ms: reader.u32("silence")?,
        };
        reader.end()?;
        Ok(welcome)
    }
}
