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
    put_number(sink, S::value_len(value));
    sink.put_value(value);
}

/// Writes the failure of a request whose reply is a value.
pub fn put_failed_value<V>(sink: &mut impl Sink<V>, cookies: bool) {
    put_head(sink, FAILED, Descriptor(0), if cookies { Cookie::Blank } else { Cookie::Unwanted });
    put_number(sink, 0);
}

/// Digits of a number, and of the two that a cookie consists of.
const DIGITS: usize = 20;

/// Writes a number with zeros in front.
fn put_number<V>(sink: &mut impl Sink<V>, number: u64) {
    sink.put(&digits(number));
}

fn digits(mut number: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        if number == 0 {
            break;
        }
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
}

fn put_head<V>(sink: &mut impl Sink<V>, status: &[u8], descriptor: Descriptor, cookie: Cookie) {
    sink.put(status);
    put_number(sink, descriptor.0.into());
    match cookie {
        Cookie::Unwanted => {}
        Cookie::Blank => {
            sink.put(&[b' '; DIGITS]);
            put_number(sink, 0);
        }
        Cookie::Value(variable, index) => {
            // The variable's number stands at the left.
            let digits = digits(variable.0);
            let zeros = digits.iter().take_while(|digit| **digit == b'0').count().min(DIGITS - 1);
            sink.put(&digits[zeros..]);
            sink.put(&[b' '; DIGITS][..zeros]);
            put_number(sink, index.0);
        }
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
