//! What the master of commands and its host tell each other: one message a line, as on every
//! [control channel](crate::control). The descriptors of a command go along with its `Launch`.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Serialize};

use super::{Command, CommandId};
use crate::control::Cause;

/// From the master to the host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum ToCommandHost {
    /// Starts a command. With it come, in this order, the descriptors for standard input, output and
    /// error where they are given, and one for each of `numbers`.
    Launch { id: CommandId, command: Command, stdin: bool, stdout: Goes, stderr: Goes, numbers: Vec<RawFd> },
    /// Starts no more than so many at a time from now on; others wait for the end of one.
    AtOnce { most: usize },
    /// Asks a command to end.
    AskToEnd { id: CommandId },
    /// Ends a command and all that it started.
    End { id: CommandId },
    /// Ends all.
    Stop,
}

/// Where an output goes; see [`nws_supervise::Output`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goes {
    Lines,
    Inherit,
    /// To a descriptor that comes along.
    Given,
}

/// From the host to the master.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum FromCommandHost {
    Started { id: CommandId, pid: u32 },
    NotStarted { id: CommandId, message: String, shortage: bool },
    Ended { id: CommandId, cause: Cause },
    HostDied { cause: Cause },
    Failed { message: String },
    Stopped,
}

/// A name or an argument as it travels: the system's are bytes, nearly always text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Utf8(String),
    Bytes(Vec<u8>),
}

impl From<OsString> for Text {
    fn from(text: OsString) -> Self {
        text.into_string().map_or_else(|bytes| Text::Bytes(bytes.as_bytes().to_vec()), Text::Utf8)
    }
}

impl From<Text> for OsString {
    fn from(text: Text) -> Self {
        match text {
            Text::Utf8(text) => text.into(),
            Text::Bytes(bytes) => OsString::from_vec(bytes),
        }
    }
}

/// A command as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    program: Text,
    args: Vec<Text>,
    env: Vec<(Text, Option<Text>)>,
    cwd: Option<Text>,
}

impl From<Command> for Written {
    fn from(command: Command) -> Self {
        Self {
            program: command.program.into(),
            args: command.args.into_iter().map(Text::from).collect(),
            env: command.env.into_iter().map(|(name, value)| (name.into(), value.map(Text::from))).collect(),
            cwd: command.cwd.map(|folder| folder.into_os_string().into()),
        }
    }
}

impl From<Written> for Command {
    fn from(written: Written) -> Self {
        Self {
            program: written.program.into(),
            args: written.args.into_iter().map(OsString::from).collect(),
            env: written.env.into_iter().map(|(name, value)| (name.into(), value.map(OsString::from))).collect(),
            cwd: written.cwd.map(|folder| OsString::from(folder).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_arrives_as_it_was_also_where_it_is_no_text() {
        let odd = OsString::from_vec(b"caf\xe9".to_vec());
        let command =
            Command::new("prog").args(["a b", "\n"]).arg(&odd).env("NAME", &odd).without_env("OTHER").cwd(&odd);
        let line = serde_json::to_string(&command).unwrap();
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(serde_json::from_str::<Command>(&line).unwrap(), command);
    }
}
