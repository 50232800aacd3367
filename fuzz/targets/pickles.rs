#![no_main]

use libfuzzer_sys::fuzz_target;
use nws_simulation::fuzz;

fuzz_target!(|bytes: &[u8]| fuzz::pickles(bytes));
