//! The pages that are made from the program are those in the tree.
//!
//! With `NWS_REWRITE=1` the test writes them anew.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::home::{Home, output};

#[track_caller]
fn matches(home: &Home, what: &str, page: &str) {
    let made = output(home.command(["generate", what]).spawn().unwrap());
    assert_eq!(made.status.code(), Some(0));
    let made = String::from_utf8(made.stdout).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    if std::env::var_os("NWS_REWRITE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differs = made.lines().zip(found.lines()).position(|(made, found)| made != found);
    assert!(
        made == found,
        "{page} is not what the program says, from line {}: run NWS_REWRITE=1 cargo test -p nws-cli pages",
        differs.map_or(found.lines().count().min(made.lines().count()), |line| line) + 1
    );
}

#[test]
fn the_page_of_the_settings_is_up_to_date() {
    matches(&Home::new(), "settings-page", "docs/settings.md");
}

#[test]
fn the_page_of_the_commands_is_up_to_date() {
    matches(&Home::new(), "commands-page", "docs/cli.md");
}

#[test]
fn the_manual_page_is_up_to_date() {
    matches(&Home::new(), "man", "docs/nws.1");
}

#[test]
fn completions_know_commands_and_settings() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let made = home.nws(&format!("completions {shell}"));
        assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(made.stdout.contains("values-memory") && made.stdout.contains("doctor"), "{shell}");
    }
}

/// As bash asks when somebody types these words and presses TAB.
fn completed(home: &Home, words: &str) -> String {
    let script = format!(
        "source /dev/stdin || exit 9; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
         _nws nws \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\""
    );
    let made = output(home.command(["completions", "bash"]).spawn().unwrap());
    let mut shell = Command::new("bash");
    shell.args(["--norc", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    shell.stdin.take().unwrap().write_all(&made.stdout).unwrap();
    let ran = output(shell);
    assert_eq!((ran.status.code(), String::from_utf8_lossy(&ran.stderr).as_ref()), (Some(0), ""), "{words}");
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

#[test]
fn bash_completes_commands_options_and_their_values() {
    let home = Home::new();
    assert_eq!(completed(&home, "nws fe"), "fetch");
    assert_eq!(completed(&home, "nws fetch --tim"), "--timeout");
    assert_eq!(completed(&home, "nws declare x "), "");
    assert_eq!(completed(&home, "nws store --as fl"), "float");
    assert_eq!(completed(&home, "nws ho"), "", "what is for our own processes is not offered");
}

/// The first example of the page, typed into a shell.
#[test]
fn the_example_of_the_page_runs() {
    let home = Home::new();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md")).unwrap();
    let example = page.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    fs::create_dir(home.path().join("results")).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_nws")).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    for step in example.split("$ ").skip(1) {
        let (line, expected) = step.split_once('\n').unwrap();
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("set -o pipefail; {line}")]).current_dir(home.path()).env_clear();
        shell.env("PATH", &path).env("HOME", home.path()).env("NWS_RUNTIME_DIR", home.path().join("run"));
        shell.env("NWS_SERVER_PORT", &port).env("NWS_WEB_PORT", "0");
        shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let ran = output(shell.spawn().unwrap());
        assert_eq!((ran.status.code(), String::from_utf8_lossy(&ran.stderr).as_ref()), (Some(0), ""), "{line}");
        if !expected.is_empty() {
            assert_eq!(String::from_utf8_lossy(&ran.stdout), expected, "{line}");
        }
    }
}
