//! How near a Boss comes to the shortest time in which its instructions can be done: `boss_bound WORKERS LENGTH...`,
//! lengths in seconds. Prints the seconds from the making of the Boss to its last report.
//!
//! Build it with `--release`. `benches/boss.py` runs it, and the same in Python.

use std::time::{Duration, Instant};

use nws::boss::Boss;
use nws::boss::scheduler::LongestFirst;

/// Takes as long as it says, and no processor.
#[nws::task]
fn wait(length_s: &f64) {
    std::thread::sleep(Duration::from_secs_f64(*length_s));
}

#[nws::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let workers: u32 = arguments.next().ok_or("expected the number of workers and lengths in seconds")?.parse()?;
    let lengths = arguments.map(|text| text.parse()).collect::<Result<Vec<f64>, _>>()?;
    let count = lengths.len();
    let began = Instant::now();
    let longest = LongestFirst::declared(|length_s: &f64| Duration::from_secs_f64(*length_s)).max_threads(workers);
    let boss = Boss::builder().scheduler(longest).build(wait::task())?;
    boss.set_instructions(lengths)?;
    boss.make_them_work()?;
    let report = boss.wait_till_finished()?;
    assert_eq!(report.workers_report.len(), count);
    println!("{:.4}", began.elapsed().as_secs_f64());
    Ok(())
}
