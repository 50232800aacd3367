//! The web port, asked without a library.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// What a page holds; it must be there.
pub fn get(web: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect_timeout(&web, PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

/// The numbers of `/metrics` by name, labels included; each line is one or says what one is.
pub fn metrics(web: SocketAddr) -> BTreeMap<String, f64> {
    let text = get(web, "/metrics");
    let mut told = BTreeMap::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            assert!(comment.starts_with("HELP ") || comment.starts_with("TYPE "), "{line}");
            continue;
        }
        let (name, number) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?} is no number"));
        assert!(told.insert(name.to_owned(), number.parse().unwrap()).is_none(), "{name} is there twice");
    }
    told
}
