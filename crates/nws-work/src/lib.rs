//! Dispatch of tasks to supervised workers: sleigh master, worker, host.
