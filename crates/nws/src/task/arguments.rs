//! What tasks take, and what may stand for it in the master.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::compact::{decode, encode};

/// A tuple of owned arguments, as a worker gets them.
pub trait Arguments: Sized + 'static {
    /// Reads them.
    ///
    /// # Errors
    /// The bytes are not these arguments.
    #[doc(hidden)]
    fn decode(bytes: &[u8]) -> Result<Self, String>;
}

/// What can stand for all arguments `A` of one task: nothing, one argument, or a tuple of several or a
/// reference to one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not fit the arguments `{A}` of this task",
    label = "expected one argument, or a tuple of several",
    note = "references and slices of what the task takes fit as well"
)]
pub trait Given<A> {
    /// Appends their bytes.
    ///
    /// # Errors
    /// Why they cannot be encoded.
    #[doc(hidden)]
    fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), String>;
}

/// What can stand for one argument of the type `A`: a value of it or a reference to one, and for
/// strings, vectors and paths what they are borrowed as.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given where the task takes `{A}`",
    label = "expected `{A}`, or a reference to it"
)]
pub trait Argument<A>: Serialize {}

impl<A: Serialize> Argument<A> for A {}
impl<A: Serialize> Argument<A> for &A {}
impl Argument<String> for &str {}
impl Argument<String> for &&str {}
impl<T: Serialize> Argument<Vec<T>> for &[T] {}
impl Argument<PathBuf> for &Path {}

/// What an argument that is a reference borrows from.
#[diagnostic::on_unimplemented(
    message = "a task cannot take `&{Self}`",
    note = "what it borrows from implements serde::Serialize and serde::Deserialize, or is a `str`, slice or `Path`"
)]
pub trait Borrowed {
    /// What is sent.
    type Owned: std::borrow::Borrow<Self> + Serialize + DeserializeOwned + 'static;
}

impl<T: Serialize + DeserializeOwned + 'static> Borrowed for T {
    type Owned = T;
}

impl Borrowed for str {
    type Owned = String;
}

impl<T: Serialize + DeserializeOwned + 'static> Borrowed for [T] {
    type Owned = Vec<T>;
}

impl Borrowed for Path {
    type Owned = PathBuf;
}

impl Arguments for () {
    fn decode(_: &[u8]) -> Result<Self, String> {
        Ok(())
    }
}

impl Given<()> for () {
    fn encode(&self, _: &mut Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

impl<A: DeserializeOwned + 'static> Arguments for (A,) {
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        decode(bytes).map(|value| (value,))
    }
}

impl<A, X: Argument<A>> Given<(A,)> for X {
    fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), String> {
        encode(self, buffer)
    }
}

macro_rules! several {
    ($($type:ident $other:ident),*) => {
        impl<$($type: DeserializeOwned + 'static),*> Arguments for ($($type,)*) {
            fn decode(bytes: &[u8]) -> Result<Self, String> {
                decode(bytes)
            }
        }

        impl<$($type, $other: Argument<$type>),*> Given<($($type,)*)> for ($($other,)*) {
            fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), String> {
                encode(self, buffer)
            }
        }

        impl<$($type, $other: Argument<$type>),*> Given<($($type,)*)> for &($($other,)*) {
            fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), String> {
                encode(self, buffer)
            }
        }
    };
}

several!(A1 X1, A2 X2);
several!(A1 X1, A2 X2, A3 X3);
several!(A1 X1, A2 X2, A3 X3, A4 X4);
several!(A1 X1, A2 X2, A3 X3, A4 X4, A5 X5);
several!(A1 X1, A2 X2, A3 X3, A4 X4, A5 X5, A6 X6);
several!(A1 X1, A2 X2, A3 X3, A4 X4, A5 X5, A6 X6, A7 X7);
several!(A1 X1, A2 X2, A3 X3, A4 X4, A5 X5, A6 X6, A7 X7, A8 X8);
