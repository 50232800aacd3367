//! Values longer than the server's memory, through the program as it is run.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use bytes::Bytes;
use nws_client::{ConnectOptions, Endpoint, Value, blocking};
use nws_proto::ErrorCode;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::home::{Home, PATIENCE, output};

const MIB: usize = 1 << 20;
/// Four times the memory that the server may use for values.
const LONG_MIB: usize = 256;

fn served() -> Home {
    Home::served_with(&["--values-memory", "64MiB", "--allow-users"])
}

/// A value of which each mebibyte differs from the others.
fn block(number: usize) -> Vec<u8> {
    let mut block = vec![0; MIB];
    block[..8].copy_from_slice(&(number as u64).to_le_bytes());
    block[MIB - 8..].copy_from_slice(&(!number as u64).to_le_bytes());
    block
}

/// The most memory that the server ever had, in bytes.
fn peak_bytes(home: &Home) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", home.servers()[0].info.pid)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[track_caller]
fn stays_small(home: &Home) {
    let peak = peak_bytes(home);
    assert!(peak < 128 * MIB, "the server grew to {} MiB", peak / MIB);
}

fn workspace(home: &Home) -> blocking::Workspace {
    let endpoint = Endpoint::Unix(home.socket());
    blocking::Server::connect(&endpoint, ConnectOptions::default()).unwrap().open("w").unwrap()
}

#[test]
fn a_value_four_times_as_large_as_memory_goes_through_and_the_server_stays_small() {
    let home = served();
    let (storer, taker) = (workspace(&home), workspace(&home));
    // Pages that nobody writes take no memory here.
    let mut bytes = vec![0; LONG_MIB * MIB];
    for number in 0..LONG_MIB {
        bytes[number * MIB..number * MIB + 8].copy_from_slice(&(number as u64).to_le_bytes());
    }
    let bytes = Bytes::from(bytes);
    storer.store("x", Value::raw(bytes.clone())).unwrap();
    assert!(taker.fetch::<Value>("x").unwrap().bytes == bytes);
    assert_eq!(taker.fetch_try::<Value>("x").unwrap(), None);
    stays_small(&home);
}

#[test]
fn an_old_client_streams_such_a_value_in_and_out() {
    let home = served();
    let mut socket = TcpStream::connect(home.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let argument = |text: &str| format!("{:020}{text}", text.len());
    let request = |words: &[&str]| words.iter().map(|word| argument(word)).collect::<String>();
    socket.write_all(format!("1112{:04}{}", 4, request(&["open ws", "w", "1", "no"])).as_bytes()).unwrap();
    socket.read_exact(&mut [0; 8]).unwrap();
    let head = format!("{:04}{}{:020}", 5, request(&["store", "w", "x", "16777219"]), LONG_MIB * MIB);
    socket.write_all(head.as_bytes()).unwrap();
    for number in 0..LONG_MIB {
        socket.write_all(&block(number)).unwrap();
    }
    let mut status = [0; 4];
    socket.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"0000");
    socket.write_all(format!("{:04}{}", 3, request(&["fetch", "w", "x"])).as_bytes()).unwrap();
    let mut head = [0; 84];
    socket.read_exact(&mut head).unwrap();
    assert!(head.ends_with(format!("{:020}", LONG_MIB * MIB).as_bytes()), "{}", head.escape_ascii());
    let mut got = vec![0; MIB];
    for number in 0..LONG_MIB {
        socket.read_exact(&mut got).unwrap();
        assert!(got == block(number), "mebibyte {number}");
    }
    stays_small(&home);
}

/// A file that may not grow further is what a disk that is full is to who writes.
#[test]
fn a_disk_that_is_full_is_an_error_to_who_stores_and_the_server_lives_on() {
    let home = served();
    let workspace = workspace(&home);
    let pid = Pid::from_raw(home.servers()[0].info.pid as i32);
    let most = |bytes| Rlimit { current: Some(bytes), maximum: None };
    prlimit(pid, Resource::Fsize, most(5 * MIB as u64)).unwrap();
    let long = Value::raw(vec![7; 80 * MIB]);
    for _ in 0..2 {
        let error = workspace.store("x", long.clone()).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::DiskFull), "{error}");
    }
    workspace.store("x", "short").unwrap();
    assert_eq!(workspace.fetch::<Value>("x").unwrap().as_text(), Some("short"));
    prlimit(pid, Resource::Fsize, most(1 << 40)).unwrap();
    workspace.store("x", long.clone()).unwrap();
    assert!(workspace.fetch::<Value>("x").unwrap() == long);
}

/// A file that lost its bytes is what a disk that fails is to who reads.
#[test]
fn a_disk_that_lost_a_value_is_an_error_to_who_fetches_and_the_value_stays_where_it_was() {
    let home = served();
    let workspace = workspace(&home);
    workspace.store("x", Value::raw(vec![7; 80 * MIB])).unwrap();
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", home.servers()[0].info.pid)).unwrap();
    let is_unnamed =
        |path: &PathBuf| std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().ends_with("(deleted)"));
    let files: Vec<PathBuf> = descriptors.map(|entry| entry.unwrap().path()).filter(is_unnamed).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    File::options().write(true).open(&files[0]).unwrap().set_len(0).unwrap();
    for _ in 0..2 {
        let error = workspace.fetch_try::<Value>("x").unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::DiskFailed), "{error}");
        assert!(error.to_string().contains("(setting tmp-dir)"), "{error}");
    }
    // When this is answered, the value is back.
    workspace.store("y", "short").unwrap();
    let ran = home.nws("fetch --try -w w x");
    assert!(ran.code != Some(0) && ran.stderr.contains("cannot be read from its file"), "{ran:?}");
    assert_eq!(workspace.fetch::<Value>("y").unwrap().as_text(), Some("short"));
    workspace.delete_variable("x").unwrap();
    assert_eq!(workspace.fetch_try::<Value>("x").unwrap(), None);
}

#[test]
fn a_server_that_is_killed_leaves_nothing_on_disk() {
    let home = Home::new();
    let folder = home.path().join("values");
    std::fs::create_dir(&folder).unwrap();
    let arguments = ["start", "--port", "0", "--web-port", "0", "--spill-size", "1MiB", "--tmp-dir"];
    let ran = home.run(arguments.iter().map(|word| word.as_ref()).chain([folder.as_os_str()]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let workspace = workspace(&home);
    workspace.store("x", Value::raw(vec![7; 5 * MIB])).unwrap();
    let pid = Pid::from_raw(home.servers()[0].info.pid as i32).unwrap();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).unwrap();
    let path = folder.to_string_lossy().into_owned();
    let values = open().filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    assert_eq!(values.filter(|link| link.to_string_lossy().starts_with(&path)).count(), 1, "it is there");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert!(workspace.fetch::<Value>("x").is_err());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn what_comes_and_goes_by_standard_streams_and_files_is_what_it_was() {
    let home = Home::served();
    let text = "äöü €\n".repeat(300_000);
    let mut raw = text.clone().into_bytes();
    raw.push(0xff);
    let file = home.path().join("file");
    home.nws_with("store x -", text.as_bytes()).is(0, "", "");
    assert!(home.nws("find x").stdout == format!("{text}\n"), "text ends its line");
    assert!(home.nws("fetch x --raw").stdout == text);
    home.nws_with("store x -", &raw).is(0, "", "");
    let file_name = file.display().to_string();
    home.run(["fetch", "x", "--output", &file_name]).is(0, "", "");
    assert!(std::fs::read(&file).unwrap() == raw, "raw bytes are as they are");
    home.run(["store", "x", "--file", &file_name, "--as", "bytes"]).is(0, "", "");
    let ran = home.run(["store", "x", "--file", &file_name, "--as", "text"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    home.run(["fetch", "x", "--output", &file_name]).is(0, "", "");
    home.nws("fetch x --try").is(1, "", "");
}

#[test]
fn a_value_that_cannot_be_written_is_not_taken_away() {
    let home = Home::served();
    for length in [10, 5 * MIB] {
        home.nws_with("store x - --as bytes", &vec![7; length]).is(0, "", "");
        let ran = home.run(["fetch", "x", "--output", "/dev/full"]);
        assert!(ran.code != Some(0) && ran.stderr.contains("No space left"), "{ran:?}");
        assert!(home.nws("fetch x --raw --timeout 20s").stdout.len() == length);
    }
}

/// As many bytes as a line, so that each is told apart.
fn line(number: usize, length: usize) -> String {
    let number = number.to_string();
    "0".repeat(length - number.len()) + &number
}

fn store_lines(home: &Home, count: usize, length: usize) {
    let lines: String = (0..count).map(|number| line(number, length) + "\n").collect();
    home.nws_with("store x - --lines", lines.as_bytes()).is(0, "", "");
}

#[test]
fn what_fetch_all_cannot_write_is_not_taken_away() {
    let home = Home::served();
    for length in [10, 100_000] {
        store_lines(&home, 200, length);
        let ran = home.run(["fetch", "x", "--all", "--output", "/dev/full"]);
        assert!(ran.code == Some(6) && ran.stderr.contains("No space left"), "{ran:?}");
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(reader);
        let ended = output(home.command(["fetch", "x", "--all"]).stdout(writer).spawn().unwrap());
        assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
        let all: String = (0..200).map(|number| line(number, length) + "\n").collect();
        assert!(home.nws("fetch x --all").stdout == all, "each is there, in its place");
    }
}

#[test]
fn a_reader_that_goes_has_had_what_fetch_all_has_taken_away() {
    let home = Home::served();
    // None of them fits a pipe.
    let length = MIB;
    store_lines(&home, 5, length);
    let mut child = home.command(["fetch", "x", "--all"]).spawn().unwrap();
    let mut first = vec![0; length + 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(output(child).status.code(), Some(0));
    let left: String = (1..5).map(|number| line(number, length) + "\n").collect();
    assert!(first == (line(0, length) + "\n").as_bytes() && home.nws("fetch x --all").stdout == left);
}

#[test]
fn find_all_shows_long_values_and_leaves_them() {
    let home = Home::served_with(&["--values-memory", "16MiB"]);
    store_lines(&home, 3, 5 * MIB);
    let all: String = (0..3).map(|number| line(number, 5 * MIB) + "\n").collect();
    for line in ["find x --all", "fetch x --all"] {
        assert!(home.nws(line).stdout == all, "{line}");
    }
    home.nws("fetch x --all").is(1, "", "");
}

#[test]
fn what_fits_stays_in_memory_and_the_limit_that_is_passed_is_named() {
    let home = Home::served_with(&["--values-memory", "64MiB", "--values-disk", "0"]);
    for mebibytes in [1, 5, 40] {
        let text = "x".repeat(mebibytes * MIB);
        home.nws_with("store x -", text.as_bytes()).is(0, "", "");
        assert!(home.nws("fetch x --raw").stdout == text);
    }
    let ran = home.nws_with("store x -", &vec![b'x'; 80 * MIB]);
    assert!(ran.code == Some(4) && ran.stderr.contains("values-memory"), "{ran:?}");
}

#[test]
fn more_lines_than_one_request_takes_are_stored() {
    let home = Home::served();
    store_lines(&home, 70_000, 6);
    let all: String = (0..70_000).map(|number| line(number, 6) + "\n").collect();
    assert!(home.nws("fetch x --all").stdout == all);
}

#[test]
fn how_many_lines_were_stored_is_said_where_not_all_were() {
    let home = Home::served_with(&["--values-memory", "10MiB"]);
    let lines = "line\n".repeat(200_000);
    let ran = home.nws_with("store x - --lines", lines.as_bytes());
    assert!(ran.code == Some(4) && ran.stderr.contains("values-memory"), "{ran:?}");
    assert!(ran.stderr.contains("(the first 151552 of 200000 values were added)"), "{ran:?}");
    assert!(home.nws("vars --json").stdout.contains("\"values\":151552"));
}
