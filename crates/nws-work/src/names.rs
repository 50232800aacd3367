//! Names of the variables in a sleigh's workspace.

/// Tasks that any worker may run.
pub const TASKS: &str = "tasks";
/// Results of all tasks.
pub const RESULTS: &str = "results";

/// Tasks that only the worker of this rank may run.
pub fn tasks_of(rank: u32) -> String {
    format!("tasks of {rank}")
}

/// What the tasks of this run have in common: function, fixed arguments, options.
pub fn run(run: u32) -> String {
    format!("run {run}")
}

/// Which tasks of bundles are not to be run again where those were given back.
pub fn passed_over(run: u32) -> String {
    format!("passed over of {run}")
}
