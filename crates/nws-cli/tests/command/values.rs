//! `store`, `fetch`, `find`, `watch`, `declare`, `delete`.

use std::fs;
use std::process::Stdio;

use bytes::Bytes;
use nws_client::{ConnectOptions, Endpoint, Value, blocking};
use nws_proto::{Descriptor, Language};

use crate::home::{Home, output};

#[test]
fn values_come_out_as_they_went_in() {
    let home = Home::served();
    home.nws("store x soup bread -7").is(0, "", "");
    home.nws("find x").is(0, "soup\n", "");
    home.nws("fetch x").is(0, "soup\n", "");
    home.nws("fetch x --raw").is(0, "bread", "");
    home.nws("fetch x --json").is(
        0,
        "{\"descriptor\":167772161,\"kind\":\"text\",\"size_bytes\":2,\"value\":\"-7\"}\n",
        "",
    );
    home.nws("fetch x --try").is(1, "", "");
    home.nws("store x --as int 7").is(0, "", "");
    home.nws("store x --as float 7").is(0, "", "");
    home.nws("store x --as none none").is(0, "", "");
    home.nws("find x --all").is(0, "7\n7.0\nnone\n", "");
    home.nws("fetch x --all").is(0, "7\n7.0\nnone\n", "");
    home.nws("fetch x --all").is(1, "", "");
    home.nws("store x --as int 1.5").is(2, "", "nws store: expected an integer of 64 bits, got \"1.5\"\n");
}

#[test]
fn standard_input_and_files_are_values() {
    let home = Home::served();
    let all: Vec<u8> = (0..=255).collect();
    home.nws_with("store x -", &all).is(0, "", "");
    let raw = output(home.command(["fetch", "x"]).spawn().unwrap());
    assert_eq!((raw.status.code(), raw.stdout), (Some(0), all.clone()));

    let file = home.path().join("value");
    fs::write(&file, &all).unwrap();
    home.nws(&format!("store x --file {}", file.display())).is(0, "", "");
    let copy = home.path().join("copy");
    home.nws(&format!("fetch x --output {}", copy.display())).is(0, "", "");
    assert_eq!(fs::read(&copy).unwrap(), all);
    home.nws("store x --file /no/such/file").is(
        6,
        "",
        "nws store: /no/such/file cannot be read: No such file or directory (os error 2)\n",
    );

    home.nws_with("store x - --lines", b"one\ntwo\n\nfour").is(0, "", "");
    home.nws("fetch x --all").is(0, "one\ntwo\n\nfour\n", "");
    home.nws_with("store x -", b"a\n").is(0, "", "");
    home.nws("fetch x --raw").is(0, "a\n", "");
}

#[test]
fn where_there_is_no_value_the_file_for_it_keeps_what_it_had() {
    let home = Home::served();
    let file = home.path().join("precious");
    fs::write(&file, "old and long").unwrap();
    for words in ["fetch x --try", "find x --try --all", "fetch x --timeout 1ms"] {
        home.nws(&format!("{words} --output {}", file.display()));
        assert_eq!(fs::read(&file).unwrap(), b"old and long", "{words}");
    }
    home.nws_with("store x -", b"new").is(0, "", "");
    home.nws(&format!("fetch x --output {}", file.display())).is(0, "", "");
    assert_eq!(fs::read(&file).unwrap(), b"new\n");
}

#[test]
fn what_cannot_be_written_anywhere_is_not_taken_away() {
    let home = Home::served();
    home.nws("store x soup").is(0, "", "");
    home.nws("fetch x --output /no/such/file").is(
        6,
        "",
        "nws fetch: /no/such/file cannot be written: No such file or directory (os error 2)\n",
    );
    home.nws("fetch x").is(0, "soup\n", "");
}

#[test]
fn a_wait_ends_in_time_and_says_so() {
    let home = Home::served();
    home.nws("fetch x --timeout 10ms").is(1, "", "nws fetch: no value came in the time given\n");
    home.nws("find x --timeout 0.01").is(1, "", "nws find: no value came in the time given\n");
    home.nws("watch x --timeout 10ms").is(1, "", "nws watch: no value came in the time given\n");
}

#[test]
fn what_python_pickled_is_described_unless_it_is_wanted_raw() {
    let home = Home::served();
    let pickle =
        Value { descriptor: Descriptor::serialized(Language::Python), bytes: Bytes::from_static(b"\x80\x05N.") };
    let options = ConnectOptions { token: Some(home.servers()[0].token.clone()), ..ConnectOptions::default() };
    let server = blocking::Server::connect(&Endpoint::Unix(home.socket()), options).unwrap();
    server.use_workspace("__default").unwrap().store("x", pickle).unwrap();
    home.nws("find x").is(
        0,
        "<serialized Python value, 4 bytes, descriptor 0x01000000; start pybabelfish to see it>\n",
        "",
    );
    home.nws("find x --json").is(
        0,
        "{\"base64\":\"gAVOLg==\",\"descriptor\":16777216,\"kind\":\"serialized\",\"size_bytes\":4}\n",
        "",
    );
    let raw = output(home.command(["find", "x", "--raw"]).spawn().unwrap());
    assert_eq!(raw.stdout, b"\x80\x05N.");
}

#[test]
fn a_mode_is_declared_once() {
    let home = Home::served();
    home.nws("declare x single").is(0, "", "");
    home.nws("declare x single").is(0, "", "");
    home.nws("store x a b").is(0, "", "");
    home.nws("find x --all").is(0, "b\n", "");
    home.nws("declare x lifo").is(
        5,
        "",
        "nws declare: the variable 'x' is single, so it cannot be declared lifo (mode-conflict)\n",
    );
    home.nws("declare y lifo").is(0, "", "");
    home.nws("store y a b").is(0, "", "");
    home.nws("find y --all").is(
        5,
        "",
        "nws find: iterators need fifo or single, and the variable 'y' is lifo (not-iterable)\n",
    );
    home.nws("fetch y --all").is(0, "b\na\n", "");
    let ran = home.nws("declare x random");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("[possible values: fifo, lifo, multi, single]"), "{}", ran.stderr);
}

#[test]
fn variables_and_workspaces_are_deleted() {
    let home = Home::served();
    home.nws("store -w kitchen x a").is(0, "", "");
    home.nws("delete -w kitchen x").is(0, "", "");
    home.nws("delete -w kitchen x").is(5, "", "nws delete: there is no variable 'x' (no-such-variable)\n");
    home.nws("delete -w kitchen --whole-workspace").is(0, "", "");
    let gone = "there is no workspace 'kitchen'; open it to make it (no-such-workspace)\n";
    home.nws("delete -w kitchen --whole-workspace").is(5, "", &format!("nws delete: {gone}"));
    home.nws("fetch -w kitchen x").is(5, "", &format!("nws fetch: {gone}"));
    home.nws("find -w kitchen x").is(5, "", &format!("nws find: {gone}"));
    home.nws("watch -w kitchen x").is(5, "", &format!("nws watch: {gone}"));
    home.nws("vars -w kitchen").is(5, "", &format!("nws vars: {gone}"));
    home.nws("delete -w __default --whole-workspace").is(
        4,
        "",
        "nws delete: the workspace '__default' cannot be deleted (protected-workspace)\n",
    );
}

#[test]
fn a_watcher_sees_what_is_there_and_what_comes_and_leaves_it_there() {
    let home = Home::served();
    home.nws("store x one").is(0, "", "");
    let watcher = home.command(["watch", "x", "--count", "3"]).stdout(Stdio::piped()).spawn().unwrap();
    home.until("vars --json", |told| told.contains("\"finders\":1"));
    home.nws("store x two three four").is(0, "", "");
    home.ran(&output(watcher)).is(0, "one\ntwo\nthree\n", "");
    home.nws("find x --all").is(0, "one\ntwo\nthree\nfour\n", "");
}

#[test]
fn who_waits_on_what_is_deleted_is_told() {
    let home = Home::served();
    let waiting = home.command(["fetch", "x"]).spawn().unwrap();
    home.until("vars --json", |told| told.contains("\"fetchers\":1"));
    home.nws("delete x").is(0, "", "");
    home.ran(&output(waiting)).is(5, "", "nws fetch: the variable 'x' was deleted; begin anew (variable-gone)\n");
}
