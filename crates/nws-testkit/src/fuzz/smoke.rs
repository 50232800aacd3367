//! The fuzzers' functions without a fuzzer.

use std::fs;
use std::path::PathBuf;

use super::seeds::place;
use crate::Dice;

const MOST_BYTES: usize = 4096;
const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b' '];

/// Runs `target` on its seeds, on everything that ever failed (`fuzz/regressions/NAME`), and on
/// so many inputs made from both, always the same ones. The input of a failure is kept in a file, and
/// what repeats it is printed.
pub fn smoke(name: &str, target: fn(&[u8]), seeds: Vec<Vec<u8>>, inputs: usize) {
    let mut known = seeds;
    known.extend(regressions(name));
    assert!(!known.is_empty(), "there is nothing to begin with");
    known.iter().for_each(|input| try_one(name, target, input));
    let mut dice = Dice::seeded(1);
    for _ in 0..inputs {
        let input = changed(&known, &mut dice);
        try_one(name, target, &input);
    }
}

fn regressions(name: &str) -> Vec<Vec<u8>> {
    let folder = place("fuzz/regressions").join(name);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("an input that failed once")).collect()
}

fn try_one(name: &str, target: fn(&[u8]), input: &[u8]) {
    let _told = Told { name, input };
    target(input);
}

/// Keeps the input where the run panics.
struct Told<'a> {
    name: &'a str,
    input: &'a [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let folder = format!("fuzz/artifacts/{}", self.name);
            let path = format!("{folder}/smoke-{}", self.input.len());
            let kept = fs::create_dir_all(place(&folder)).and_then(|()| fs::write(place(&path), self.input));
            match kept {
                Ok(()) => eprintln!("the input is in {path}; make fuzz FUZZ_INPUT={path} runs it again"),
                Err(error) => eprintln!("the input could not be kept ({error}): {:02x?}", self.input),
            }
        }
    }
}

/// One of these inputs with a few changes.
fn changed(known: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = known[dice.below(known.len())].clone();
    for _ in 0..1 + dice.below(4) {
        let at = dice.below(input.len() + 1);
        let end = (at + 1 + dice.below(8)).min(input.len()).max(at);
        match dice.below(7) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => drop(input.splice(at..at, input[at..end].to_vec())),
            3 => drop(input.splice(at..at, (0..1 + dice.below(8)).map(|_| dice.roll() as u8))),
            4 => {
                let other = &known[dice.below(known.len())];
                input.extend_from_slice(&other[dice.below(other.len() + 1)..]);
            }
            5 => input[at..end].iter_mut().for_each(|byte| *byte = TELLING[dice.below(TELLING.len())]),
            _ => input[at..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << dice.below(8)),
        }
    }
    input.truncate(MOST_BYTES);
    input
}
