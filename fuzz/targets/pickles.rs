#![no_main]

use libfuzzer_sys::fuzz_target;
use nws_testkit::fuzz::{self, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(|bytes: &[u8]| fuzz::pickles(bytes));
