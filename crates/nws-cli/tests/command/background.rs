//! `start`, `stop`, `status`.

use std::fs;

use crate::home::{Home, output};

#[test]
fn a_server_starts_is_there_and_stops() {
    let home = Home::new();
    let none = "no server of yours with port 1 runs; start one with `nws start --port 1`\n";
    home.nws("status --port 1").is(3, "", &format!("nws status: {none}"));
    home.nws("status --port 1 --json").is(3, "{\"port\":1,\"running\":false}\n", "");
    home.nws("stop --port 1").is(3, "", "nws stop: no server of yours with port 1 runs\n");
    home.nws("stop --all").is(3, "", "nws stop: no server of yours runs\n");

    let whereabouts =
        "process  PID, up AGE\nclients  127.0.0.1:PORT\nsocket   SOCKET\nweb      http://127.0.0.1:WEB/\n";
    home.nws("start --port 0 --web-port 0").is(
        0,
        &format!("started\n{whereabouts}log      HOME/.local/state/nws/server-any.log\n"),
        "",
    );
    home.nws("status").is(0, whereabouts, "");
    let told: serde_json::Value = serde_json::from_str(&home.nws("status --json").stdout).unwrap();
    assert_eq!((&told["running"], &told["answers"], &told["embedded"]), (&true.into(), &true.into(), &false.into()));
    home.nws("ping").is(0, "localhost:PORT answers after TIME µs\n", "");
    let port = home.address().port();
    home.nws(&format!("start --port {port}")).is(
        0,
        &format!("a server of yours runs on port PORT already; its settings stay\n{whereabouts}"),
        "",
    );

    let folder = home.servers()[0].folder.clone();
    let pid = home.servers()[0].info.pid;
    let stopped = home.nws("stop");
    stopped.is(0, &format!("stopped 127.0.0.1:{port} (process {pid})\n"), "");
    assert!(!folder.exists());
    home.nws(&format!("status --port {port}")).is(
        3,
        "",
        &format!("nws status: no server of yours with port {port} runs; start one with `nws start --port {port}`\n"),
    );
    let log = fs::read_to_string(home.path().join(".local/state/nws/server-any.log")).unwrap();
    let messages: Vec<&str> = log.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!(messages, ["started", "stopped"], "{log}");
}

#[test]
fn all_servers_stop_at_once() {
    let home = Home::served();
    assert_eq!(home.nws("start --port 0 --web-port off").code, Some(0));
    let stopped = home.nws("stop --all");
    assert_eq!((stopped.code, stopped.stdout.lines().count()), (Some(0), 2), "{stopped:?}");
    assert!(home.servers().is_empty());
}

#[test]
fn a_server_that_cannot_start_is_told_with_its_reason() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    home.nws(&format!("start --port {port} --web-port off")).is(
        6,
        "",
        &format!(
            "nws start: the server could not start: cannot listen on 127.0.0.1:{port}: Address already in use (os error \
             98); choose another with --port or --web-port (0 takes any free one)\n"
        ),
    );
    home.nws("start --port 0 --web-port off --interface 0.0.0.0").is(
        2,
        "",
        "nws start: the server could not start: expected a loopback address such as 127.0.0.1 to listen on, got \
         0.0.0.0: without encryption other machines could read the values and the token's proof; reach this one \
         through ssh, or say --insecure where you trust the network\n",
    );
}

#[test]
fn other_machines_are_listened_to_where_it_is_said_aloud_and_the_web_pages_stay_here() {
    let home = Home::served_with(&["--interface", "0.0.0.0", "--insecure", "--log-format", "json"]);
    assert!(home.address().ip().is_unspecified());
    assert!(home.web().ip().is_loopback());
    let port = home.address().port();
    // The token is wanted all the same.
    let ran = home.run(["ping", "--server", &format!("127.0.0.1:{port}"), "--token-file", "/dev/null"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let log = fs::read_to_string(home.path().join(".local/state/nws/server-any.log")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<(&str, &str)> =
        lines.iter().map(|line| (line["level"].as_str().unwrap(), line["message"].as_str().unwrap())).collect();
    assert_eq!(said[0], ("info", "started"));
    assert!(said[1].0 == "warn" && said[1].1.contains("nothing is encrypted"), "{log}");
}

#[test]
fn a_server_that_does_not_end_in_time_is_told() {
    let home = Home::served();
    let pid = home.servers()[0].info.pid;
    let process = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    let ran = home.nws("stop --timeout 20ms");
    rustix::process::kill_process(process, rustix::process::Signal::CONT).unwrap();
    ran.is(1, "", &format!("nws stop: process PID was told to end and is still there; try `kill -9 {pid}`\n"));
}

#[test]
fn a_port_of_0_is_no_servers() {
    let home = Home::served();
    for command in ["stop", "status"] {
        let ran = home.nws(&format!("{command} --port 0"));
        assert!(ran.code == Some(2) && ran.stderr.contains("expected the port of a server, 1 to 65535"), "{ran:?}");
        let asked = home.command([command]).env("NWS_SERVER_PORT", "0").spawn().unwrap();
        let ran = home.ran(&output(asked));
        assert!(ran.code == Some(2) && ran.stderr.contains("expected the port of a server, got \"0\""), "{ran:?}");
    }
}
