//! `nws map`: what is run, what is printed, and the exit code.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::home::{Home, Ran, output};

/// Runs `nws map` with these words and this input.
pub(crate) fn map(home: &Home, words: &[&str], input: &str) -> Ran {
    let mut child = home.command([&["map"], words].concat()).stdin(Stdio::piped()).spawn().unwrap();
    // A run that ends without its input may have ended before this.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    home.ran(&output(child))
}

#[test]
fn a_command_is_run_for_each_input_and_outputs_come_in_order() {
    let home = Home::new();
    // The earlier ones wait for the last, which can end only if all run at a time.
    let wait = "test $1 = 4 && touch last; until test -e last; do :; done; echo $1";
    map(&home, &["-j4", "-C", home.path().to_str().unwrap(), "sh", "-c", wait, "sh"], "1\n2\n3\n4\n").is(
        0,
        "1\n2\n3\n4\n",
        "",
    );
    map(&home, &["--", "echo", "<{}>", "{#}", ":::", "a b", "$(x)", ""], "").is(0, "<a b> 1\n<$(x)> 2\n<> 3\n", "");
    map(&home, &["--unordered", "-j1", "echo", ":::", "1", "2"], "").is(0, "1\n2\n", "");
    map(&home, &["echo"], "").is(0, "", "");
}

#[test]
fn inputs_come_from_lines_files_and_lists() {
    let home = Home::new();
    map(&home, &["-0", "echo"], "a\nb\0c").is(0, "a\nb\nc\n", "");
    let file = home.path().join("in");
    fs::write(&file, "x\ny\n").unwrap();
    map(&home, &["--from", file.to_str().unwrap(), "echo"], "z\n").is(0, "x\ny\n", "");
    map(&home, &["--from", "-", "echo"], "z\n").is(0, "z\n", "");
    map(&home, &["-j1", "echo", "{1}-{2}", ":::", "a", "b", ":::", "1", "2"], "").is(0, "a-1\na-2\nb-1\nb-2\n", "");
    map(&home, &["-n2", "echo", "x{}"], "1\n2\n3\n").is(0, "x1 x2\nx3\n", "");
    map(&home, &["--from", "/no/such", "echo"], "").is(
        6,
        "",
        "nws map: /no/such cannot be read: No such file or directory (os error 2)\n",
    );
}

#[test]
fn inputs_may_be_what_the_command_reads() {
    let home = Home::new();
    map(&home, &["--stdin", "-n2", "--", "sh", "-c", "echo $(cat)"], "a\nb\nc\n").is(0, "a b\nc\n", "");
    // More than a pipe holds, to a command that reads it late and one that does not.
    let long = "x".repeat(300_000);
    map(&home, &["--stdin", "wc", "-c"], &format!("{long}\n")).is(0, "300001\n", "");
    map(&home, &["--stdin", "true"], &format!("{long}\n")).is(0, "", "");
    map(&home, &["sh", "-c", "cat; echo $1", "sh"], "a\n").is(0, "a\n", "");
}

#[test]
fn the_exit_code_tells_of_failures_and_each_is_counted() {
    let home = Home::new();
    let exit = ["-j2", "--", "sh", "-c", "echo out; echo err >&2; exit $1", "sh", "{}"];
    let ran = map(&home, &exit, "0\n3\n0\n4\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "out\nout\nout\nout\n"));
    let told =
        "2 of 4 jobs failed; the first: job 2 (sh -c 'echo out; echo err >&2; exit $1' sh 3) ended with exit code 3";
    assert_eq!(ran.stderr, format!("err\nerr\nerr\nerr\nnws map: {told}\n"));
    let ran = map(&home, &["sh", "-c", "kill -9 $$"], "x\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.ends_with("was killed by signal 9 (SIGKILL)\n"), "{}", ran.stderr);
}

#[test]
fn a_command_that_cannot_be_started_is_told_once() {
    let home = Home::new();
    let ran = map(&home, &["/no/such/command"], &"x\n".repeat(100));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(6), ""));
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.starts_with("nws map: the command cannot be started: cannot start /no/such/command"), "{ran:?}");
    // Where the input says what to run, the others may fare better.
    let ran = map(&home, &["-j1", "{}"], "/no/such/command\ntrue\n");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("1 of 2 jobs failed"), "{}", ran.stderr);
    // So they may where it is the argument that no command can take.
    let ran = map(&home, &["-j1", "echo"], &format!("{}\nb\0\nc\n", "x".repeat(200_000)));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "c\n"));
    assert!(ran.stderr.contains("2 of 3 jobs failed"), "{}", &ran.stderr[ran.stderr.len() - 200..]);
}

#[test]
fn jobs_that_fail_are_run_again_and_only_the_last_try_is_printed() {
    let home = Home::new();
    let try_twice = "echo try $1; echo x >> $1; test $(wc -l < $1) -ge 3";
    let words = ["-j2", "-C", home.path().to_str().unwrap(), "--retries", "2", "sh", "-c", try_twice, "sh"];
    map(&home, &words, "a\nb\n").is(0, "try a\ntry b\n", "");
    assert_eq!(fs::read_to_string(home.path().join("a")).unwrap(), "x\nx\nx\n");
    let ran = map(&home, &["--retries", "2", "sh", "-c", "echo $$; false"], "a\n");
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(1), 1), "{ran:?}");
}

#[test]
fn a_job_that_takes_too_long_is_ended_and_has_failed() {
    let home = Home::new();
    let ran = map(&home, &["-j2", "--timeout", "50ms", "sleep"], "1000\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.ends_with("took too long\n"), "{}", ran.stderr);
    // One that takes the request as its end has failed all the same; one that does not is killed.
    for trap in ["trap 'exit 0' TERM", "trap '' TERM"] {
        let script = format!("{trap}; sleep 1000 & wait; while :; do wait; done");
        let ran = map(&home, &["--timeout", "50ms", "--grace", "50ms", "sh", "-c", &script], "a\n");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.ends_with("took too long\n"), "{}", ran.stderr);
    }
}

#[test]
fn a_failure_shows_the_beginning_of_a_long_command() {
    let home = Home::new();
    let long = "ä".repeat(100_000);
    let ran = map(&home, &["sh", "-c", "false", "sh"], &format!("{long}\n"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("… (2000"), "{}", ran.stderr);
    assert!(ran.stderr.len() < 2_000, "{}", ran.stderr.len());
}

#[test]
fn outputs_that_cannot_be_written_end_the_run_and_it_says_where() {
    let home = Home::new();
    let mut command = home.command(["map", "echo", ":::", "a"]);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = output(command.stdout(full).spawn().unwrap());
    assert_eq!(ended.status.code(), Some(6));
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.starts_with("nws map: cannot write to standard output: No space left on device"), "{told}");
}

#[test]
fn a_failure_may_halt_the_rest() {
    let home = Home::new();
    let ran = map(&home, &["-j1", "--halt", "soon", "sh", "-c", "echo $1; test $1 != 2", "sh"], "1\n2\n3\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "1\n2\n"));
    // The first would never end.
    let ran = map(&home, &["-j2", "--halt", "now", "sh", "-c", "test $1 = 2 || sleep 1000; false", "sh"], "1\n2\n3\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("1 of 1 job failed"), "{}", ran.stderr);
}

#[test]
fn outputs_that_do_not_fit_memory_come_whole() {
    let home = Home::new();
    // 3 MB each, of which the later ones have to wait for the first.
    let script =
        "test $1 = 1 && until test -e last; do :; done; yes job-$1 | head -c 3000000; test $1 = 8 && touch last; :";
    let folder = home.path().to_str().unwrap();
    let ran = map(&home, &["-j8", "-C", folder, "sh", "-c", script, "sh"], "1\n2\n3\n4\n5\n6\n7\n8\n");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let expected: String = (1..=8).map(|job| format!("job-{job}\n").repeat(500_000)[..3_000_000].to_owned()).collect();
    assert!(ran.stdout == expected, "{} bytes", ran.stdout.len());
}

#[test]
fn a_long_output_is_printed_while_its_job_goes_on() {
    let home = Home::new();
    let words = ["map", "sh", "-c", "echo begun; until test -e go; do :; done; echo done", "sh", ":::", "x"];
    for order in ["--keep-order", "--line-buffer"] {
        let mut command = home.command([&words[..1], &[order], &words[1..]].concat());
        let mut child = command.current_dir(home.path()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "begun");
        fs::write(home.path().join("go"), "").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "done");
        assert_eq!(output(child).status.code(), Some(0));
        fs::remove_file(home.path().join("go")).unwrap();
    }
}

#[test]
fn lines_are_whole_and_may_have_tags() {
    let home = Home::new();
    let two_halves = "for i in $(seq 50); do printf $1; printf $1; echo $1; done; printf end";
    let ran = map(&home, &["-j4", "--line-buffer", "--tag", "sh", "-c", two_halves, "sh"], "a\nb\nc\nd\n");
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), 204));
    for line in ran.stdout.lines() {
        let (tag, text) = line.split_once('\t').unwrap();
        assert!(text == tag.repeat(3) || text == "end", "{line}");
    }
    map(&home, &["--tag", "sh", "-c", "echo $1; echo e >&2", "sh"], "a\n").is(0, "a\ta\n", "a\te\n");
}

#[test]
fn json_tells_all_of_each_job() {
    let home = Home::new();
    let script = "printf 'a\\377'; echo 'é\"' >&2; exit $1";
    let ran = map(&home, &["--json", "-j2", "sh", "-c", script, "sh"], "0\n7\n");
    assert_eq!(ran.code, Some(1));
    let jobs: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(jobs.len(), 2);
    for (job, (number, code)) in jobs.iter().zip([(1, 0), (2, 7)]) {
        assert_eq!((&job["job"], &job["exit_code"]), (&number.into(), &code.into()));
        assert_eq!(job["inputs"], serde_json::json!([code.to_string()]));
        assert_eq!(job["command"][4], code.to_string().as_str());
        assert_eq!((&job["stdout_base64"], &job["stderr"]), (&"Yf8=".into(), &"é\"\n".into()));
        assert_eq!((&job["timed_out"], &job["signal"], &job["tries"]), (&false.into(), &Value::Null, &1.into()));
        assert!(job["seconds"].as_f64().unwrap() >= 0.0 && job["start"].as_f64().unwrap() > 1e9);
    }
}

#[test]
fn long_outputs_are_whole_in_json_as_well() {
    let home = Home::new();
    // Lines of three bytes: the first output ends within a letter, and is no text.
    let script = "yes é | head -c $1";
    let ran = map(&home, &["--json", "-j2", "sh", "-c", script, "sh"], "700000\n699999\n");
    assert_eq!(ran.code, Some(0));
    let jobs: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(jobs[0].get("stdout").is_none());
    assert_eq!(jobs[0]["stdout_base64"].as_str().unwrap().len(), 700_000_usize.div_ceil(3) * 4);
    assert!(jobs[1]["stdout"] == "é\n".repeat(233_333).as_str(), "{}", ran.stdout.len());
}

#[test]
fn a_dry_run_prints_the_commands_and_runs_none() {
    let home = Home::new();
    let touched = home.path().join("touched");
    map(&home, &["--dry-run", "touch", touched.to_str().unwrap(), "{}.x"], "a b\nc\n").is(
        0,
        "touch HOME/touched 'a b.x'\ntouch HOME/touched c.x\n",
        "",
    );
    assert!(!touched.exists());
}

#[test]
fn commands_have_the_folder_and_environment_that_was_said() {
    let home = Home::new();
    let folder = home.path().canonicalize().unwrap();
    let words =
        ["-C", folder.to_str().unwrap(), "--env", "A=1=2", "--env", "B=", "sh", "-c", "pwd; echo $A-$B-$1", "sh"];
    let ran = map(&home, &words, "x\n");
    assert_eq!((ran.code, ran.stdout.lines().last()), (Some(0), Some("1=2--x")));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let home = Home::new();
    for (words, told) in [
        (&["map"][..], "required"),
        (&["map", ":::", "x"], "expected a command before :::"),
        (&["map", "-j0", "echo"], "from 1 to 4096"),
        (&["map", "--halt", "later", "echo"], "expected never, soon or now"),
        (&["map", "--json", "--tag", "echo"], "cannot be used with"),
    ] {
        let ran = home.run(words);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{words:?}");
        assert!(ran.stderr.contains(told), "{words:?}: {}", ran.stderr);
    }
}

#[test]
fn progress_is_shown_where_it_is_asked_for() {
    let home = Home::new();
    let script = "until test -e go; do :; done";
    let words = ["map", "--progress", "always", "sh", "-c", script, "sh", ":::", "x"];
    let mut child = home.command(words).current_dir(home.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("[....................] 0/1 jobs, 1 running, 0:0"));
    fs::write(home.path().join("go"), "").unwrap();
    assert_eq!(output(child).status.code(), Some(0));
}

/// The examples of the page, typed into a shell.
#[test]
fn the_examples_of_the_page_of_map_run() {
    let home = Home::new();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/map.md")).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_nws")).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
    let examples = page.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
    let mut count = 0;
    for step in examples.flat_map(|example| example.split("$ ").skip(1).collect::<Vec<_>>()) {
        let (line, expected) = step.split_once('\n').unwrap();
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &format!("exec 2>&1\n{line}")])
            .current_dir(home.path())
            .env_clear()
            .env("PATH", &path)
            .env("HOME", home.path());
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        assert_eq!(home.ran(&output(shell.spawn().unwrap())).stdout, expected, "{line}");
        count += 1;
    }
    assert_eq!(count, 9);
}
