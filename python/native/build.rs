//! Refuses to build a package without the program `nws`: the native module alone can start no sleigh.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // In a checkout, and in a source distribution.
    let program = ["../src/nws/_bin/nws", "../../src/nws/_bin/nws"];
    if program.iter().any(|path| Path::new(path).is_file()) {
        return;
    }
    // What is not there counts as changed, so this is looked at again each time.
    println!("cargo::rerun-if-changed={}", program[0]);
    // Who builds the module alone, as `cargo test` does, needs no program.
    let packs = std::env::var("PYO3_CONFIG_FILE").is_ok_and(|path| path.contains("maturin"));
    if packs {
        println!(
            "cargo::error=expected the program nws at python/src/nws/_bin/nws, and it is not there: the package would \
             lack it; build by pip (pip wheel ./python), which builds it first, or run make setup before maturin"
        );
    }
}
