//! How commands end that do not end by themselves, and output that nobody reads.

use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, Signal, kill_process};

use crate::home::{Home, output};

#[test]
fn ctrl_c_ends_every_wait() {
    let home = Home::served();
    for (line, waits) in [("fetch x", "\"fetchers\":1"), ("find x", "\"finders\":1"), ("watch x", "\"finders\":1")] {
        let waiting = home.command(line.split(' ')).spawn().unwrap();
        home.until("vars --json", |told| told.contains(waits));
        kill_process(Pid::from_child(&waiting), Signal::INT).unwrap();
        let ended = output(waiting);
        assert_eq!((ended.status.signal(), ended.stderr), (Some(2), Vec::new()), "{line}");
        home.until("vars --json", |told| !told.contains(waits));
    }
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    let home = Home::served();
    // More than a pipe holds.
    home.nws_with("store x -", &vec![b'a'; 1 << 20]).is(0, "", "");
    for line in ["find x", "find x --all", "watch x", "vars", "ls --json", "serve --show-settings", "doctor"] {
        let mut command = home.command(line.split(' '));
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(reader);
        let ended = output(command.stdout(writer).spawn().unwrap());
        assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""), "{line}");
    }
}

#[test]
fn a_server_that_goes_tells_who_waits() {
    let home = Home::served();
    let waiting = home.command(["fetch", "x"]).spawn().unwrap();
    home.until("vars --json", |told| told.contains("\"fetchers\":1"));
    assert_eq!(home.nws("stop").code, Some(0));
    let ended = home.ran(&output(waiting));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(6), ""));
    assert!(ended.stderr.starts_with("nws fetch: the connection to the NetWorkSpaces server has ended"), "{ended:?}");
}
