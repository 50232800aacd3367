//! How many threads numerical libraries start in each worker.
//!
//! Each of them starts as many as there are cores, in each of as many workers as there are cores.
//! They are told in the environment, before a worker starts, as they look only once.

use crate::control::WorkerCommand;

/// What is told by one variable.
struct Variable {
    name: &'static str,
    /// Where it is not set, its library follows [`OPENMP`].
    follows_openmp: bool,
}

const OPENMP: &str = "OMP_NUM_THREADS";

const VARIABLES: [Variable; 7] = [
    Variable { name: OPENMP, follows_openmp: true },
    Variable { name: "OPENBLAS_NUM_THREADS", follows_openmp: true },
    Variable { name: "MKL_NUM_THREADS", follows_openmp: true },
    Variable { name: "BLIS_NUM_THREADS", follows_openmp: true },
    Variable { name: "VECLIB_MAXIMUM_THREADS", follows_openmp: false },
    Variable { name: "NUMEXPR_NUM_THREADS", follows_openmp: true },
    Variable { name: "NUMBA_NUM_THREADS", follows_openmp: false },
];

/// How many threads a library may start in each worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// As many as each worker has cores, at least one; variables that the user has set stay.
    #[default]
    Share,
    /// This many, whatever the user has set.
    Each(u32),
    /// Whatever the libraries and the environment say.
    Untouched,
}

impl Threads {
    /// The changes of the environment of each of `workers` workers on `cores` cores, in the form of
    /// [`WorkerCommand::env`]. `is_set` says which variables the environment has.
    pub fn variables(self, workers: u32, cores: u32, is_set: impl Fn(&str) -> bool) -> Vec<(String, Option<String>)> {
        let (threads, forced) = match self {
            Threads::Untouched => return Vec::new(),
            Threads::Each(threads) => (threads, true),
            Threads::Share => ((cores / workers.max(1)).max(1), false),
        };
        let is_free =
            |variable: &&Variable| forced || !(is_set(variable.name) || variable.follows_openmp && is_set(OPENMP));
        let told = VARIABLES.iter().filter(is_free);
        told.map(|variable| (variable.name.to_owned(), Some(threads.to_string()))).collect()
    }

    /// Adds these changes to a command for `workers` workers, which inherit our environment; what
    /// the command sets itself counts as set by the user.
    pub fn limit(self, command: &mut WorkerCommand, workers: u32) {
        let cores = nws_supervise::usable_cores();
        let own: Vec<String> = command.env.iter().map(|(name, _)| name.clone()).collect();
        let is_set = |name: &str| {
            std::env::var_os(name).is_some_and(|value| !value.is_empty()) || own.iter().any(|known| known == name)
        };
        command.env.extend(self.variables(workers, cores, is_set));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(threads: Threads, workers: u32, cores: u32, set: &[&str]) -> Vec<(String, String)> {
        let variables = threads.variables(workers, cores, |name| set.contains(&name));
        variables.into_iter().map(|(name, value)| (name, value.unwrap())).collect()
    }

    #[test]
    fn each_worker_gets_its_share_of_the_cores_and_at_least_one() {
        assert!(told(Threads::Share, 2, 8, &[]).iter().all(|(_, value)| value == "4"));
        assert!(told(Threads::Share, 3, 8, &[]).iter().all(|(_, value)| value == "2"));
        assert!(told(Threads::Share, 9, 8, &[]).iter().all(|(_, value)| value == "1"));
        assert_eq!(told(Threads::Share, 1, 1, &[]).len(), VARIABLES.len());
    }

    #[test]
    fn what_the_user_has_set_stays_also_for_libraries_that_follow_it() {
        let names = |set: &[&str]| -> Vec<String> {
            told(Threads::Share, 2, 8, set).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&[OPENMP]), ["VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS"]);
        let one = names(&["MKL_NUM_THREADS"]);
        assert_eq!(one.len(), VARIABLES.len() - 1);
        assert!(!one.contains(&"MKL_NUM_THREADS".to_owned()));
    }

    #[test]
    fn a_number_overrides_the_user_and_untouched_tells_nothing() {
        let all = told(Threads::Each(3), 2, 8, &[OPENMP, "MKL_NUM_THREADS"]);
        assert_eq!(all.len(), VARIABLES.len());
        assert!(all.iter().all(|(_, value)| value == "3"));
        assert!(told(Threads::Untouched, 2, 8, &[]).is_empty());
    }
}
