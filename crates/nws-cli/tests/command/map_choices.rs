//! `nws map`: when enough jobs have ended, which slots jobs have, and outputs that nobody gathers.

use std::collections::BTreeSet;
use std::fs;

use crate::home::Home;
use crate::map::map;
use crate::processes::limit;

#[test]
fn enough_successes_end_the_run_well_whatever_became_of_others() {
    let _limit = limit();
    let home = Home::new();
    // All but one would never end, or fail.
    let script = "test $1 = 1 && exit 1; test $1 = 3 && echo found && exit; exec sleep 1000";
    let ran = map(&home, &["-j3", "--halt", "now,success=1", "sh", "-c", script, "sh"], "1\n2\n3\n4\n");
    ran.is(0, "found\n", "");
    let ran = map(&home, &["-j1", "--halt", "soon,success=2", "echo"], "1\n2\n3\n");
    ran.is(0, "1\n2\n", "");
}

#[test]
fn ends_and_shares_of_failures_end_the_run() {
    let home = Home::new();
    let ran = map(&home, &["-j1", "--halt", "soon,done=2", "sh", "-c", "echo $1; test $1 = 1", "sh"], "1\n2\n3\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "1\n2\n"));
    // The third failure is the sixth end.
    let script = "echo $1; test $(($1 % 2)) = 1";
    let inputs: String = (1..=20).map(|number| format!("{number}\n")).collect();
    let ran = map(&home, &["-j1", "--halt", "soon,fail=50%", "sh", "-c", script, "sh"], &inputs);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "1\n2\n3\n4\n5\n6\n"));
    let ran = map(&home, &["-j1", "--halt", "soon,fail=51%", "sh", "-c", script, "sh"], &inputs);
    assert!(ran.stderr.contains("10 of 20 jobs failed"), "{}", ran.stderr);
}

#[test]
fn no_two_jobs_have_the_same_slot_at_a_time() {
    let home = Home::new();
    // Each holds a lock of its slot's name.
    let script = "mkdir lock$1 || exit 1; echo $1; rmdir lock$1";
    let inputs: String = (1..=60).map(|number| format!("{number}\n")).collect();
    let folder = home.path().to_str().unwrap();
    let log = home.path().join("log");
    let words = ["-j3", "-C", folder, "--joblog", log.to_str().unwrap(), "sh", "-c", script, "sh", "{%}", "{}"];
    let ran = map(&home, &words, &inputs);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let slots: BTreeSet<&str> = ran.stdout.lines().collect();
    assert!(slots.iter().all(|slot| ["1", "2", "3"].contains(slot)), "{slots:?}");
    // Going on may give a job another slot, and is no other job for that.
    let again = [&words[..5], &["--resume"], &words[5..]].concat();
    map(&home, &again, &inputs).is(0, "", "");
    map(&home, &["-j2", "--dry-run", "echo", "{%}"], "x\n").is(0, "echo '{%}' x\n", "");
}

#[test]
fn ungrouped_jobs_write_to_where_the_run_writes_themselves() {
    let _limit = limit();
    let home = Home::new();
    // The first line of the first job comes before the second job ends, and its last one after.
    let script = "if test $1 = 1; then printf a; touch begun; until test -e done; do :; done; echo c
                  else until test -e begun; do :; done; printf b; echo error >&2; touch done; fi";
    let words = ["-j2", "-u", "-C", home.path().to_str().unwrap(), "sh", "-c", script, "sh"];
    let ran = map(&home, &words, "1\n2\n");
    ran.is(0, "abc\n", "error\n");
    assert!(map(&home, &["-u", "--tag", "echo"], "").stderr.contains("cannot be used with"));
    assert!(fs::exists(home.path().join("done")).unwrap());
}
