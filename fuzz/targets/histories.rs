#![no_main]

use libfuzzer_sys::fuzz_target;
use nws_testkit::fuzz;

fuzz_target!(|bytes: &[u8]| fuzz::histories(bytes));
