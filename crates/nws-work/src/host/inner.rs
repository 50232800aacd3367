//! The host proper: its loop, and what it does about each thing that happens.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use nws_client::Connection;
use nws_supervise::{End, Happening, ProcessId, Supervisor};

use super::channel::Channel;
use super::crew::Crew;
use super::deaths::Deaths;
use super::guardian::{Guardian, Post, Poster};
use super::memory::MemoryWatch;
use super::seat::{self, CONTROL, Seat, TERMINATION, VIGIL, WARDEN};
use super::server::EmbeddedServer;
use super::terms::Terms;
use super::vigil::Pulse;
use super::worker::Ended;
use crate::clock::monotonic_ns;
use crate::control::{Bootstrap, Cause, FromHost, ServerAddress, Start, ToHost};
use crate::error::WorkError;
use crate::page::Wanted;

/// Most workers on one machine.
const WORKERS: u32 = 4096;
/// How long the end of the server's process may come after that of the connection to it.
const SERVER_END: Duration = Duration::from_millis(500);

const SERVER: u64 = seat::FREE;
const LINKS: u64 = 16;

/// Why everything ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The master asked for it.
    Stopped,
    /// Nobody is left to work for, or the master has been told why.
    Broken,
}

/// The host proper.
pub(super) struct Host {
    pub(super) supervisor: Supervisor,
    pub(super) control: Channel,
    pub(super) server: Option<EmbeddedServer>,
    pub(super) guardian: Option<Guardian>,
    pub(super) crew: Crew,
    posts: Receiver<Post>,
    poster: Poster,
    started: bool,
    settings: serde_json::Value,
    worker_count: u32,
    address: Option<ServerAddress>,
    workspace: Option<String>,
    /// What every worker is told, once all of it is known.
    pub(super) bootstrap: Option<Bootstrap>,
    pub(super) terms: Terms,
    pub(super) memory: Option<MemoryWatch>,
    pub(super) deaths: Deaths,
    pub(super) pulse: Pulse,
    /// `None`: it had ended before this process could look.
    warden: Option<OwnedFd>,
    /// The connection to the server has ended, why, and by when its process is to follow.
    cut_off: Option<(String, Instant)>,
    over: Option<Over>,
}

/// Runs the host proper until its master, its warden or the server ends, or it is asked to end.
/// Its standard input is the control channel.
///
/// # Errors
/// Where the system refuses what every process may do.
pub fn serve(warden_pid: i32) -> io::Result<()> {
    let Seat { supervisor, control, pulse, warden, termination } = Seat::take(warden_pid)?;
    let (poster, posts) = Poster::new(supervisor.waker());
    let mut host = Host {
        supervisor,
        control,
        server: None,
        guardian: None,
        crew: Crew::new(crate::control::WorkerCommand::default(), 0),
        posts,
        poster,
        started: false,
        settings: serde_json::Value::Null,
        worker_count: 0,
        address: None,
        workspace: None,
        bootstrap: None,
        terms: Terms::default(),
        memory: None,
        deaths: Deaths::default(),
        pulse,
        over: warden.is_none().then_some(Over::Broken),
        warden,
        cut_off: None,
    };
    let over = host.run()?;
    host.close(over);
    drop(termination);
    Ok(())
}

impl Host {
    fn run(&mut self) -> io::Result<Over> {
        loop {
            if let Some(over) = self.over {
                return Ok(over);
            }
            let patience = self.patience();
            let happening = self.supervisor.next_event(patience)?;
            self.happened(happening);
            self.look_at_the_clock(Instant::now());
            self.control.flush();
            self.crew.workers().for_each(|(_, worker)| worker.link.flush());
        }
    }

    /// How long nothing is to be done unless something happens.
    fn patience(&mut self) -> Option<Duration> {
        let behind = self.control.is_behind() || self.crew.workers().any(|(_, worker)| worker.link.is_behind());
        let cut_off = self.cut_off.as_ref().map(|(_, until)| *until);
        let server = self.server.as_ref().and_then(|server| server.deadline);
        let memory = self.memory.as_ref().map(MemoryWatch::due);
        let deadlines = [self.deaths.next_deadline(), cut_off, server, memory, Some(self.pulse.next())];
        let deadline = deadlines.into_iter().flatten().min();
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let tasks = self.terms.patience(self.crew.workers().map(|(_, worker)| worker.running_on()), monotonic_ns());
        let left = [left, tasks].into_iter().flatten().min();
        if behind { Some(left.map_or(seat::UNREAD, |left| left.min(seat::UNREAD))) } else { left }
    }

    fn happened(&mut self, happening: Option<Happening>) {
        match happening {
            None => {}
            Some(Happening::Woken) => self.read_posts(),
            Some(Happening::Ended(process, end)) => self.process_ended(process, &end),
            Some(Happening::Readable(CONTROL)) => self.read_control(),
            Some(Happening::Readable(SERVER)) => self.read_server(),
            Some(Happening::Readable(TERMINATION)) => self.died("it was asked to end by SIGTERM", Some(15)),
            Some(Happening::Readable(WARDEN)) => self.died("its warden process has ended", None),
            Some(Happening::Readable(VIGIL)) => self.pulse.listen(),
            Some(Happening::Readable(link)) => self.read_link(link.saturating_sub(LINKS)),
        }
    }

    fn look_at_the_clock(&mut self, now: Instant) {
        self.look_at_deaths(now);
        self.look_at_tasks(monotonic_ns());
        self.look_at_memory(now);
        self.look_at_joining(now);
        if self.pulse.keep(now) {
            self.end_warden();
        }
        if self.cut_off.as_ref().is_some_and(|(_, until)| *until <= now)
            && let Some((reason, _)) = self.cut_off.take()
        {
            self.tell_and_end(&FromHost::ServerDied { cause: Cause::in_words(reason) });
        }
        if self.server.as_ref().and_then(|server| server.deadline).is_some_and(|deadline| deadline <= now) {
            self.fail("the embedded server (nws serve) was started and did not answer in time".to_owned());
        }
    }

    /// The warden is stopped, or hangs: it would not end anything when we die, so all ends now.
    fn end_warden(&mut self) {
        self.died("its warden process was silent (stopped, or hanging)", None);
        seat::kill(self.warden.as_ref());
    }

    fn tell_and_end(&mut self, message: &FromHost) {
        if self.over.is_none() {
            self.control.send(message);
            self.over = Some(Over::Broken);
        }
    }

    fn fail(&mut self, message: String) {
        self.tell_and_end(&FromHost::Failed { message });
    }

    fn died(&mut self, why: &str, signal: Option<i32>) {
        self.tell_and_end(&FromHost::HostDied { cause: Cause { signal, ..Cause::in_words(why) } });
    }

    fn read_control(&mut self) {
        match self.control.receive() {
            Err(error) => self.fail(format!("the host process did not understand its master: {error}")),
            Ok(received) => {
                received.messages.into_iter().for_each(|message| self.obey(message));
                if received.ended {
                    self.over.get_or_insert(Over::Broken);
                }
            }
        }
    }

    fn obey(&mut self, message: ToHost) {
        match message {
            ToHost::Start(start) => self.start(*start),
            ToHost::Launch { workspace } => {
                self.workspace = Some(workspace);
                self.launch();
            }
            ToHost::Run { run, retries, timeout_ms } => self.terms.begin(run, retries, timeout_ms),
            ToHost::RunDone { run } => {
                if let (true, Some(guardian)) = (self.terms.end(run), &self.guardian) {
                    guardian.forget_passed_over(run);
                }
            }
            ToHost::Cancel { run } => {
                self.crew.unwant(run, Wanted::Cancelled);
                self.control.send(&FromHost::Cancelled { run });
            }
            ToHost::Abort { run } => self.abort(run),
            ToHost::CloseGroup => self.close_group(),
            ToHost::Stop => self.over = Some(Over::Stopped),
        }
    }

    fn start(&mut self, start: Start) {
        if self.started || start.worker_count == 0 || start.worker_count > WORKERS {
            let again = if self.started { ", for the second time" } else { "" };
            self.fail(format!("expected to start 1 to {WORKERS} workers once, got {}{again}", start.worker_count));
            return;
        }
        self.started = true;
        self.settings = start.settings;
        self.memory = start.memory_limit_bytes.map(MemoryWatch::new);
        self.worker_count = start.worker_count;
        match start.server {
            Some(address) => self.dial(address),
            None => self.start_server(),
        }
        // They import while the server starts.
        self.crew = Crew::new(start.worker, start.worker_count);
        for rank in 0..start.worker_count {
            self.start_worker(rank);
        }
        self.give_up_if_lost();
    }

    fn start_server(&mut self) {
        let server = EmbeddedServer::start(&mut self.supervisor)
            .and_then(|server| self.supervisor.watch_fd(server.output(), SERVER).map(|()| server));
        match server {
            Ok(server) => self.server = Some(server),
            Err(error) => self.fail(format!("the embedded server cannot be started: {error}")),
        }
    }

    fn read_server(&mut self) {
        let Some(server) = &mut self.server else { return };
        match server.read() {
            Ok(None) => {}
            Ok(Some(announcement)) => {
                self.supervisor.unwatch(server.output());
                let (address, folder) = (announcement.address(), announcement.folder);
                self.control.send(&FromHost::ServerUp { address: address.clone(), folder });
                self.dial(address);
            }
            // Its process tells more when it has ended.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => self.fail(format!("the embedded server did not say where it is: {error}")),
        }
    }

    fn dial(&mut self, address: ServerAddress) {
        self.address = Some(address.clone());
        Guardian::dial(address, self.poster.clone());
    }

    fn read_posts(&mut self) {
        while let Ok(post) = self.posts.try_recv() {
            match post {
                Post::Connected(connection) => self.connected(connection),
                Post::Adopted(adopted) => self.session_ended(adopted),
                Post::Closed(reason) => {
                    // Our server's own end tells more than that of the connection to it.
                    let patience = if self.server.is_some() { SERVER_END } else { Duration::ZERO };
                    self.cut_off.get_or_insert((reason, Instant::now() + patience));
                }
            }
        }
    }

    fn connected(&mut self, connection: Result<Connection, WorkError>) {
        match connection {
            Ok(connection) => {
                if let Some(silence) = connection.silence() {
                    self.pulse.set_silence(silence);
                }
                self.guardian = Some(Guardian::new(connection, self.poster.clone()));
                self.launch();
            }
            Err(error) => self.fail(format!("the host process cannot connect to the server: {error}")),
        }
    }

    /// Lets the workers join, once both connection and workspace are there.
    fn launch(&mut self) {
        let (Some(guardian), Some(workspace), Some(address)) = (&mut self.guardian, &self.workspace, &self.address)
        else {
            return;
        };
        guardian.use_workspace(workspace);
        let bootstrap = self.bootstrap.insert(Bootstrap {
            server: address.clone(),
            workspace: workspace.clone(),
            guardian: guardian.session().0,
            rank: 0,
            worker_count: self.worker_count,
            careful: false,
            captures: false,
            settings: self.settings.clone(),
        });
        for rank in 0..self.worker_count {
            if let Some(cause) = self.crew.given_up(rank) {
                guardian.refuse_tasks_of(rank, &cause);
            }
            self.crew.bootstrap(rank, bootstrap);
        }
    }

    fn start_worker(&mut self, rank: u32) {
        self.crew.start(rank, &mut self.supervisor);
        let Some(worker) = self.crew.worker(rank) else {
            // The tasks of those who are too late were refused when the group was closed.
            if !self.crew.is_late(rank) {
                self.refuse_if_given_up(rank);
            }
            return;
        };
        if let Err(error) = self.supervisor.watch_fd(worker.link.descriptor(), LINKS + u64::from(rank)) {
            self.fail(format!("the link to worker {rank} cannot be watched: {error}"));
        } else if let Some(bootstrap) = &self.bootstrap {
            self.crew.bootstrap(rank, bootstrap);
        }
    }

    fn read_link(&mut self, rank: u64) {
        let Ok(rank) = u32::try_from(rank) else { return };
        let Some(pid) = self.crew.listen(rank) else { return };
        if self.crew.admit(rank) {
            self.control.send(&FromHost::WorkerJoined { rank, pid, at_ns: monotonic_ns() });
        } else {
            self.crew.end(rank, Ended::Late, &mut self.supervisor);
        }
    }

    fn abort(&mut self, run: u32) {
        self.crew.unwant(run, Wanted::Dropped);
        let busy = self.crew.workers().filter(|(_, worker)| worker.running().is_some_and(|running| running.run == run));
        let busy: Vec<u32> = busy.map(|(rank, _)| rank).collect();
        for rank in busy {
            self.crew.end(rank, Ended::Aborted, &mut self.supervisor);
        }
    }

    fn process_ended(&mut self, process: ProcessId, end: &End) {
        if self.server.as_ref().is_some_and(|server| server.process == process) {
            let up = self.server.take().is_some_and(|server| server.deadline.is_none());
            let cause = Cause::from(end);
            self.tell_and_end(&match up {
                true => FromHost::ServerDied { cause },
                false => {
                    FromHost::Failed { message: format!("the embedded server could not be started: {}", cause.text) }
                }
            });
            return;
        }
        let Some(rank) = self.crew.rank_of(process) else { return };
        let Some(death) = self.crew.ended(rank, end) else { return };
        self.start_worker(rank);
        self.worker_ended(death);
        self.give_up_if_lost();
    }

    fn give_up_if_lost(&mut self) {
        if self.over.is_none() && self.crew.is_lost() {
            let causes = self.crew.last_ends();
            self.tell_and_end(&FromHost::NoWorkers { causes });
        }
    }
}
