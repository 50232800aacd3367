//! The parameters of hares and lynxes, from their numbers over the years: `search [FINENESS]`.
//!
//! Each task tries all second parameters with one first. When one of them has found a pair that fits, the
//! master stores that in a workspace. The others look there while they work, and stop.

use std::error::Error;

use nws::sleigh::Sleigh;
use nws::worker;

/// Steps of the simulation.
const STEPS: usize = 500;
/// A pair of parameters fits where the squares of its deviations add up to less.
const TOLERANCE: f64 = 1e-9;

/// How the numbers of hares go, where they grow by `growth` and lynxes catch them by `hunt`.
fn hares(growth: f64, hunt: f64) -> impl Iterator<Item = f64> {
    let (mut hares, mut lynxes) = (1.0, 0.5);
    (0..STEPS).map(move |_| {
        let caught = hunt * hares * lynxes;
        hares += 0.02 * (growth * hares - caught);
        lynxes += 0.02 * (caught - 0.5 * lynxes);
        hares
    })
}

/// The value of a parameter that has this number among `fineness` many.
fn parameter(number: u32, fineness: u32) -> f64 {
    f64::from(number + 1) / f64::from(fineness)
}

/// What a task has found, if anything, and how many pairs it has tried.
type Found = (Option<(u32, u32)>, u32);

/// Tries all values of `hunt` with one of `growth`, until it is found by whomever.
#[nws::task]
fn try_growth(growth: u32, #[fixed] fineness: u32, #[fixed] observed: &[f64]) -> Result<Found, nws::Error> {
    let workspace = worker::user_workspace()?;
    for hunt in 0..fineness {
        if workspace.find_try::<bool>("found")?.is_some() {
            return Ok((None, hunt));
        }
        let simulated = hares(parameter(growth, fineness), parameter(hunt, fineness));
        let deviations = simulated.zip(observed).map(|(one, other)| (one - other) * (one - other));
        if deviations.sum::<f64>() < TOLERANCE {
            return Ok((Some((growth, hunt)), hunt + 1));
        }
    }
    Ok((None, fineness))
}

#[nws::main]
fn main() -> Result<(), Box<dyn Error>> {
    let fineness: u32 = std::env::args().nth(1).map_or(Ok(100), |text| text.parse())?;
    // What has been observed comes from these, which nobody knows.
    let observed: Vec<f64> = hares(parameter(fineness / 4, fineness), parameter(fineness / 2, fineness)).collect();

    let sleigh = Sleigh::builder().build()?;
    let workspace = sleigh.user_workspace().clone();
    let (mut found, mut tried, mut failure) = (None, 0, None);
    let job = try_growth::with((fineness, &observed));
    sleigh.call(job).load_factor(2).each_elem_into(0..fineness, |_, outcome| match outcome {
        Ok((pair, pairs)) => {
            tried += pairs;
            if pair.is_some() {
                found = pair;
                failure = workspace.store("found", true).err().map(Into::into);
            }
        }
        Err(error) => failure = Some(Box::<dyn Error>::from(error)),
    })?;
    if let Some(error) = failure {
        return Err(error);
    }

    let (growth, hunt) = found.ok_or("no pair of parameters fits")?;
    println!("growth {:.4}, hunt {:.4}", parameter(growth, fineness), parameter(hunt, fineness));
    eprintln!("{tried} of {} pairs were tried", fineness * fineness);
    Ok(())
}
