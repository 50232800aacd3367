//! `ls`, `vars`, `ping`, `doctor`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::home::Home;

#[test]
fn variables_are_listed_with_modes_values_and_who_waits() {
    let home = Home::served();
    home.nws("vars").is(0, "VARIABLE  MODE  VALUES  LEASED  FETCHERS  FINDERS\n", "");
    home.nws("store soup a b").is(0, "", "");
    home.nws("declare it single").is(0, "", "");
    home.nws("vars").is(
        0,
        "VARIABLE  MODE    VALUES  LEASED  FETCHERS  FINDERS\n\
         it        single  0       0       0         0\n\
         soup      fifo    2       0       0         0\n",
        "",
    );
    home.nws("vars --json").is(
        0,
        "[{\"fetchers\":0,\"finders\":0,\"leased\":0,\"mode\":\"single\",\"name\":\"it\",\"values\":0},\
         {\"fetchers\":0,\"finders\":0,\"leased\":0,\"mode\":\"fifo\",\"name\":\"soup\",\"values\":2}]\n",
        "",
    );
}

#[test]
fn every_server_of_this_user_is_listed_embedded_ones_too() {
    let home = Home::new();
    home.nws("ls").is(3, "", "nws ls: no server of yours runs; start one with `nws start`\n");
    home.nws("ls --json").is(3, "[]\n", "");
    assert_eq!(home.nws("start --port 0 --web-port off").code, Some(0));
    home.nws("store -w kitchen x a").is(0, "", "");
    let mut embedded = home.command(["serve", "--embedded"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(embedded.stdout.take().unwrap()).read_line(&mut line).unwrap();

    let listed = home.nws("ls");
    assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
    let servers: Vec<&str> = listed.stdout.split("\n\n").map(str::trim_end).collect();
    let default = "__default  0 variables  owned by [system]  persistent";
    let kitchen = "  kitchen    1 variable";
    assert_eq!(servers.len(), 2, "{}", listed.stdout);
    let of = |start: &str| servers.iter().find(|text| text.starts_with(start)).copied().unwrap_or_default();
    assert_eq!(of("127.0.0.1:PORT (process"), format!("127.0.0.1:PORT (process PID, up AGE)\n  {default}\n{kitchen}"));
    assert_eq!(of("127.0.0.1:PORT (emb"), format!("127.0.0.1:PORT (embedded, process PID, up AGE)\n  {default}"));

    let told: serde_json::Value = serde_json::from_str(&home.nws("ls --json").stdout).unwrap();
    assert_eq!(told.as_array().unwrap().iter().filter(|server| server["embedded"] == true).count(), 1);
    assert_eq!(told[0]["workspaces"][1]["variables"], serde_json::json!(["x"]));
    assert_eq!(
        home.nws(&format!("ls --server {}", home.address())).stdout,
        format!("127.0.0.1:PORT\n  {default}\n{kitchen}\n")
    );
    drop(embedded.stdin.take());
    assert_eq!(embedded.wait().unwrap().code(), Some(0));
}

#[test]
fn ping_says_how_fast_the_answer_comes() {
    let home = Home::served();
    home.nws("ping").is(0, "localhost:PORT answers after TIME µs\n", "");
    home.nws(&format!("ping -s {}", home.socket().display())).is(0, "SOCKET answers after TIME µs\n", "");
    home.nws(&format!("ping -s nws://{}", home.address())).is(0, "127.0.0.1:PORT answers after TIME µs\n", "");
    let told: serde_json::Value = serde_json::from_str(&home.nws("ping -n 5 --json").stdout).unwrap();
    assert_eq!(told["count"], 5);
    assert!(told["least_us"].as_f64() <= told["median_us"].as_f64());
}

#[test]
fn the_server_can_be_named_by_the_environment() {
    let home = Home::served();
    let mut command = home.command(["ping"]);
    command.env("NWS_URL", home.socket()).env("NWS_SERVER_PORT", "1");
    home.ran(&crate::home::output(command.spawn().unwrap())).is(0, "SOCKET answers after TIME µs\n", "");
}

#[test]
fn no_server_is_exit_code_3_and_says_what_there_is() {
    let home = Home::served();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = home.nws(&format!("ping --server {nobody}"));
    ran.is(
        3,
        "",
        &format!(
            "nws ping: no NetWorkSpaces server answers at {nobody}; start one with `nws serve`, or name the address \
             of one that runs (of yours: --server 127.0.0.1:PORT)\n"
        ),
    );
    home.nws("ping --server /no/such/socket").is(
        3,
        "",
        "nws ping: no NetWorkSpaces server answers at /no/such/socket; start one with `nws serve`, or name the address \
         of one that runs (of yours: --server 127.0.0.1:PORT)\n",
    );
    let ran = home.nws("ping --server a:b:c");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert!(ran.stderr.starts_with("nws ping: expected a server as nws://HOST:PORT"), "{}", ran.stderr);
}

#[test]
fn a_wrong_token_is_exit_code_4() {
    let home = Home::served();
    let file = home.path().join("token");
    std::fs::write(&file, "00".repeat(32)).unwrap();
    let ran = home.nws(&format!("ping --server {} --token-file {}", home.address(), file.display()));
    assert_eq!(ran.code, Some(4));
    assert!(ran.stderr.starts_with("nws ping: the server at 127.0.0.1:PORT refused the token"), "{}", ran.stderr);
    std::fs::write(&file, "soup").unwrap();
    home.nws(&format!("ping --token-file {}", file.display())).is(
        2,
        "",
        "nws ping: expected 64 hexadecimal digits in the token file HOME/token\n",
    );
}

#[test]
fn the_doctor_finds_nothing_where_all_is_well_and_what_is_wrong() {
    let home = Home::served();
    let well = home.nws("doctor");
    assert_eq!((well.code, well.stderr.as_str()), (Some(0), ""), "{}", well.stdout);
    for line in ["127.0.0.1:PORT by its socket  answers", "127.0.0.1:PORT by TCP         answers", "servers "] {
        assert!(well.stdout.contains(line), "{}", well.stdout);
    }
    assert!(well.stdout.lines().all(|line| line.starts_with("ok  ")), "{}", well.stdout);

    // A server that is stopped answers nobody.
    let pid = rustix::process::Pid::from_raw(i32::try_from(home.servers()[0].info.pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let ill = home.nws("doctor --json");
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    assert_eq!(ill.code, Some(1), "{}", ill.stdout);
    let told: serde_json::Value = serde_json::from_str(&ill.stdout).unwrap();
    let wrong = told.as_array().unwrap().iter().filter(|finding| finding["ok"] == false);
    let wrong: Vec<&str> = wrong.map(|finding| finding["subject"].as_str().unwrap()).collect();
    assert_eq!(wrong, ["127.0.0.1:PORT by its socket", "127.0.0.1:PORT by TCP", "127.0.0.1:PORT web pages"]);
}
