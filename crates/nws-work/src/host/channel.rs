//! One end of a control channel, never waited for.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, recvmsg, send};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::control::{LINE_BYTES, MOST_DESCRIPTORS};

/// A socket that carries one message a line, both ways.
#[derive(Debug)]
pub(super) struct Channel {
    socket: OwnedFd,
    incoming: Vec<u8>,
    /// What came along with messages, oldest first; an empty set where there was no room for it.
    descriptors: VecDeque<Vec<OwnedFd>>,
    /// What the socket does not take yet.
    outgoing: VecDeque<u8>,
}

/// What has come.
#[derive(Debug)]
pub(super) struct Received<M> {
    pub(super) messages: Vec<M>,
    /// The other end is closed: nothing more will come.
    pub(super) ended: bool,
}

impl Channel {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, incoming: Vec::new(), descriptors: VecDeque::new(), outgoing: VecDeque::new() }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes what has come, and returns at once.
    ///
    /// # Errors
    /// `InvalidData` where a line is too long or not a message.
    pub(super) fn receive<M: DeserializeOwned>(&mut self) -> io::Result<Received<M>> {
        let mut received = Received { messages: Vec::new(), ended: false };
        while self.receive_some(&mut received)? {}
        Ok(received)
    }

    /// As [`Channel::receive`], but no more than a piece: at most one message with descriptors is
    /// among it. `false`: nothing more is there now.
    pub(super) fn receive_some<M: DeserializeOwned>(&mut self, received: &mut Received<M>) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        match recvmsg(&self.socket, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, flags) {
            Ok(message) if message.bytes == 0 => received.ended = true,
            Err(Errno::CONNRESET) => received.ended = true,
            Ok(message) => {
                // What did not fit leaves a gap that only its own message may fall into.
                let cut = message.flags.contains(ReturnFlags::CTRUNC);
                let came = ancillary.drain().filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors.collect::<Vec<_>>()),
                    _ => None,
                });
                let came: Vec<Vec<OwnedFd>> = came.collect();
                if cut {
                    self.descriptors.push_back(Vec::new());
                } else {
                    self.descriptors.extend(came);
                }
                self.take_in(buffer.get(..message.bytes).unwrap_or_default(), &mut received.messages)?;
                return Ok(true);
            }
            Err(Errno::INTR) => return Ok(true),
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(false)
    }

    /// The descriptors that came with the oldest message that has any and was not asked for; empty
    /// where this process had no room for them.
    pub(super) fn take_descriptors(&mut self) -> Option<Vec<OwnedFd>> {
        self.descriptors.pop_front()
    }

    fn take_in<M: DeserializeOwned>(&mut self, mut bytes: &[u8], messages: &mut Vec<M>) -> io::Result<()> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.incoming.extend_from_slice(&bytes[..end]);
            let message = serde_json::from_slice(&self.incoming).map_err(|error| invalid(&error.to_string()))?;
            messages.push(message);
            self.incoming.clear();
            bytes = &bytes[end + 1..];
        }
        if self.incoming.len() + bytes.len() > LINE_BYTES {
            return Err(invalid("a line is too long"));
        }
        self.incoming.extend_from_slice(bytes);
        Ok(())
    }

    /// Says something, now or with a later [`Channel::flush`].
    pub(super) fn send(&mut self, message: &impl Serialize) {
        // Our messages are structs of strings and numbers, which have a JSON form.
        if let Ok(line) = serde_json::to_vec(message) {
            self.outgoing.extend(line);
            self.outgoing.push_back(b'\n');
        }
        self.flush();
    }

    /// Writes what the socket takes. An other end that has gone away is noticed by reading.
    pub(super) fn flush(&mut self) {
        while !self.outgoing.is_empty() {
            match send(&self.socket, self.outgoing.as_slices().0, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => _ = self.outgoing.drain(..count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.outgoing.clear(),
            }
        }
    }

    /// Says no more. What the other end says can still be read.
    pub(super) fn end(&mut self) {
        self.outgoing.clear();
        // It fails only where the other end has gone.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
    }

    /// Whether something is still to be written.
    pub(super) fn is_behind(&self) -> bool {
        !self.outgoing.is_empty()
    }
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("control channel: {problem}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Channel, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Channel::new(ours.into()), theirs)
    }

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let (mut channel, mut peer) = pair();
        peer.write_all(b"\"a\"\n\"b").unwrap();
        let received = channel.receive::<String>().unwrap();
        assert_eq!((received.messages, received.ended), (vec!["a".to_owned()], false));
        peer.write_all(b"c\"\n").unwrap();
        drop(peer);
        let received = channel.receive::<String>().unwrap();
        assert_eq!((received.messages, received.ended), (vec!["bc".to_owned()], true));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let (mut channel, mut peer) = pair();
        peer.write_all(b"nonsense\n").unwrap();
        assert_eq!(channel.receive::<String>().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_line_beyond_the_limit_is_refused_before_it_is_kept() {
        let (mut channel, _peer) = pair();
        channel.incoming = vec![b' '; LINE_BYTES];
        let mut messages = Vec::<String>::new();
        assert!(channel.take_in(b" ", &mut messages).is_err());
        assert_eq!(channel.incoming.len(), LINE_BYTES);
    }

    #[test]
    fn an_end_that_does_not_read_is_not_waited_for() {
        let (mut channel, peer) = pair();
        let long = "x".repeat(1 << 20);
        channel.send(&long);
        assert!(channel.is_behind());
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut std::io::BufReader::new(peer), &mut line).unwrap();
            line
        });
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while channel.is_behind() && std::time::Instant::now() < deadline {
            channel.flush();
            std::thread::yield_now();
        }
        assert_eq!(reader.join().unwrap().len(), long.len() + 3);
        channel.send(&"nobody is there");
        assert!(!channel.is_behind());
    }
}
