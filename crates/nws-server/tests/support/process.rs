//! A server in a process of its own, whose memory is not mixed with that of the test.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use nws_server::{Config, Limits, Server};

use super::TOKEN;
use super::http::metrics;

/// Names the test that is the server when it is run in a process of its own.
const ENVIRONMENT: &str = "NWS_TEST_SERVES";

/// To be called by a test of its own, which does nothing unless it was started by [`ServerProcess`].
pub fn serve_if_asked() {
    if std::env::var_os(ENVIRONMENT).is_none() {
        return;
    }
    let any = Some("127.0.0.1:0".parse().unwrap());
    let limits = Limits { values_bytes: 64 << 20, handshake_ms: 300, unsent_bytes: 1 << 20, ..Limits::default() };
    let server = Server::bind(Config { tcp: any, web: any, limits, ..Config::new(TOKEN) }).unwrap();
    let told = format!("serves {} {}\n", server.tcp_addr().unwrap(), server.web_addr().unwrap());
    std::io::stdout().lock().write_all(told.as_bytes()).unwrap();
    server.run().unwrap();
}

/// Ends with this.
pub struct ServerProcess {
    child: Child,
    pub tcp: SocketAddr,
    pub web: SocketAddr,
}

impl ServerProcess {
    /// Runs the test of this name, which calls [`serve_if_asked`].
    pub fn start(test: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(ENVIRONMENT, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let told = lines.find_map(|line| {
            let (tcp, web) = line.strip_prefix("serves ")?.split_once(' ')?;
            Some((tcp.parse().unwrap(), web.parse().unwrap()))
        });
        let (tcp, web) = told.expect("the server says where it is");
        Self { child, tcp, web }
    }

    /// What of its memory is in the machine's.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    pub fn metric(&self, name: &str) -> f64 {
        metrics(self.web)[name]
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
