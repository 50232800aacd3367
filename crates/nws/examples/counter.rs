//! A number that several programs count up, and none of them loses: in a variable of the mode `single`
//! there is one value at most, and who has fetched it is the only one who has it.

use std::thread;

use nws::blocking::{Server, Workspace};
use nws::{ConnectOptions, Endpoint, Error, Mode};

const THREADS: usize = 4;
const TIMES: usize = 250;

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or("localhost:8765".into());
    let server = Server::connect(&address.parse::<Endpoint>()?, ConnectOptions::default())?;
    let space = server.open("counter")?;
    space.declare("visits", Mode::Single)?;
    space.store("visits", 0u64)?;

    // As well as threads these may be programs on other machines, in other languages.
    let counting: Vec<_> =
        (0..THREADS).map(|_| space.clone()).map(|space| thread::spawn(move || count(&space))).collect();
    for thread in counting {
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    }
    println!("{} visits", space.find::<u64>("visits")?);
    Ok(())
}

fn count(space: &Workspace) -> Result<(), Error> {
    for _ in 0..TIMES {
        // By lease: where this program ends here, the number is back as it was.
        let visits = space.fetch_lease("visits")?;
        let more = visits.read::<u64>()? + 1;
        visits.finish(space, "visits", more)?;
    }
    Ok(())
}
