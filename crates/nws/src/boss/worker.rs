//! A worker of a Boss: one task, and its end.

use nws_work::boss::wire::Hired;
use nws_work::boss::{Trouble, TroubleKind};
use serde::{Deserialize, Serialize};

use crate::task::{Definition, Given, TaskError, find};
use crate::worker::panics::{self, Panic};

/// What a worker leaves when its task has failed.
#[derive(Serialize, Deserialize)]
struct Failed {
    panicked: bool,
    message: String,
    type_name: String,
    location: String,
    backtrace: String,
}

/// The bytes that a worker gets: how long the definition is, the definition, the instructions.
pub(super) fn request<A>(definition: &[u8], instructions: &impl Given<A>) -> Result<Vec<u8>, String> {
    let length = u32::try_from(definition.len()).map_err(|_| "the fixed arguments take more than 4 GiB".to_owned())?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(definition);
    instructions.encode(&mut bytes)?;
    Ok(bytes)
}

/// Is a worker, until its task is done.
pub(crate) fn serve() -> Result<(), String> {
    let unable = |error: std::io::Error| format!("this worker of a Boss cannot work: {error}");
    // SAFETY: this process was started as a worker, and its one call of this function is its first step.
    let hired = unsafe { Hired::receive() }.map_err(unable)?;
    panics::keep();
    let left = match run(&hired.instructions) {
        Ok(report) => hired.report(&report),
        Err(failed) => hired.fail(&serde_json::to_vec(&failed).unwrap_or_default()),
    };
    left.map_err(unable)
}

fn run(request: &[u8]) -> Result<Vec<u8>, Failed> {
    let mut report = Vec::new();
    let ran = panics::catch(|| -> Result<(), TaskError> {
        let unreadable = |message| TaskError { type_name: "ArgumentError", message };
        let cut = || unreadable("the instructions are cut off".to_owned());
        let (length, rest) = request.split_first_chunk().ok_or_else(cut)?;
        let (definition, given) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut)?;
        let definition = Definition::from_bytes(definition).map_err(unreadable)?;
        let runner = find(&definition).and_then(|entry| entry.prepare(&definition.fixed)).map_err(unreadable)?;
        runner.run(given, &mut report)
    });
    match ran {
        Ok(Ok(())) => Ok(report),
        Ok(Err(TaskError { type_name, message })) => Err(Failed {
            panicked: false,
            message,
            type_name: type_name.to_owned(),
            location: String::new(),
            backtrace: String::new(),
        }),
        Err(Panic { message, location, backtrace }) => {
            Err(Failed { panicked: true, message, type_name: String::new(), location, backtrace })
        }
    }
}

pub(super) fn decode_failure(bytes: &[u8]) -> Trouble {
    match serde_json::from_slice::<Failed>(bytes) {
        Err(error) => Trouble::in_words(
            TroubleKind::Error,
            format!("the worker failed, and what it said cannot be read: {error}"),
        ),
        Ok(Failed { panicked, message, type_name, location, backtrace }) => {
            let told = |text: String| Some(text).filter(|text| !text.is_empty());
            let kind = if panicked { TroubleKind::Panic } else { TroubleKind::Error };
            let (type_name, location, backtrace) = (told(type_name), told(location), told(backtrace));
            Trouble { type_name, location, backtrace, ..Trouble::in_words(kind, message) }
        }
    }
}
