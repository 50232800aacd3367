//! The table of the tasks of a program, which the program's workers, being the same program, have too.

use super::{Arguments, Task, TaskError, decode, encode};

/// A task in the table of its program.
#[derive(Debug)]
pub struct Entry {
    name: &'static str,
    place: &'static str,
    prepare: Prepare,
}

/// Reads the fixed arguments of calls, and makes what runs their tasks.
type Prepare = fn(&[u8]) -> Result<Box<dyn Runner>, String>;

inventory::collect!(Entry);

impl Entry {
    /// The entry of a task. For `#[nws::task]`.
    #[doc(hidden)]
    pub const fn of<T: Task>() -> Self {
        Entry { name: T::NAME, place: T::PLACE, prepare: prepare::<T> }
    }

    /// A runner for calls with these fixed arguments.
    pub(crate) fn prepare(&self, fixed: &[u8]) -> Result<Box<dyn Runner>, String> {
        (self.prepare)(fixed)
    }
}

/// Runs the tasks of one call.
pub(crate) trait Runner {
    /// Runs one task, and appends its encoded result.
    fn run(&self, given: &[u8], result: &mut Vec<u8>) -> Result<(), TaskError>;
}

struct Typed<T: Task> {
    fixed: T::Fixed,
}

fn prepare<T: Task>(fixed: &[u8]) -> Result<Box<dyn Runner>, String> {
    Ok(Box::new(Typed::<T> { fixed: T::Fixed::decode(fixed)? }))
}

impl<T: Task> Runner for Typed<T> {
    fn run(&self, given: &[u8], result: &mut Vec<u8>) -> Result<(), TaskError> {
        let given = T::Given::decode(given).map_err(|message| TaskError {
            type_name: "ArgumentError",
            message: format!("the arguments of the task cannot be read as what it takes: {message}"),
        })?;
        let output = T::run(given, &self.fixed)?;
        encode(&output, result).map_err(|message| TaskError {
            type_name: "ResultError",
            message: format!("the task was done, but its result cannot be encoded: {message}"),
        })
    }
}

/// What the tasks of a call have in common, on its way to the workers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    name: String,
    place: String,
    pub(crate) chunk_size: Option<u32>,
    pub(crate) fixed: Vec<u8>,
}

impl Definition {
    /// The definition of calls of `T`.
    pub(crate) fn of<T: Task>(chunk_size: Option<u32>, fixed: &[u8]) -> Self {
        Definition { name: T::NAME.to_owned(), place: T::PLACE.to_owned(), chunk_size, fixed: fixed.to_vec() }
    }

    /// Its bytes: how long the head is, the head, and the fixed arguments as they are.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut head = Vec::new();
        encode(&(&self.name, &self.place, self.chunk_size), &mut head)?;
        let length = u32::try_from(head.len()).map_err(|error| error.to_string())?;
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&self.fixed);
        Ok(bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let cut = || "a definition of tasks is cut off".to_owned();
        let (length, rest) = bytes.split_first_chunk().ok_or_else(cut)?;
        let (head, fixed) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut)?;
        let (name, place, chunk_size) = decode(head)?;
        Ok(Definition { name, place, chunk_size, fixed: fixed.to_vec() })
    }
}

/// The task that a definition means.
pub(crate) fn find(definition: &Definition) -> Result<&'static Entry, String> {
    let Definition { name, place, .. } = definition;
    let mut found = inventory::iter::<Entry>.into_iter().filter(|entry| entry.name == name && entry.place == place);
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err(format!("this program has no task {name} at {place}: is it not the program of the master?")),
        (Some(_), Some(_)) => {
            Err(format!("two tasks are named {name} at {place}: a macro has made them; give them different names"))
        }
    }
}

/// The definition of calls of `T`, where workers can find it.
pub(crate) fn register<T: Task>(chunk_size: Option<u32>, fixed: &[u8]) -> Result<Vec<u8>, String> {
    let definition = Definition::of::<T>(chunk_size, fixed);
    find(&definition)?;
    definition.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[crate::task]
    fn half(x: f64) -> Result<f64, String> {
        if x.is_nan() { Err("no number".to_owned()) } else { Ok(x / 2.0) }
    }

    #[test]
    fn a_task_is_found_and_run_by_its_definition() {
        let bytes = register::<half>(Some(3), &[]).unwrap();
        let definition = Definition::from_bytes(&bytes).unwrap();
        assert_eq!(definition, Definition::of::<half>(Some(3), &[]));
        let runner = find(&definition).unwrap().prepare(&definition.fixed).unwrap();
        let (mut given, mut result) = (Vec::new(), vec![9]);
        encode(&5.0, &mut given).unwrap();
        runner.run(&given, &mut result).unwrap();
        assert_eq!(result.remove(0), 9);
        assert_eq!(decode::<f64>(&result), Ok(2.5));
        let error = runner.run(&[0x7f], &mut result).unwrap_err();
        assert!(error.message.contains("cannot be read"), "{error:?}");
        given.clear();
        encode(&f64::NAN, &mut given).unwrap();
        assert_eq!(runner.run(&given, &mut result).unwrap_err().message, "no number");
    }

    #[test]
    fn a_definition_that_is_cut_off_is_refused() {
        let bytes = register::<half>(None, &[1, 2, 3]).unwrap();
        assert_eq!(Definition::from_bytes(&bytes).unwrap().fixed, [1, 2, 3]);
        for cut in 0..bytes.len() - 3 {
            assert!(Definition::from_bytes(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn a_task_of_another_program_is_not_found() {
        let other = Definition { name: "elsewhere".to_owned(), ..Definition::of::<half>(None, &[]) };
        assert!(find(&other).unwrap_err().contains("no task elsewhere"));
    }
}
