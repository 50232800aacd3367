//! `nws serve` as a process: what it says, whom it serves, how it ends, what it leaves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nws_client::{ConnectOptions, Connection, Endpoint};
use nws_proto::{Reply, Request};
use nws_runtime::RuntimeDir;
use rustix::process::{Pid, Signal, kill_process};

/// Nothing that is right takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

struct Serving {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// Held open: its end means something to an embedded server.
    stdin: Option<ChildStdin>,
}

impl Serving {
    fn start(runtime: &Path, arguments: &[&str]) -> Self {
        Self::spawn(&mut command(runtime, arguments))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let stdin = child.stdin.take();
        Self { child, lines, stdin }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the server says where it is")
    }

    /// What stands behind this word in the announcement.
    fn announced(&self, word: &str) -> String {
        loop {
            if let Some(rest) = self.line().strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server ends");
            thread::yield_now();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(runtime: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nws"));
    command.arg("serve").args(arguments).env("NWS_RUNTIME_DIR", runtime);
    command.env_remove("NWS_SERVER_PORT").env_remove("NWS_WEB_PORT");
    command
}

fn fails(runtime: &Path, arguments: &[&str], code: i32) -> String {
    let Output { status, stderr, .. } = command(runtime, arguments).output().unwrap();
    assert_eq!(status.code(), Some(code));
    String::from_utf8(stderr).unwrap()
}

fn runtime() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nws");
    (folder, path)
}

fn ping(endpoint: &Endpoint, token: nws_proto::Token) {
    let options = ConnectOptions { token: Some(token), ..ConnectOptions::default() };
    let connection = Connection::connect(endpoint, options).unwrap();
    assert_eq!(connection.request(Request::Ping).wait().unwrap(), Reply::Pong);
}

fn http(address: SocketAddr, path: &str, host: &str) -> String {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn is_empty(runtime: &Path) -> bool {
    runtime.join("servers").read_dir().unwrap().next().is_none()
}

#[test]
fn a_server_says_where_it_is_serves_and_leaves_nothing() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_folder, runtime) = runtime();
        let mut serving = Serving::start(&runtime, &["--port", "0", "--web-port", "0"]);
        let address: SocketAddr = serving.announced("clients").parse().unwrap();
        let socket = PathBuf::from(serving.announced("socket"));
        let web = serving.announced("web");
        let web: SocketAddr = web.strip_prefix("http://").unwrap().strip_suffix('/').unwrap().parse().unwrap();

        let found = RuntimeDir::at(&runtime).unwrap().by_port(address.port()).unwrap().unwrap();
        assert_eq!((found.info.tcp, found.info.web, &found.info.unix), (Some(address), Some(web), &socket));
        assert_eq!(found.info.pid, serving.child.id());
        assert!(!found.info.embedded);
        ping(&Endpoint::Tcp(address.ip().to_string(), address.port()), found.token.clone());
        ping(&Endpoint::Unix(socket), found.token);

        let health = http(web, "/healthz", "localhost");
        assert!(health.starts_with("HTTP/1.1 200") && health.contains(r#""status":"ok""#), "{health}");
        let nothing = http(web, "/nothing", "localhost");
        assert!(nothing.starts_with("HTTP/1.1 404") && nothing.contains("/healthz"), "{nothing}");
        assert!(http(web, "/healthz", "example.org").starts_with("HTTP/1.1 403"));

        serving.signal(signal);
        assert_eq!(serving.wait().code(), Some(0));
        assert!(is_empty(&runtime));
    }
}

#[test]
fn a_taken_port_is_told_with_who_has_it() {
    let (_folder, runtime) = runtime();
    let serving = Serving::start(&runtime, &["--port", "0", "--web-port", "0"]);
    let address: SocketAddr = serving.announced("clients").parse().unwrap();
    let message = fails(&runtime, &["--port", &address.port().to_string(), "--web-port", "0"], 6);
    let expected = format!("cannot listen on {address}");
    let holder = format!("process {}", serving.child.id());
    assert!(message.contains(&expected) && message.contains(&holder) && message.contains("--port"), "{message}");

    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port().to_string();
    let message = fails(&runtime, &["--port", "0", "--web-port", &port], 6);
    assert!(message.contains(&port) && message.contains("--web-port") && !message.contains("process"), "{message}");
}

#[test]
fn other_machines_are_not_listened_to() {
    let (_folder, runtime) = runtime();
    let message = fails(&runtime, &["--port", "0", "--web-port", "0", "--interface", "0.0.0.0"], 2);
    assert!(message.contains("expected a loopback address") && message.contains("0.0.0.0"), "{message}");
}

#[test]
fn the_ports_can_come_from_the_environment() {
    let (_folder, runtime) = runtime();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = command(&runtime, &[]).env("NWS_SERVER_PORT", port.to_string()).env("NWS_WEB_PORT", "0").output();
    let message = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(message.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{message}");
}

#[test]
fn an_embedded_server_announces_itself_in_json_and_ends_with_its_standard_input() {
    let (_folder, runtime) = runtime();
    let mut serving = Serving::start(&runtime, &["--embedded"]);
    let said: serde_json::Value = serde_json::from_str(&serving.line()).unwrap();
    let token = nws_proto::Token::from_hex(said["token"].as_str().unwrap()).unwrap();
    let folder = PathBuf::from(said["folder"].as_str().unwrap());
    assert!(said["web"].is_null());
    ping(&Endpoint::Unix(said["unix"].as_str().unwrap().into()), token.clone());
    let address: SocketAddr = said["tcp"].as_str().unwrap().parse().unwrap();
    assert!(address.ip().is_loopback());
    assert!(RuntimeDir::at(&runtime).unwrap().servers().unwrap()[0].info.embedded);

    // What a terminal sends to the user's program.
    serving.signal(Signal::INT);
    serving.signal(Signal::HUP);
    ping(&Endpoint::Tcp(address.ip().to_string(), address.port()), token);

    serving.stdin = None;
    assert_eq!(serving.wait().code(), Some(0));
    assert!(!folder.exists());
    assert!(serving.lines.recv_timeout(PATIENCE).is_err(), "one line is all that it says");
}

#[test]
fn what_a_killed_server_leaves_is_swept_by_who_looks_next() {
    let (_folder, runtime) = runtime();
    let mut serving = Serving::start(&runtime, &["--embedded"]);
    serving.line();
    assert_eq!(RuntimeDir::at(&runtime).unwrap().servers().unwrap().len(), 1);
    serving.signal(Signal::KILL);
    serving.wait();
    assert!(!is_empty(&runtime));
    assert!(RuntimeDir::at(&runtime).unwrap().servers().unwrap().is_empty());
    assert!(is_empty(&runtime));
}

#[test]
fn a_server_without_descriptors_serves_who_is_there_and_accepts_again_when_some_are_free() {
    let (_folder, runtime) = runtime();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 24; exec \"$0\" serve --port 0 --web-port 0", env!("CARGO_BIN_EXE_nws")]);
    let serving = Serving::spawn(shell.env("NWS_RUNTIME_DIR", &runtime));
    let address: SocketAddr = serving.announced("clients").parse().unwrap();
    let greeted = || {
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&nws_proto::GREETING).unwrap();
        socket
    };
    let challenged = |mut socket: TcpStream| socket.read_exact(&mut [0; 12 + 52]).map(|()| socket);
    let first = challenged(greeted()).unwrap();
    // More than it has descriptors for: they wait in the kernel's line.
    let many: Vec<TcpStream> = (0..30).map(|_| greeted()).collect();
    drop(first);
    for socket in many {
        // Each is closed as soon as it is served, which makes room for those behind it.
        challenged(socket).unwrap();
    }
}
