//! How many cores this process may use.

use std::thread::available_parallelism;

/// Overrides the number of workers.
const WISH: &str = "NWS_WORKERS";
/// What Slurm has given to a task, best first: to each of several on a node, or to the job.
const SLURM: [&str; 2] = ["SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"];

/// How many cores this process may use: as many as its affinity mask has, its control groups pay
/// for (of both kinds, each group and those above it), and Slurm has given it, whichever is least.
///
/// # Example
/// ```
/// assert!(nws_supervise::usable_cores() >= 1);
/// ```
pub fn usable_cores() -> u32 {
    limited(kernel(), variable)
}

/// How many workers to start where nobody says: one for each usable core, or as many as the
/// environment variable `NWS_WORKERS` says.
///
/// # Errors
/// Says what was expected where that variable is no count.
///
/// # Example
/// ```
/// assert!(nws_supervise::fitting_workers()? >= 1);
/// # Ok::<(), String>(())
/// ```
pub fn fitting_workers() -> Result<u32, String> {
    wished(kernel(), variable)
}

fn kernel() -> u32 {
    available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn limited(kernel: u32, variable: impl Fn(&str) -> Option<String>) -> u32 {
    // What another program has set is not for us to complain about.
    let slurm = SLURM.into_iter().find_map(|name| count(&variable(name)?));
    slurm.map_or(kernel, |given| given.min(kernel)).max(1)
}

fn wished(kernel: u32, variable: impl Fn(&str) -> Option<String>) -> Result<u32, String> {
    match variable(WISH) {
        Some(wish) => {
            count(&wish).ok_or_else(|| format!("{WISH}: expected a count of workers from 1 up, got {wish:?}"))
        }
        None => Ok(limited(kernel, variable)),
    }
}

fn count(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among<'a>(variables: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> {
        move |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn what_slurm_has_given_limits_what_the_kernel_allows() {
        assert_eq!(limited(8, among(&[])), 8);
        assert_eq!(limited(8, among(&[("SLURM_CPUS_ON_NODE", "6")])), 6);
        assert_eq!(limited(8, among(&[("SLURM_CPUS_ON_NODE", "6"), ("SLURM_CPUS_PER_TASK", "2")])), 2);
        assert_eq!(limited(8, among(&[("SLURM_CPUS_PER_TASK", "64")])), 8, "more than there are");
        assert_eq!(limited(8, among(&[("SLURM_CPUS_PER_TASK", "many"), ("SLURM_CPUS_ON_NODE", "3")])), 3);
        assert_eq!(limited(8, among(&[("SLURM_CPUS_ON_NODE", "0")])), 8);
    }

    #[test]
    fn a_wish_overrides_everything_and_is_checked() {
        assert_eq!(wished(2, among(&[("NWS_WORKERS", "5"), ("SLURM_CPUS_PER_TASK", "1")])), Ok(5));
        assert_eq!(wished(2, among(&[])), Ok(2));
        let error = wished(2, among(&[("NWS_WORKERS", "-1")])).unwrap_err();
        assert!(error.contains("NWS_WORKERS") && error.contains("\"-1\""), "{error}");
    }
}
