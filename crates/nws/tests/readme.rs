//! The examples of this crate do what they say; one is the Rust program of the README, word for word.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nws_server::{Config, Server};

const README: &str = include_str!("../../../README.md");
const EXAMPLE: &str = include_str!("../examples/kitchen.rs");
/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands between the first line `opening` and the end of its block.
fn block(opening: &str) -> &'static str {
    let (_, rest) = README.split_once(opening).unwrap_or_else(|| panic!("the README has {opening}"));
    rest.split_once("```\n").expect("the block has an end").0
}

/// Cargo builds the examples of a package before it runs the package's tests.
fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.is_file(), "{} is not built: run all tests of the package, cargo test -p nws", path.display());
    path
}

#[test]
fn the_program_of_the_readme_is_the_example() {
    assert_eq!(block("```rust\n"), EXAMPLE);
}

#[test]
fn the_program_of_the_readme_runs_and_prints_what_it_says() {
    let (_, after) = README.split_once("```rust\n").unwrap();
    let expected = after.split_once("```text\n").unwrap().1.split_once("```\n").unwrap().0;
    assert_eq!(printed("kitchen"), expected);
}

#[test]
fn no_visit_is_lost_by_those_who_count() {
    assert_eq!(printed("counter"), "1000 visits\n");
}

#[test]
fn a_stream_follows_what_is_stored() {
    assert_eq!(printed("watch"), "roof: 21.5 degrees\ncellar: 12.0 degrees\nroof: 22.0 degrees\n");
}

/// What an example prints, with a server of its own.
fn printed(name: &str) -> String {
    let runtime = tempfile::tempdir().unwrap();
    let reservation = nws_runtime::RuntimeDir::at(runtime.path().join("nws")).unwrap().reserve().unwrap();
    let config = Config { unix: Some(reservation.socket_path()), ..Config::default() };
    let token = config.token.clone();
    let server = Server::bind(config).unwrap();
    let info = nws_runtime::ServerInfo {
        pid: std::process::id(),
        tcp: None,
        web: None,
        unix: reservation.socket_path(),
        embedded: true,
        started_unix_s: 0,
    };
    reservation.publish(&info, &token).unwrap();
    let handle = server.handle();
    let serving = thread::spawn(move || server.run());

    let program = Command::new(example(name))
        .arg(reservation.socket_path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(program.wait_with_output()));
    let output = ended.recv_timeout(PATIENCE).expect("the program ends in time").unwrap();
    let (printed, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {complaints}", output.status);

    handle.shutdown();
    serving.join().unwrap().unwrap();
    printed.into_owned()
}
