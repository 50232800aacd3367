//! The thread that reads a connection, gives out what comes, and sends what the kernel did not take
//! at once.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::{Events, Poll};
use nws_proto::{Event, Fault, FrameHeader, Opcode, Reply, Request, decode_part};

use crate::assembly::Assemblies;
use crate::incoming::{Filled, Incoming};
use crate::shared::Shared;

/// Starts it.
pub(crate) fn start(shared: Arc<Shared>, poll: Poll) -> io::Result<()> {
    let run = move || {
        shared.enter_io_thread();
        // Nobody shall wait for an answer that nobody reads, also where a function of a user's panics.
        let ended = catch_unwind(AssertUnwindSafe(|| IoThread::new(&shared, poll).run()));
        let panicked = |_| "a function that was to take an answer panicked".to_owned();
        shared.finish(ended.unwrap_or_else(panicked));
    };
    thread::Builder::new().name("nws-client".to_owned()).spawn(run)?;
    Ok(())
}

struct IoThread<'a> {
    shared: &'a Shared,
    poll: Poll,
    incoming: Incoming,
    assemblies: Assemblies,
    /// When something came last, or a long queue moved.
    heard: Instant,
    /// A ping is unanswered; when it was sent.
    pinged: Option<Instant>,
    /// How far a long queue had come when the silence was looked at last.
    progress: Option<u64>,
}

impl<'a> IoThread<'a> {
    fn new(shared: &'a Shared, poll: Poll) -> Self {
        let incoming = Incoming::new(nws_proto::limits::FRAME_PAYLOAD_BYTES);
        Self {
            shared,
            poll,
            incoming,
            assemblies: Assemblies::default(),
            heard: Instant::now(),
            pinged: None,
            progress: None,
        }
    }

    /// Runs until the connection ends, and says why it did.
    fn run(mut self) -> String {
        let mut events = Events::with_capacity(8);
        loop {
            let timeout = self.shared.silence.map(|silence| self.patience(silence));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return format!("waiting for the socket failed: {error}"),
                Ok(()) => {}
            }
            for event in &events {
                if event.is_writable() {
                    self.shared.flush(true);
                }
                if (event.is_readable() || event.is_read_closed() || event.is_error())
                    && let Err(reason) = self.read(event.is_read_closed() || event.is_error())
                {
                    return reason;
                }
            }
            if let Err(reason) = self.watch_silence() {
                return reason;
            }
        }
    }

    /// Reads what is there; to the end, where that has been announced and will not be again.
    fn read(&mut self, to_the_end: bool) -> Result<(), String> {
        loop {
            let filled = match self.incoming.fill(&self.shared.socket) {
                Ok(filled) => filled,
                Err(error) => return Err(format!("reading from the server failed: {error}")),
            };
            match filled {
                Filled::End => return Err(self.end_without_goodbye()),
                Filled::Nothing => return Ok(()),
                Filled::More | Filled::Drained => {}
            }
            self.heard = Instant::now();
            self.pinged = None;
            while let Some((header, payload)) = self.incoming.next_frame().map_err(|bad| bad.to_string())? {
                self.dispatch(header, payload)?;
            }
            self.shared.flush(false);
            if filled == Filled::Drained && !to_the_end {
                return Ok(());
            }
        }
    }

    fn end_without_goodbye(&self) -> String {
        if self.incoming.is_inside_frame() {
            "the server closed it in the middle of a frame".to_owned()
        } else {
            "the server closed it without a word; it may have been killed".to_owned()
        }
    }

    fn dispatch(&mut self, header: FrameHeader, payload: Bytes) -> Result<(), String> {
        let unreadable = |fault: Fault| format!("the server sent what this client cannot read: {fault}");
        match header.opcode {
            opcode if opcode == Opcode::Ping.to_wire() => self.shared.send_pong(header.request),
            0x80..0xC0 => {
                let asked = if header.opcode == Opcode::Part.to_wire() {
                    let part = decode_part(payload).map_err(unreadable)?;
                    self.assemblies.part(self.shared, header.request, &part)
                } else {
                    let reply = Reply::decode(header.opcode, payload).map_err(unreadable)?;
                    self.assemblies.take(self.shared, header.request, reply)
                };
                if !asked {
                    return Err(format!("the server answered request {}, which nobody made", header.request));
                }
            }
            _ => match Event::decode(header.opcode, payload).map_err(unreadable)? {
                Event::Goodbye(fault) => return Err(format!("the server ended it: {fault}")),
                event => self.shared.tell_event(&event),
            },
        }
        Ok(())
    }

    /// How long until [`IoThread::watch_silence`] has something to do.
    fn patience(&self, silence: Duration) -> Duration {
        match self.pinged {
            None => (silence / 4).saturating_sub(self.heard.elapsed()),
            Some(asked) => (silence - silence / 4).saturating_sub(asked.elapsed()),
        }
    }

    /// Asks a server that has been quiet for a quarter of the silence whether it is there; ends the
    /// connection where it does not say so in the rest of it.
    fn watch_silence(&mut self) -> Result<(), String> {
        let Some(silence) = self.shared.silence.filter(|silence| self.patience(*silence).is_zero()) else {
            return Ok(());
        };
        // A ping would wait behind what is queued; while that moves, somebody reads.
        let progress = self.shared.backlog_progress();
        if progress.is_some() && std::mem::replace(&mut self.progress, progress) != progress {
            (self.heard, self.pinged) = (Instant::now(), None);
            return Ok(());
        }
        if self.pinged.is_some() {
            let silence_ms = Duration::as_millis(&silence);
            return Err(format!("the server was silent for {silence_ms} ms and did not answer a ping"));
        }
        // The rest counts from here: this process may have been stopped meanwhile, not the server.
        self.pinged = Some(Instant::now());
        // It fails only where the connection is ending anyway.
        self.shared.submit_and_forget(&Request::Ping);
        self.shared.flush(false);
        Ok(())
    }
}
