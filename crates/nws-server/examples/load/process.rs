//! What a server's process has used.

use std::fs;

/// Processor time of all its threads, in nanoseconds.
pub(crate) fn processor_ns(process: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads
        .filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("schedstat")).ok())
        .map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

/// Memory that it has, in bytes.
pub(crate) fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
