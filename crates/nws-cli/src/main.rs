//! The program `nws`; its library has it all.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// The server's loop gives back what a million values took, and nobody may notice: the system's own allocator
/// returns it to the kernel all at once, this one from a thread of its own (see `nws serve`).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    nws_cli::run()
}
