//! The first frames of a connection: both ends prove that they know the token.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nws_proto::{
    Challenge, ErrorCode, Event, FRAME_HEADER_BYTES, FrameHeader, GREETING, Hello, Malformed, Opcode, PROTOCOL_VERSION,
    RequestId, Token, Welcome, client_proof, limits, proofs_match, server_proof,
};

use crate::error::ConnectProblem;
use crate::platform::Socket;
use crate::{ConnectOptions, Error};

/// What the handshake led to.
#[derive(Debug)]
pub(crate) struct Greeted {
    pub(crate) welcome: Welcome,
    /// Which run of which server this is.
    pub(crate) server: [u8; 16],
}

/// When connecting is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    until: Instant,
    timeout: Duration,
}

impl Deadline {
    pub(crate) fn new(timeout: Duration) -> Self {
        // Far enough for who asks for no limit.
        let timeout = timeout.min(Duration::from_secs(365 * 24 * 3600));
        Self { until: Instant::now() + timeout, timeout }
    }

    /// What is left; the step that had no time is named.
    pub(crate) fn left(self, step: &'static str) -> Result<Duration, ConnectProblem> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.passed(step)) } else { Ok(left) }
    }

    pub(crate) fn passed(self, step: &'static str) -> ConnectProblem {
        ConnectProblem::NoAnswer { step, timeout_ms: self.timeout.as_millis() as u64 }
    }
}

/// Refuses what cannot be said in a hello.
pub(crate) fn check(options: &ConnectOptions) -> Result<(), Error> {
    if options.label.len() > limits::LABEL_BYTES.into() {
        let message = format!("expected a label of at most {} bytes, got {}", limits::LABEL_BYTES, options.label.len());
        return Err(Error::misuse(message));
    }
    Ok(())
}

/// Says the first bytes, so that the server knows which protocol this is.
pub(crate) fn greet(socket: &Socket) -> Result<(), ConnectProblem> {
    send(socket, &GREETING)
}

/// Reads the challenge.
pub(crate) fn challenge(socket: &Socket, deadline: Deadline) -> Result<Challenge, ConnectProblem> {
    let challenge = match receive(socket, deadline, "a challenge")? {
        (Some(Opcode::Challenge), payload) => Challenge::decode(payload).map_err(|malformed| not_ours(&malformed))?,
        (opcode, payload) => return Err(refusal(opcode, payload)),
    };
    if (challenge.oldest_version..=challenge.newest_version).contains(&PROTOCOL_VERSION) {
        Ok(challenge)
    } else {
        Err(ConnectProblem::Version { oldest: challenge.oldest_version, newest: challenge.newest_version })
    }
}

/// Proves the token and has the server prove it.
pub(crate) fn prove(
    socket: &Socket,
    challenge: &Challenge,
    token: &Token,
    options: &ConnectOptions,
    deadline: Deadline,
) -> Result<Greeted, ConnectProblem> {
    let mut nonce = [0; nws_proto::NONCE_BYTES];
    getrandom::fill(&mut nonce)
        .map_err(|error| ConnectProblem::System { step: "no random bytes", message: error.to_string() })?;
    let hello = Hello {
        version: PROTOCOL_VERSION,
        nonce,
        proof: client_proof(token, &challenge.nonce, &nonce),
        silence_ms: options.silence.to_wire(),
        guardian: options.guardian,
        label: options.label.clone(),
        resume: Vec::new(),
    };
    let mut payload = Vec::new();
    hello.encode(&mut payload);
    let header =
        FrameHeader { payload_bytes: payload.len() as u32, request: RequestId(0), opcode: Opcode::Hello.to_wire() };
    send(socket, &[&header.encode()[..], &payload].concat())?;
    let welcome = match receive(socket, deadline, "a welcome")? {
        (Some(Opcode::Welcome), payload) => Welcome::decode(payload).map_err(|malformed| not_ours(&malformed))?,
        (opcode, payload) => return Err(refusal(opcode, payload)),
    };
    if !proofs_match(&welcome.proof, &server_proof(token, &challenge.nonce, &nonce)) {
        return Err(ConnectProblem::Unproven);
    }
    Ok(Greeted { welcome, server: challenge.server })
}

fn send(socket: &Socket, bytes: &[u8]) -> Result<(), ConnectProblem> {
    match socket.send(&[IoSlice::new(bytes)]) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) => Err(ConnectProblem::System { step: "greeting the server", message: "no room to send".to_owned() }),
        // What it said before it closed is the better message.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(ConnectProblem::System { step: "greeting the server", message: error.to_string() }),
    }
}

fn receive(socket: &Socket, deadline: Deadline, step: &'static str) -> Result<(Option<Opcode>, Bytes), ConnectProblem> {
    let fill = |buffer: &mut [u8]| {
        socket.receive_exact(buffer, deadline.left(step)?).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => deadline.passed(step),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                ConnectProblem::NotOurProtocol { got: format!("the end of the connection instead of {step}") }
            }
            _ => ConnectProblem::System { step, message: error.to_string() },
        })
    };
    let mut header = [0; FRAME_HEADER_BYTES];
    fill(&mut header)?;
    let shown = || ConnectProblem::NotOurProtocol { got: format!("the bytes {:?}", header.escape_ascii().to_string()) };
    let frame = FrameHeader::decode(&header).ok_or_else(shown)?;
    if frame.payload_bytes > limits::HANDSHAKE_PAYLOAD_BYTES {
        return Err(shown());
    }
    let mut payload = vec![0; frame.payload_bytes as usize];
    fill(&mut payload)?;
    Ok((Opcode::from_wire(frame.opcode), payload.into()))
}

/// What it means that this came instead of what was expected.
fn refusal(opcode: Option<Opcode>, payload: Bytes) -> ConnectProblem {
    match opcode {
        Some(Opcode::Goodbye) => match Event::decode(Opcode::Goodbye.to_wire(), payload) {
            Ok(Event::Goodbye(fault)) if fault.code == ErrorCode::NotAuthorized => ConnectProblem::WrongToken,
            Ok(Event::Goodbye(fault)) => ConnectProblem::Refused(fault),
            _ => ConnectProblem::NotOurProtocol { got: "a goodbye that cannot be read".to_owned() },
        },
        opcode => ConnectProblem::NotOurProtocol { got: format!("an unexpected frame ({opcode:?})") },
    }
}

fn not_ours(malformed: &Malformed) -> ConnectProblem {
    ConnectProblem::NotOurProtocol { got: malformed.to_string() }
}
