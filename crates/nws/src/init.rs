//! What a program does first, because the processes of its sleighs are the same program.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use nws_work::roles::{self, Role};

use crate::{boss, worker};

static INITIALISED: AtomicBool = AtomicBool::new(false);

/// Takes the part that this process was started for. The first line of `main` in every program that
/// makes a sleigh or a Boss; [`#[nws::main]`](crate::main) writes it.
///
/// The supervisor, the server and the workers of a [`Sleigh`](crate::sleigh::Sleigh) or a
/// [`Boss`](crate::boss::Boss) are the program that makes it, started again with the same arguments. In these processes this function does their
/// work and does not return, so that nothing of `main` but what comes before it runs there. In a
/// process that you started it does nothing. It may be called again.
///
/// ```
/// nws::init();
/// println!("this is printed once, however many workers there are");
/// ```
pub fn init() {
    let Some(role) = roles::assigned() else {
        INITIALISED.store(true, Ordering::Relaxed);
        return;
    };
    roles::enter();
    let result = match role {
        Role::Worker => worker::serve(),
        Role::Hired => boss::serve(),
        role => roles::play(role).map_err(|error| error.to_string()),
    };
    process::exit(match result {
        Ok(()) => 0,
        Err(message) => {
            eprintln!("nws: {message}");
            1
        }
    });
}

/// Whether this process may make sleighs: what it starts would take another part.
pub(crate) fn is_initialised() -> bool {
    INITIALISED.load(Ordering::Relaxed)
}
