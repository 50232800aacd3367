//! Replies as bytes.

use alloc::format;
use alloc::vec::Vec;

use crate::{Descriptor, Index, Sink, VariableId, VariableInfo, WorkspaceInfo};

const DONE: &[u8] = b"0000";
const FAILED: &[u8] = b"0001";

/// Which value a reply holds, for clients that want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// The client wants none.
    Unwanted,
    /// It is no value of a variable.
    Blank,
    /// This value of this variable.
    Value(VariableId, Index),
}

/// Writes a bare status.
pub fn put_status<V>(sink: &mut impl Sink<V>, done: bool) {
    sink.put(if done { DONE } else { FAILED });
}

/// Writes a value.
pub fn put_value<V, S: Sink<V>>(sink: &mut S, descriptor: Descriptor, cookie: Cookie, value: &V) {
    put_head(sink, DONE, descriptor, cookie);
    sink.put(format!("{:020}", S::value_len(value)).as_bytes());
    sink.put_value(value);
}

/// Writes the failure of a request whose reply is a value.
pub fn put_failed_value<V>(sink: &mut impl Sink<V>, cookies: bool) {
    put_head(sink, FAILED, Descriptor(0), if cookies { Cookie::Blank } else { Cookie::Unwanted });
    sink.put(format!("{:020}", 0).as_bytes());
}

fn put_head<V>(sink: &mut impl Sink<V>, status: &[u8], descriptor: Descriptor, cookie: Cookie) {
    sink.put(status);
    sink.put(format!("{:020}", descriptor.0).as_bytes());
    match cookie {
        Cookie::Unwanted => {}
        Cookie::Blank => sink.put(format!("{:<20}{:020}", "", 0).as_bytes()),
        Cookie::Value(variable, index) => sink.put(format!("{:<20}{:020}", variable.0, index.0).as_bytes()),
    }
}

/// The answer to `list wss`: a line for each workspace. For a name that nobody has it is an empty line.
pub fn workspaces_text(workspaces: &[WorkspaceInfo]) -> Vec<u8> {
    let mut text = Vec::new();
    for info in workspaces {
        put_workspace_line(&mut text, info, info.variables.len(), &info.variables.join(&b','));
    }
    if workspaces.is_empty() {
        text.push(b'\n');
    }
    text
}

/// A line of that answer: a workspace with so many variables, whose names stand with commas between them.
pub fn put_workspace_line(text: &mut Vec<u8>, info: &WorkspaceInfo, variables: usize, names: &[u8]) {
    let persistent: &[u8] = if info.persistent { b"True" } else { b"False" };
    text.push(if info.mine { b'>' } else { b' ' });
    text.extend_from_slice(&info.name);
    for field in [&info.owner, persistent, format!("{variables}").as_bytes(), names] {
        text.push(b'\t');
        text.extend_from_slice(field);
    }
    text.push(b'\n');
}

/// The answer to `list vars`: a line for each variable, with no line end after the last.
pub fn variables_text(variables: &[VariableInfo]) -> Vec<u8> {
    let mut text = Vec::new();
    for (place, info) in variables.iter().enumerate() {
        if place > 0 {
            text.push(b'\n');
        }
        let mode = info.mode.map_or("unknown", |mode| mode.name());
        text.extend_from_slice(&info.name);
        let counts = format!("\t{}\t{}\t{}\t{mode}", info.values, info.fetchers, info.finders);
        text.extend_from_slice(counts.as_bytes());
    }
    text
}
