//! Answers as lines of JSON.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Outcome, Reply};

/// What a line can hold. The result stays unread until it is known to be one, as its type may be
/// anything, nothing among it.
#[derive(Deserialize)]
struct Line {
    #[serde(default, deserialize_with = "there")]
    result: Option<Value>,
    too_busy: Option<f64>,
    error: Option<Value>,
    stdout: Option<Vec<String>>,
    stderr: Option<Vec<String>>,
}

/// Tells a null from nothing.
fn there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads an answer.
pub(super) fn read<R: DeserializeOwned>(bytes: &[u8]) -> Result<Reply<R>, String> {
    let line: Line = serde_json::from_slice(bytes).map_err(|error| format!("expected a JSON object, got {error}"))?;
    let outcome = match (line.result, line.too_busy, line.error) {
        (Some(result), None, None) => Outcome::Result(
            serde_json::from_value(result).map_err(|error| format!("the result is of another type: {error}"))?,
        ),
        (None, Some(delay_s), None) => Outcome::TooBusy { delay_s },
        (None, None, Some(Value::String(message))) => Outcome::Error(message),
        (None, None, Some(other)) => Outcome::Error(other.to_string()),
        _ => return Err("expected one of \"result\", \"too_busy\" and \"error\"".to_owned()),
    };
    Ok(Reply { outcome, stdout: line.stdout.unwrap_or_default(), stderr: line.stderr.unwrap_or_default() })
}

/// An answer to be written.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said<'a, R> {
    Result(&'a R),
    TooBusy(f64),
    Error(&'a str),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<R: Serialize>(said: &Said<'_, R>) -> Vec<u8> {
        serde_json::to_vec(said).unwrap()
    }

    #[test]
    fn what_is_said_is_read() {
        let read_back = |bytes: &[u8]| read::<Option<u32>>(bytes).unwrap().outcome;
        assert_eq!(read_back(&said(&Said::Result(&Some(3)))), Outcome::Result(Some(3)));
        assert_eq!(read_back(&said(&Said::Result(&None::<u32>))), Outcome::Result(None));
        assert_eq!(read_back(&said::<()>(&Said::TooBusy(0.5))), Outcome::TooBusy { delay_s: 0.5 });
        assert_eq!(read_back(&said::<()>(&Said::Error("no"))), Outcome::Error("no".to_owned()));
        assert_eq!(read_back(b"{\"error\": [\"a\", 1]}"), Outcome::Error("[\"a\",1]".to_owned()));
        let reply = read::<u8>(b"{\"result\": 1, \"stdout\": [\"a\"], \"stderr\": null}").unwrap();
        assert_eq!((reply.stdout, reply.stderr), (vec!["a".to_owned()], vec![]));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (bytes, told) in [
            (&b"hello"[..], "expected a JSON object"),
            (b"{}", "expected one of"),
            (b"{\"result\": 1, \"error\": \"a\"}", "expected one of"),
            (b"{\"result\": \"a\"}", "of another type"),
            (b"[1, null, null]", "expected"),
        ] {
            assert!(read::<u8>(bytes).unwrap_err().contains(told), "{bytes:?}");
        }
    }
}
