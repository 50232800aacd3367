//! The orderly end of everything.

use std::time::{Duration, Instant};

use nws_runtime::RuntimeDir;
use nws_supervise::Happening;

use super::inner::{Host, Over};
use super::warden::finish_writing;
use crate::control::FromHost;

/// How long workers may take to end by themselves when their master is done with them.
const WORKERS_GRACE: Duration = Duration::from_millis(500);
/// How long the server may take.
const SERVER_GRACE: Duration = Duration::from_secs(1);

impl Host {
    /// Ends workers, connection and server, in this order, so that none sees another's end as a
    /// failure.
    pub(super) fn close(mut self, over: Over) {
        // What was said before, the server's death for one, is not to wait for what follows.
        self.control.flush();
        self.close_workers(if over == Over::Stopped { WORKERS_GRACE } else { Duration::ZERO });
        if let Some(guardian) = self.guardian.take() {
            guardian.close();
        }
        let grace = self.server.as_mut().map_or(Duration::ZERO, |server| {
            server.ask_to_end();
            SERVER_GRACE
        });
        self.supervisor.end_all(grace);
        if let Ok(folder) = RuntimeDir::open() {
            // To look for servers is to remove the folders of dead ones.
            let _ = folder.servers();
        }
        if over == Over::Stopped {
            self.control.send(&FromHost::Stopped);
        }
        finish_writing(&mut self.control);
    }

    fn close_workers(&mut self, grace: Duration) {
        let mut workers = self.crew.vacate();
        for worker in &mut workers {
            // One that is busy would not see that it is asked to end, and one that is not ready
            // has nothing to bring to an end.
            if worker.running().is_some() || !worker.is_ready() {
                self.supervisor.kill_tree(worker.process);
            }
            worker.link.end();
        }
        let deadline = Instant::now() + grace;
        while !workers.is_empty() && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.supervisor.next_event(Some(left)) {
                Ok(Some(Happening::Ended(ended, _))) => {
                    workers.retain(|worker| worker.process != ended);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        workers.into_iter().for_each(|worker| self.supervisor.kill_tree(worker.process));
    }
}
