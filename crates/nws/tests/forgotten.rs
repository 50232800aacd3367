//! A program that forgets `nws::init()` starts nothing.

use nws::sleigh::{Error, Sleigh};

#[test]
fn a_sleigh_of_a_program_without_init_is_refused_before_anything_is_started() {
    let error = Sleigh::builder().workers(1).build().expect_err("nothing would tell workers what to be");
    assert!(matches!(error, Error::NotInitialised));
    assert!(error.to_string().contains("make it the first line of main"), "{error}");
}
