//! How a retrieval is asked for, and what its answer is read as.

use bytes::Bytes;
use nws_proto::{Cursor, Reply, Request, Retrieve, VariableHandle, Wait};

use crate::call::unexpected;
use crate::in_flight::Outcome;
use crate::{Error, FromValue, Mismatch, Value};

pub(super) fn retrieve(
    variable: VariableHandle,
    take: bool,
    lease: bool,
    wait: Wait,
    cursor: Cursor,
    (max_values, max_bytes): (u32, u32),
) -> Request<Bytes> {
    Request::Retrieve(Retrieve { variable, take, lease, wait, cursor, max_values, max_bytes })
}

fn values(outcome: Outcome) -> Result<Vec<Value>, Error> {
    match outcome? {
        Reply::Values { values, .. } => Ok(values.into_iter().map(|grant| grant.item.into()).collect()),
        reply => Err(unexpected(&reply)),
    }
}

pub(super) fn first<T: FromValue>(outcome: Outcome) -> Result<Option<T>, Error> {
    values(outcome)?.first().map(T::from_value).transpose()
}

pub(super) fn objects<T: FromValue>(outcome: Outcome) -> Result<Vec<T>, Error> {
    let values = values(outcome)?;
    let mut objects = Vec::with_capacity(values.len());
    for (position, value) in values.iter().enumerate() {
        match T::from_value(value) {
            Ok(object) => objects.push(object),
            Err(Error::Mismatch(mismatch)) => return Err(Mismatch { values, position, ..*mismatch }.into()),
            Err(error) => return Err(error),
        }
    }
    Ok(objects)
}
