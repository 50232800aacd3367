//! `nws map` where the system refuses more descriptors or processes: jobs wait for others' ends.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::home::{Home, output};
use crate::processes::{host_among, limit, tree};

/// `nws map` in a shell that has set a limit.
fn limited(home: &Home, limits: &str, words: &[&str]) -> Command {
    let map = home.command([&["map"], words].concat());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limits} && exec \"$@\""), "sh"]).arg(map.get_program()).args(map.get_args());
    shell.envs(map.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(home.path());
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

#[test]
fn jobs_for_which_there_are_no_descriptors_wait_for_others_to_end() {
    let _limit = limit();
    let home = Home::new();
    fs::create_dir(home.path().join("begun")).unwrap();
    // None ends before five have begun, and no more than a few dozen fit.
    let script = "touch begun/$1; until test $(ls begun | wc -l) -ge 5; do :; done; echo $1";
    let inputs: Vec<String> = (1..=100).map(|number| number.to_string()).collect();
    let words = [&["-j100", "--joblog", "log", "--", "sh", "-c", script, "sh", "{}", ":::"][..]];
    let words: Vec<&str> = words.concat().into_iter().chain(inputs.iter().map(String::as_str)).collect();
    let ran = home.ran(&output(limited(&home, "ulimit -n 72", &words).spawn().unwrap()));
    ran.is(0, &format!("{}\n", inputs.join("\n")), "");
    let log = fs::read_to_string(home.path().join("log")).unwrap();
    assert_eq!(log.lines().count(), 101, "each is logged once:\n{log}");
}

#[test]
fn where_not_even_one_job_can_be_started_it_is_told_which_limit_that_is() {
    let _limit = limit();
    let home = Home::new();
    let mut told = String::new();
    // The fewest with which anything can be said differs; the first beyond that has no room for a job.
    for descriptors in 8..100 {
        let words = ["--joblog", "log", "--", "true", ":::", "1"];
        let ran = output(limited(&home, &format!("ulimit -n {descriptors}"), &words).spawn().unwrap());
        let error = String::from_utf8_lossy(&ran.stderr).into_owned();
        if ran.status.success() {
            break;
        }
        if error.contains("job 1 cannot be started") {
            assert_eq!(ran.status.code(), Some(6), "{error}");
            let log = fs::read_to_string(home.path().join("log")).unwrap();
            assert_eq!(log.lines().count(), 1, "it has neither been done nor failed");
            told = error;
        }
    }
    assert!(told.contains("ulimit -n") && told.contains("fewer at a time"), "{told:?}");
}

#[test]
fn jobs_that_the_process_which_starts_them_has_no_room_for_wait_for_others_to_end() {
    let _limit = limit();
    let home = Home::new();
    let words = ["map", "-j100", "--joblog", "log", "--", "sh", "-c", "read line < go; echo $1", "sh", "{}"];
    assert!(Command::new("mkfifo").arg(home.path().join("go")).status().unwrap().success());
    let mut command = home.command(words);
    let mut child = command.current_dir(home.path()).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut expected = String::from("0\n");
    input.write_all(expected.as_bytes()).unwrap();
    // It waits for whoever writes, so this waits until it runs.
    let mut go = fs::File::options().write(true).open(home.path().join("go")).unwrap();
    let host = host_among(tree(child.id()));
    let allowed = host.most_descriptors() + 6;
    host.allow_descriptors(allowed);
    for number in 1..100 {
        expected.push_str(&format!("{number}\n"));
    }
    input.write_all(expected.trim_start_matches("0\n").as_bytes()).unwrap();
    drop(input);
    // None ends before there is no room for two more descriptors, which a job needs.
    while host.most_descriptors() + 1 < allowed {
        std::thread::yield_now();
    }
    for _ in 0..100 {
        go.write_all(b"go\n").unwrap();
    }
    let ran = home.ran(&output(child));
    drop(go);
    ran.is(0, &expected, "");
    let log = fs::read_to_string(home.path().join("log")).unwrap();
    assert_eq!(log.lines().count(), 101, "each is logged once:\n{log}");
}
