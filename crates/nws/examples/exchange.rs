//! Values from Rust to Python and back: `python/tests/test_exchange.py` is the other side.

use std::collections::BTreeMap;

use nws::blocking::{Server, Workspace};
use nws::{ConnectOptions, Endpoint, Error, FromValue, IntoValue};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Sample {
    name: String,
    at: f64,
    counts: Vec<i64>,
    note: Option<String>,
}

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or("localhost:8765".into());
    let server = Server::connect(&address.parse::<Endpoint>()?, ConnectOptions::default())?;
    let space = server.use_workspace("exchange")?;

    // In Python: None, True, -9223372036854775808, 18446744073709551615, 0.1, "täxt", b"\x00\xff" ...
    space.store("from rust", ())?;
    space.store("from rust", true)?;
    space.store("from rust", i64::MIN)?;
    space.store("from rust", u64::MAX)?;
    space.store("from rust", 0.1)?;
    space.store("from rust", f64::INFINITY)?;
    space.store("from rust", "täxt")?;
    space.store("from rust", b"\x00\xff")?;
    space.store("from rust", Vec::<u8>::new())?;
    // ... and, by way of JSON, lists and dictionaries.
    space.store("from rust", [1.5, 2.5])?;
    space.store("from rust", BTreeMap::from([("a", Some(1)), ("b", None)]))?;
    let sample = Sample { name: "s".into(), at: 0.1 + 0.2, counts: vec![i64::MAX, -1], note: Some("\u{1f372}".into()) };
    space.store("from rust", &sample)?;

    back::<()>(&space, "none")?;
    back::<bool>(&space, "bool")?;
    back::<i64>(&space, "int")?;
    back::<u128>(&space, "large int")?;
    back::<f64>(&space, "float")?;
    back::<String>(&space, "str")?;
    back::<Vec<u8>>(&space, "bytes")?;
    back::<Vec<Option<f64>>>(&space, "list")?;
    back::<BTreeMap<String, i64>>(&space, "dict")?;
    back::<Sample>(&space, "sample")?;

    // What only Python can read is an error that says what to do, and holds the value.
    match space.fetch::<Sample>("pickle") {
        Err(Error::Mismatch(mismatch)) => {
            space.store("pickle back", &mismatch.values[0])?;
            space.store("complaint", mismatch.to_string())
        }
        Err(error) => Err(error),
        Ok(_) => space.store("complaint", "Rust has read a pickle"),
    }
}

/// Fetches a value as a `T`, and stores what that makes.
fn back<T: FromValue + IntoValue>(space: &Workspace, variable: &str) -> Result<(), Error> {
    let object: T = space.fetch(variable)?;
    space.store(format!("{variable} back"), object)
}
