//! `nws ping`: whether a server answers, and how fast.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::exit::Failure;
use crate::remote::ServerChoice;

/// Ask a server for a sign of life, and print how long it took.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many times.
    #[arg(long, short = 'n', value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Print one object of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerChoice,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let endpoint = arguments.server.endpoint()?;
    let server = arguments.server.connect()?;
    let mut times = Vec::new();
    for _ in 0..arguments.count {
        let began = Instant::now();
        server.ping()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let us = |time: Duration| (time.as_nanos() as f64 / 100.0).round() / 10.0;
    let (least, most) = (times.first().copied().unwrap_or_default(), times.last().copied().unwrap_or_default());
    let mut output = io::stdout().lock();
    if arguments.json {
        let told = json!({"server": endpoint.to_string(), "count": times.len(), "least_us": us(least),
            "median_us": us(median), "most_us": us(most)});
        return Ok(writeln!(output, "{told}")?);
    }
    if let [only] = times[..] {
        return Ok(writeln!(output, "{endpoint} answers after {} µs", us(only))?);
    }
    let (least, median, most) = (us(least), us(median), us(most));
    Ok(writeln!(output, "{endpoint} answers after {least} to {most} µs, the median is {median} µs")?)
}
