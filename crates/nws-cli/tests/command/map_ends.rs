//! Ends of `nws map` before its jobs': signals, kills, output that nobody reads; and going on after them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::home::{Home, output};
use crate::processes::{Process, assert_gone, limit, tree};

/// A run of which two jobs never end, having told so, with children wherever they could flee to.
fn busy(home: &Home, more: &[&str]) -> (Child, Vec<Process>) {
    let script = "(setsid sh -c 'setsid sleep 1000 & sleep 1000' &) ; sleep 1000 & echo $1 >> begun; wait";
    let words = [&["map", "-j2"], more, &["--", "sh", "-c", script, "sh", "{}", ":::", "1", "2", "3"]].concat();
    let mut command = home.command(words);
    let child = command.current_dir(home.path()).process_group(0).spawn().unwrap();
    let begun = home.path().join("begun");
    while fs::read_to_string(&begun).unwrap_or_default().lines().count() < 2 {
        std::thread::yield_now();
    }
    let everything = tree(child.id());
    // The run, warden, host, and two jobs of at least four processes each.
    assert!(everything.len() >= 9, "{}", everything.len());
    (child, everything)
}

fn begun(home: &Home) -> String {
    let mut lines: Vec<String> =
        fs::read_to_string(home.path().join("begun")).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines.join(" ")
}

#[test]
fn a_signal_ends_all_jobs_and_then_the_run_as_that_signal_does() {
    let _limit = limit();
    for (signal, number) in [(Signal::INT, 2), (Signal::TERM, 15), (Signal::HUP, 1)] {
        let home = Home::new();
        let (child, everything) = busy(&home, &["--joblog", "log"]);
        // As a terminal does, to the whole group.
        kill_process_group(Pid::from_child(&child), signal).unwrap();
        let ended = output(child);
        assert_eq!((ended.status.signal(), ended.stderr), (Some(number), Vec::new()));
        assert_gone(&everything);
        assert_eq!(begun(&home), "1 2");
        assert_eq!(fs::read_to_string(home.path().join("log")).unwrap().lines().count(), 1, "only its head");
    }
}

#[test]
fn jobs_may_end_in_their_own_way_when_they_are_asked_to() {
    let _limit = limit();
    let home = Home::new();
    let script = "trap 'echo cleaned >> note; exit 1' TERM; echo ready; sleep 1000 & wait";
    let mut command = home.command(["map", "--grace", "1h", "sh", "-c", script, "sh", ":::", "1"]);
    let mut child = command.current_dir(home.path()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(output(child).status.signal(), Some(2));
    assert_eq!(fs::read_to_string(home.path().join("note")).unwrap(), "cleaned\n");
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    let _limit = limit();
    let home = Home::new();
    let script = "trap 'echo asked >> asked' TERM; echo ready; while :; do sleep 1000 & wait; done";
    let mut command = home.command(["map", "--grace", "1h", "sh", "-c", script, "sh", ":::", "1"]);
    let mut child = command.current_dir(home.path()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let everything = tree(child.id());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    while !home.path().join("asked").exists() {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(output(child).status.signal(), Some(2));
    assert_gone(&everything);
}

#[test]
fn a_run_that_is_killed_leaves_nothing() {
    let _limit = limit();
    let home = Home::new();
    let (child, everything) = busy(&home, &[]);
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    assert_eq!(output(child).status.signal(), Some(9));
    assert_gone(&everything);
}

#[test]
fn the_death_of_the_host_is_told_and_leaves_nothing() {
    let _limit = limit();
    let home = Home::new();
    let (child, everything) = busy(&home, &[]);
    // In the order of the tree the first that the run has started is its warden.
    everything
        .iter()
        .find(|process| crate::processes::command_line(process.pid).contains(" host "))
        .unwrap()
        .signal(Signal::KILL);
    let ended = output(child);
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(6), "{told}");
    assert!(told.starts_with("nws map: the process that starts the commands has ended"), "{told}");
    assert_gone(&everything);
}

#[test]
fn output_that_nobody_reads_ends_the_run_and_is_no_error() {
    let _limit = limit();
    let home = Home::new();
    for order in ["--keep-order", "--line-buffer", "--unordered"] {
        // Inputs and outputs without end, of which one line is read.
        let mut child = home.command(["map", "-j2", order, "echo"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let feeding = std::thread::spawn(move || while input.write_all(b"x\n").is_ok() {});
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let everything = tree(child.id());
        let ended = output(child);
        assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""), "{order}");
        assert_gone(&everything);
        feeding.join().unwrap();
        assert_eq!(first, "x\n");
    }
}

#[test]
fn a_run_whose_output_is_not_read_can_be_interrupted() {
    let _limit = limit();
    let home = Home::new();
    let mut child = home.command(["map", "-j2", "yes", ":::", "1", "2", "3"]).spawn().unwrap();
    // It has something to say, and then nobody listens.
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 10]).unwrap();
    let everything = tree(child.id());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_gone(&everything);
    assert_eq!(child.wait().unwrap().signal(), Some(2));
}

/// Numbers of jobs in the log, in order.
fn logged(path: &Path) -> Vec<u64> {
    let log = fs::read_to_string(path).unwrap();
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let mut numbers: Vec<u64> =
        whole.lines().skip(1).map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn no_job_that_the_log_has_is_run_again_and_none_is_lost_however_often_the_run_is_killed() {
    let _limit = limit();
    let home = Home::new();
    let inputs: Vec<String> = (1..=60).map(|number| number.to_string()).collect();
    fs::write(home.path().join("in"), inputs.join("\n")).unwrap();
    let log = home.path().join("log");
    let words = ["map", "-j3", "--joblog", "log", "--resume", "--from", "in", "sh", "-c", "echo done $1", "sh"];
    let mut printed = String::new();
    let mut known = Vec::new();
    for round in 1.. {
        let mut child = home.command(words).current_dir(home.path()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        // It is killed after some lines, with others under way; with a line of the log cut off.
        let mut ended = false;
        for _ in 0..7 {
            ended |= lines.read_line(&mut printed).unwrap() == 0;
        }
        let _ = kill_process(Pid::from_child(&child), Signal::KILL);
        let code = output(child).status;
        // What it wrote before it was killed.
        lines.read_to_string(&mut printed).unwrap();
        let now = logged(&log);
        assert!(known.iter().all(|job| now.contains(job)), "round {round}: {known:?} {now:?}");
        let mut unique = now.clone();
        unique.dedup();
        assert_eq!(unique, now, "no job that the log had was run again");
        for job in &now {
            assert!(printed.contains(&format!("done {job}\n")), "round {round}: the log has {job}, and it is lost");
        }
        known = now;
        if ended || code.success() {
            break;
        }
        let text = fs::read(&log).unwrap();
        if text.last() == Some(&b'\n') {
            fs::write(&log, [&text[..], b"17\t:\t12"].concat()).unwrap();
        }
    }
    home.command(words).current_dir(home.path()).output().unwrap();
    assert_eq!(logged(&log), (1..=60).collect::<Vec<u64>>());
}

#[test]
fn what_failed_may_be_run_again_by_the_log() {
    let _limit = limit();
    let home = Home::new();
    let run = |more: &[&str]| {
        let words =
            [&["map", "-j1", "--joblog", "log"], more, &["sh", "-c", "echo $1; test -e ok || test $1 != 2", "sh"]];
        let words = [&words.concat()[..], &[":::", "1", "2", "3"]].concat();
        home.ran(&output(home.command(words).current_dir(home.path()).spawn().unwrap()))
    };
    let ran = run(&[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "1\n2\n3\n"));
    run(&["--resume"]).is(0, "", "");
    fs::write(home.path().join("ok"), "").unwrap();
    run(&["--resume-failed"]).is(0, "2\n", "");
    run(&["--resume-failed"]).is(0, "", "");
    let log = fs::read_to_string(home.path().join("log")).unwrap();
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines[0].join(" "), "Seq Host Starttime JobRuntime Send Receive Exitval Signal Command");
    let mut told: Vec<(&str, &str, &str)> = lines[1..].iter().map(|line| (line[0], line[6], line[7])).collect();
    assert_eq!(told.pop(), Some(("2", "0", "0")), "the second run's");
    // A line follows the end of a job's output, which may be read later than the next job's.
    told.sort_unstable();
    assert_eq!(told, [("1", "0", "0"), ("2", "1", "0"), ("3", "0", "0")]);
    let other =
        home.command(["map", "--joblog", "log", "--resume", "echo", ":::", "1"]).current_dir(home.path()).spawn();
    let ran = home.ran(&output(other.unwrap()));
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("got another command for job 1: echo 1"), "{}", ran.stderr);
}
