//! A real server in this process, and long values for it.

use nws_client::{ConnectOptions, Endpoint, Value, blocking};
use nws_server::{Config, Limits};

use super::watchdog;

pub const MIB: usize = 1 << 20;

/// A server that has little memory and takes short frames.
pub struct Running {
    pub endpoint: Endpoint,
    pub options: ConnectOptions,
    handle: nws_server::Handle,
    _folder: tempfile::TempDir,
}

impl Running {
    pub fn with(limits: Limits) -> Self {
        watchdog();
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { limits, tmp_dir: folder.path().to_owned(), ..Config::default() };
        config.tcp = Some(([127, 0, 0, 1], 0).into());
        let options = ConnectOptions { token: Some(config.token.clone()), ..ConnectOptions::default() };
        let server = nws_server::Server::bind(config).unwrap();
        let endpoint = Endpoint::Tcp("127.0.0.1".into(), server.tcp_addr().unwrap().port());
        let handle = server.handle();
        std::thread::spawn(|| server.run());
        Self { endpoint, options, handle, _folder: folder }
    }

    pub fn start() -> Self {
        Self::with(Limits { frame_payload_bytes: 4 << 20, values_bytes: 8 << 20, ..Limits::default() })
    }

    pub fn open(&self) -> blocking::Workspace {
        blocking::Server::connect(&self.endpoint, self.options.clone()).unwrap().open("w").unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

/// A value of which no part can stand for another.
pub fn long(salt: u8, length: usize) -> Value {
    // Each block of a mebibyte begins with its number, so that none can stand for another.
    let mut bytes = vec![salt; length];
    for (number, block) in (0u8..).zip(bytes.chunks_mut(MIB)) {
        block[0] = number;
        if let Some(last) = block.last_mut() {
            *last = !number;
        }
    }
    Value::raw(bytes)
}
