//! A client of the classic protocol, as its page describes it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{PATIENCE, Socket, is_end};

/// A connection that was welcomed.
pub struct Old {
    socket: Socket,
    cookies: bool,
}

/// A value, as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    pub done: bool,
    pub descriptor: u64,
    /// The variable's id as it was sent, empty where the client wants no cookies.
    pub id: String,
    pub index: u64,
    pub value: Vec<u8>,
}

/// The bytes of a request.
pub fn request<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("{:04}", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("{:020}", argument.as_ref().len()).as_bytes());
        bytes.extend_from_slice(argument.as_ref());
    }
    bytes
}

impl Old {
    pub fn tcp(address: SocketAddr, greeting: &[u8; 4]) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).unwrap(), greeting)
    }

    pub fn over(socket: TcpStream, greeting: &[u8; 4]) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self::greet(Socket::Tcp(socket), greeting)
    }

    pub fn unix(path: &Path, greeting: &[u8; 4]) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::greet(Socket::Unix(socket), greeting)
    }

    fn greet(socket: Socket, greeting: &[u8; 4]) -> Self {
        let mut client = Self { socket, cookies: !matches!(greeting, b"0000" | b"1111") };
        client.send_bytes(greeting);
        assert_eq!(client.receive(4), b"2223");
        client
    }

    pub fn address(&self) -> SocketAddr {
        match &self.socket {
            Socket::Tcp(socket) => socket.local_addr().unwrap(),
            Socket::Unix(_) => panic!("expected a client over TCP"),
        }
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Sends where the server may have closed the connection already.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    pub fn set_write_patience(&mut self, patience: std::time::Duration) {
        match &self.socket {
            Socket::Tcp(socket) => socket.set_write_timeout(Some(patience)).unwrap(),
            Socket::Unix(socket) => socket.set_write_timeout(Some(patience)).unwrap(),
        }
    }

    pub fn send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        self.send_bytes(&request(arguments));
    }

    /// Tells the server that nothing more comes, unless it has gone.
    pub fn end_writing(&self) {
        let _ = match &self.socket {
            Socket::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Socket::Unix(socket) => socket.shutdown(Shutdown::Write),
        };
    }

    pub fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes).expect("the server answers");
        bytes
    }

    fn receive_number(&mut self, digits: usize) -> u64 {
        let text = String::from_utf8(self.receive(digits)).unwrap();
        text.parse().unwrap_or_else(|_| panic!("expected {digits} digits, got {text:?}"))
    }

    pub fn receive_status(&mut self) -> bool {
        match self.receive_number(4) {
            0 => true,
            1 => false,
            other => panic!("expected the status 0 or 1, got {other}"),
        }
    }

    pub fn receive_value(&mut self) -> Got {
        let (done, descriptor) = (self.receive_status(), self.receive_number(20));
        let (id, index) = if self.cookies {
            (String::from_utf8(self.receive(20)).unwrap(), self.receive_number(20))
        } else {
            (String::new(), 0)
        };
        let length = self.receive_number(20);
        Got { done, descriptor, id, index, value: self.receive(length as usize) }
    }

    /// Asks what is answered with a status.
    pub fn status<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> bool {
        self.send(arguments);
        self.receive_status()
    }

    /// Asks what is answered with a value.
    pub fn value<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Got {
        self.send(arguments);
        self.receive_value()
    }

    /// Stores text.
    pub fn store(&mut self, workspace: &str, variable: &str, value: impl AsRef<[u8]>) {
        let descriptor = format!("{:020}", 0x0100_0001);
        let arguments = [b"store", workspace.as_bytes(), variable.as_bytes(), descriptor.as_bytes(), value.as_ref()];
        assert!(self.status(&arguments));
    }

    /// A line of `list vars`: values, waiting fetchers, waiting finders, mode.
    pub fn listed(&mut self, workspace: &str, variable: &str) -> Option<String> {
        let listed = self.value(&["list vars", workspace]);
        assert!(listed.done);
        let text = String::from_utf8(listed.value).unwrap();
        text.lines().find_map(|line| Some(line.strip_prefix(variable)?.strip_prefix('\t')?.to_owned()))
    }

    /// The connection ends without another byte.
    pub fn ended(mut self) {
        match self.socket.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if is_end(&error) => {}
            other => panic!("expected the end of the connection, got {other:?}"),
        }
    }
}
