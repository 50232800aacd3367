//! Warden and host watch each other.
//!
//! A process that is stopped, or hangs, does not end, so nobody would see it. The host says once a
//! second that it is there, and how long a silence counts; the warden says it back. What is silent for
//! longer is ended by the other, and with it the sleigh, whose master is told the cause.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nws_proto::limits::SILENCE_DEFAULT_MS;
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

/// The host's end of the line to its warden.
pub(super) const VIGIL_FD: RawFd = 3;
/// How often the host says that it is there.
const BEAT: Duration = Duration::from_secs(1);

/// What comes over the line has its own bounds: one message is one beat.
const BEAT_BYTES: usize = 4;

fn beat(socket: impl AsFd, silence: Duration) {
    let silence_ms = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
    // Where there is no room, enough is there already; where nobody is left, that is told elsewhere.
    let _ = send(socket, &silence_ms.to_le_bytes(), SendFlags::NOSIGNAL);
}

/// Takes all beats that have come; the last one.
fn beats(socket: impl AsFd) -> Heard {
    let mut heard = Heard::Nothing;
    let mut bytes = [0; BEAT_BYTES];
    loop {
        match recv(&socket, &mut bytes, RecvFlags::empty()) {
            Ok((0, _)) => return Heard::End,
            Ok(_) => heard = Heard::Beat(Duration::from_millis(u32::from_le_bytes(bytes).into())),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return heard,
            Err(_) => return Heard::End,
        }
    }
}

/// What came over the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Beat(Duration),
    /// The other end is closed: it is ending, which is seen elsewhere.
    End,
}

/// The warden's end.
#[derive(Debug)]
pub(super) struct Watch {
    socket: OwnedFd,
    /// By when the next beat is to come; `None`: none will.
    due: Option<Instant>,
    /// How long the host may be silent.
    silence: Duration,
}

impl Watch {
    /// A line of which the host is to inherit the second end as [`VIGIL_FD`].
    pub(super) fn new(now: Instant) -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (socket, its_end) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let silence = Duration::from_millis(SILENCE_DEFAULT_MS.into());
        Ok((Self { socket, due: Some(now + BEAT + silence), silence }, its_end))
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes what has come, and answers it. Whether more may come.
    pub(super) fn listen(&mut self, now: Instant) -> bool {
        match beats(&self.socket) {
            Heard::Nothing => {}
            Heard::Beat(silence) => {
                self.due = Some(now + BEAT + silence);
                self.silence = silence;
                beat(&self.socket, silence);
            }
            Heard::End => self.due = None,
        }
        self.due.is_some()
    }

    /// When [`Watch::is_silent`] is to be asked next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether the host has been silent for too long, to be asked when that is [due](Watch::due). Told once.
    pub(super) fn is_silent(&mut self, now: Instant) -> bool {
        // This process may have been stopped itself, and what came meanwhile counts.
        self.listen(now);
        match self.due {
            // All were stopped, as where a batch system freezes a job: the host is given its time anew.
            Some(due) if now >= due + BEAT => self.due = Some(now + BEAT + self.silence),
            Some(due) if now >= due => return self.due.take().is_some(),
            _ => {}
        }
        false
    }
}

/// The host's end.
#[derive(Debug)]
pub(super) struct Pulse {
    socket: OwnedFd,
    next: Instant,
    /// When the oldest beat was sent that is not answered.
    unanswered: Option<Instant>,
    silence: Duration,
}

impl Pulse {
    /// The line that this process was given when it was started.
    pub(super) fn inherited(now: Instant) -> io::Result<Self> {
        // SAFETY: the warden hands this descriptor over, and nothing in this process has taken it.
        let socket = unsafe { OwnedFd::from_raw_fd(VIGIL_FD) };
        fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
        Ok(Self::over(socket, now))
    }

    fn over(socket: OwnedFd, now: Instant) -> Self {
        let silence = Duration::from_millis(SILENCE_DEFAULT_MS.into());
        Self { socket, next: now, unanswered: None, silence }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// After how much silence either is ended, from now on.
    pub(super) fn set_silence(&mut self, silence: Duration) {
        self.silence = silence;
    }

    pub(super) fn silence(&self) -> Duration {
        self.silence
    }

    /// Takes what has come.
    pub(super) fn listen(&mut self) {
        if beats(&self.socket) != Heard::Nothing {
            self.unanswered = None;
        }
    }

    /// Says that the host is there, when it is time for that. Whether the warden has been silent for
    /// too long.
    pub(super) fn keep(&mut self, now: Instant) -> bool {
        self.listen();
        let is_silent = self.unanswered.is_some_and(|since| now >= since + self.silence);
        if now >= self.next {
            self.next = now + BEAT;
            self.unanswered.get_or_insert(now);
            beat(&self.socket, self.silence);
        }
        is_silent
    }

    /// When [`Pulse::keep`] is to be called next.
    pub(super) fn next(&self) -> Instant {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(now: Instant) -> (Watch, Pulse) {
        let (watch, its_end) = Watch::new(now).unwrap();
        (watch, Pulse::over(its_end, now))
    }

    #[test]
    fn two_that_are_there_are_never_silent() {
        let start = Instant::now();
        let (mut watch, mut pulse) = line(start);
        for second in 0..100 {
            let now = start + second * BEAT;
            assert!(!pulse.keep(now));
            assert!(watch.listen(now));
            assert!(!watch.is_silent(now));
        }
    }

    #[test]
    fn a_host_that_says_nothing_for_the_silence_it_named_is_told_once() {
        let start = Instant::now();
        let (mut watch, mut pulse) = line(start);
        pulse.set_silence(Duration::from_secs(7));
        pulse.keep(start);
        assert!(watch.listen(start));
        assert!(!watch.is_silent(start + Duration::from_millis(7999)));
        assert!(watch.is_silent(start + Duration::from_secs(8)));
        assert!(!watch.is_silent(start + Duration::from_secs(80)));
    }

    #[test]
    fn a_warden_that_does_not_answer_is_told() {
        let start = Instant::now();
        let (watch, mut pulse) = line(start);
        let silence = Duration::from_millis(SILENCE_DEFAULT_MS.into());
        assert!(!pulse.keep(start));
        assert!(!pulse.keep(start + silence - Duration::from_millis(1)));
        assert!(pulse.keep(start + silence));
        drop(watch);
    }

    #[test]
    fn who_was_stopped_itself_takes_what_came_meanwhile_first() {
        let start = Instant::now();
        let (mut watch, mut pulse) = line(start);
        pulse.keep(start);
        let late = start + Duration::from_secs(600);
        assert!(!watch.is_silent(late), "the beat was there");
        assert!(!pulse.keep(late), "the answer was there");
    }

    #[test]
    fn a_host_that_was_frozen_together_with_its_warden_is_given_its_time_anew() {
        let start = Instant::now();
        let (mut watch, mut pulse) = line(start);
        pulse.keep(start);
        assert!(watch.listen(start));
        let thawed = start + Duration::from_secs(600);
        assert!(!watch.is_silent(thawed));
        assert!(watch.is_silent(watch.due().unwrap()));
    }

    #[test]
    fn the_end_of_the_host_is_no_silence() {
        let start = Instant::now();
        let (mut watch, pulse) = line(start);
        drop(pulse);
        assert!(!watch.listen(start));
        assert_eq!(watch.due(), None);
        assert!(!watch.is_silent(start + Duration::from_secs(600)));
    }
}
