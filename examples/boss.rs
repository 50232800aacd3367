//! How often numbers below a limit are primes, region by region: `boss [LIMIT] [REGIONS]`.
//!
//! A region is one set of instructions, and takes the longer the higher it is. The longest goes first, so
//! that at the end no core waits for one that began late.

use std::error::Error;
use std::time::Duration;

use nws::boss::Boss;
use nws::boss::scheduler::{LongestFirst, OnCores};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Region {
    from: u64,
    to: u64,
}

fn is_prime(number: u64) -> bool {
    number > 1 && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| !number.is_multiple_of(divisor))
}

#[nws::task]
fn count_primes(region: &Region) -> (u64, u64) {
    (region.from, (region.from..region.to).filter(|number| is_prime(*number)).count() as u64)
}

/// What trying all divisors takes, in units of its own.
fn expected(region: &Region) -> Duration {
    Duration::from_micros((region.to - region.from) * region.to.isqrt())
}

#[nws::main]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let limit = arguments.next().unwrap_or(Ok(2_000_000))?;
    let regions = arguments.next().unwrap_or(Ok(20))?.max(1);

    let boss = Boss::builder().scheduler(OnCores(LongestFirst::declared(expected))).build(count_primes::task())?;
    let bound = |number| limit * number / regions;
    boss.set_instructions((0..regions).map(|number| Region { from: bound(number), to: bound(number + 1) }))?;
    boss.make_them_work()?;

    let mut counts: Vec<(u64, u64)> = boss.wait_till_finished()?.workers_report.iter().map(|one| one.report).collect();
    counts.sort_unstable();
    for (from, count) in &counts {
        println!("{count:8} primes from {from}");
    }
    println!("{:8} below {limit}", counts.iter().map(|(_, count)| count).sum::<u64>());
    Ok(())
}
