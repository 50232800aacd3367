//! How many trivial tasks a second go through a sleigh: `map_rate [TASKS [ROUNDS]]`, two workers.
//!
//! Build it with `--release`. `benches/map_rate.py` measures the same in Python.

use std::time::Instant;

use nws::sleigh::Sleigh;

#[nws::task]
fn cube(x: i64) -> i64 {
    x.wrapping_mul(x).wrapping_mul(x)
}

#[nws::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let count: i64 = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let rounds: u32 = arguments.next().map_or(Ok(8), |text| text.parse())?;
    let sleigh = Sleigh::builder().workers(2).build()?;
    for _ in 0..rounds {
        let began = Instant::now();
        let cubes = sleigh.each_elem(cube::task(), 0..count)?;
        let seconds = began.elapsed().as_secs_f64();
        assert!(cubes.into_iter().eq((0..count).map(cube)));
        println!("{count} tasks in {seconds:.3} s: {:.0} tasks/s", count as f64 / seconds);
    }
    Ok(())
}
