//! A disk that whoever simulates drives: jobs are done at once, or wait to be done in any order, well or
//! not.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::{Completed, Disk, Job, Space, Windows, Worker, do_job};

/// Jobs that are not done.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    held: bool,
    jobs: VecDeque<Job>,
}

impl Waiting {
    /// Takes a job, or gives it back where it is to be done at once.
    pub(super) fn add(&mut self, job: Job) -> Option<Job> {
        if !self.held {
            return Some(job);
        }
        self.jobs.push_back(job);
        None
    }
}

impl Disk {
    /// The same without a thread. Jobs are done at once as long as nothing else is said.
    pub(crate) fn driven(self) -> Self {
        Self { worker: Worker::Driver(Waiting::default()), ..self }
    }

    /// Whether jobs wait from now on for [`Disk::do_one`].
    pub(crate) fn hold(&mut self, held: bool) {
        if let Worker::Driver(waiting) = &mut self.worker {
            waiting.held = held;
        }
    }

    /// Has room for so many files from now on, beside those that there are.
    pub(crate) fn limit_files(&mut self, most: usize) {
        self.space = Arc::new(Space::new(self.space.most_bytes(), most));
    }

    /// How many jobs wait.
    pub(crate) fn waiting_jobs(&self) -> usize {
        match &self.worker {
            Worker::Driver(waiting) => waiting.jobs.len(),
            _ => 0,
        }
    }

    /// Does the job at this place; where it writes or reads and an error is given it fails with that one.
    /// Whether it does either.
    pub(crate) fn do_one(&mut self, place: usize, error: Option<io::Error>) -> bool {
        let Worker::Driver(waiting) = &mut self.worker else { return false };
        let Some(job) = waiting.jobs.remove(place) else { return false };
        match (job, error) {
            (Job::Write { file, bytes, asker, .. }, Some(error)) => {
                let window_bytes = Windows::taken_by(bytes.len());
                drop((bytes, file));
                self.ends.add(Completed { asker, window_bytes, result: Err::<Bytes, _>(error) });
                true
            }
            (Job::Read { file, asker, .. }, Some(error)) => {
                drop(file);
                self.ends.add(Completed { asker, window_bytes: 0, result: Err::<Bytes, _>(error) });
                true
            }
            (job, _) => {
                let moves = !matches!(job, Job::Close(_));
                do_job(job, &self.ends, &self.folder);
                moves
            }
        }
    }
}
