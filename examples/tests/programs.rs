//! The programs do what they say. That the Python ones do the same is tested from Python.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test an unwrap is an assertion")]

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(120);

fn run(program: &str, arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("NWS_WORKERS", "2").stdin(Stdio::null());
    let process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(process.wait_with_output()));
    ended.recv_timeout(PATIENCE).expect("the program ends in time").unwrap()
}

fn printed(output: Output) -> (String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{}: {stderr}", output.status);
    (stdout, stderr)
}

#[test]
fn the_picture_is_as_large_as_asked_for_and_symmetrical() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(env!("CARGO_BIN_EXE_mandelbrot"), &["60", "40", "small.png"], folder.path());
    assert_eq!(printed(output).0, "60 x 40 points, 542 of them never leave, 283976 steps\n");
    let file = BufReader::new(File::open(folder.path().join("small.png")).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height, info.color_type), (60, 40, png::ColorType::Rgb));
    let rows: Vec<&[u8]> = pixels.chunks(60 * 3).collect();
    // The row in the middle is the real axis, of which the set has the part from -2 to 1/4.
    assert!((1..20).all(|away| rows[20 - away] == rows[20 + away]));
    assert_eq!(rows[20].chunks(3).filter(|point| *point == [0, 0, 0]).count(), 42);
}

#[test]
fn words_are_counted_and_a_file_that_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("deep")).unwrap();
    fs::write(folder.path().join("one.txt"), "To be, or not to be").unwrap();
    fs::write(folder.path().join("deep/two.md"), "That is the question; to be?").unwrap();
    fs::write(folder.path().join("three.png"), "not a text").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("gone.txt")).unwrap();
    let output = run(env!("CARGO_BIN_EXE_words"), &[".", "3"], folder.path());
    let expected =
        "12 words, 8 different ones, in 2 files\n       3 be\n       3 to\n       1 is\ncannot be read: ./gone.txt\n";
    assert_eq!(printed(output).0, expected);
    let output = run(env!("CARGO_BIN_EXE_words"), &[], folder.path());
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("expected a folder"));
}

#[test]
fn the_search_stops_when_the_parameters_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let (stdout, stderr) = printed(run(env!("CARGO_BIN_EXE_search"), &["40"], folder.path()));
    assert_eq!(stdout, "growth 0.2750, hunt 0.5250\n");
    let tried: u32 = stderr.split(' ').next().unwrap().parse().unwrap();
    // Were it not for the workspace, all but those behind the pair in its own row.
    assert!(tried < 39 * 40 + 21, "{tried} pairs were tried");
}

#[test]
fn a_boss_counts_the_primes_of_each_region() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(env!("CARGO_BIN_EXE_boss"), &["1000", "4"], folder.path());
    let expected = "      53 primes from 0\n      42 primes from 250\n      37 primes from 500\n      36 primes from 750\n     168 below 1000\n";
    assert_eq!(printed(output).0, expected);
}
