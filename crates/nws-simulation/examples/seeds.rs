//! Writes the inputs that the fuzzers begin with: `seeds FOLDER` fills `FOLDER/TARGET`.

use std::path::PathBuf;
use std::{env, fs, io};

use nws_simulation::fuzz::{handshake_seeds, pickle_seeds, server_seeds};
use nws_testkit::fuzz::seeds;

fn main() -> io::Result<()> {
    let corpus = PathBuf::from(env::args_os().nth(1).ok_or(io::ErrorKind::InvalidInput)?);
    let all = [
        ("frames", seeds::frames()),
        ("classic", seeds::classic()),
        ("histories", seeds::choices()),
        ("handshake", handshake_seeds()),
        ("server", server_seeds()),
        ("simulation", seeds::choices()),
        ("pickles", pickle_seeds()),
    ];
    for (target, inputs) in all {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (number, input) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:03}")), input)?;
        }
    }
    Ok(())
}
