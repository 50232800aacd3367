#!/usr/bin/env bash
# Fuzzes each target for FUZZ_SECONDS (or the one that FUZZ_TARGET names), or runs the one input FUZZ_INPUT again.
# The corpus grows in fuzz/corpus; an input that fails is kept in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
cargo run --quiet --locked --package nws-simulation --example seeds -- fuzz/corpus

host=$(rustc -vV | sed -n 's/^host: //p')
# The target folder is one of its own: these flags would make every other build stale.
export CARGO_TARGET_DIR=$PWD/target/fuzz
programs=$CARGO_TARGET_DIR/$host/release
# What libFuzzer needs of the compiler: counters and compared values. All are flags of the stable one.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"

# The name of the target that an input is of: that of its folder.
target_of() { basename "$(dirname "$1")"; }

targets=()
for path in fuzz/targets/*.rs; do targets+=("$(basename "$path" .rs)"); done
if [ -n "${FUZZ_INPUT:-}" ]; then
    [ -f "$FUZZ_INPUT" ] || { printf 'there is no file %s\n' "$FUZZ_INPUT" >&2; exit 1; }
    targets=("$(target_of "$FUZZ_INPUT")")
elif [ -n "${FUZZ_TARGET:-}" ]; then
    targets=("$FUZZ_TARGET")
fi

printf 'building the fuzzers (cargo, release)\n'
cargo build --quiet --release --locked --manifest-path fuzz/Cargo.toml --target "$host"

# run TARGET ARGUMENTS...: libFuzzer's own lines are shown where it fails.
run() {
    local target=$1 log
    shift
    log=$CARGO_TARGET_DIR/$target.log
    mkdir -p "fuzz/artifacts/$target"
    if "$programs/$target" -artifact_prefix="fuzz/artifacts/$target/" "$@" >"$log" 2>&1; then
        return
    fi
    tail -n 60 "$log" >&2
    local input
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    printf '\n%s fails. To see it again: make fuzz FUZZ_INPUT=%s\n' "$target" "${input:-${FUZZ_INPUT:-?}}" >&2
    [ -z "$input" ] ||
        printf 'Once it is mended, make a test of it: cp %s fuzz/regressions/%s/\n' "$input" "$target" >&2
    exit 1
}

if [ -n "${FUZZ_INPUT:-}" ]; then
    run "${targets[0]}" "$FUZZ_INPUT"
    printf '%s: %s does not fail\n' "${targets[0]}" "$FUZZ_INPUT"
    exit
fi
for target in "${targets[@]}"; do
    [ -x "$programs/$target" ] || { printf 'there is no target %s; fuzz/targets has them\n' "$target" >&2; exit 1; }
    known=()
    [ ! -d "fuzz/regressions/$target" ] || known+=("fuzz/regressions/$target")
    run "$target" "fuzz/corpus/$target" "${known[@]}" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 \
        -max_len=4096 -use_value_profile=1 -print_final_stats=1
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$CARGO_TARGET_DIR/$target.log")
    printf '%-12s %10s inputs in %s s, nothing found; corpus of %s\n' "$target" "$runs" "$seconds" \
        "$(find "fuzz/corpus/$target" -type f | wc -l)"
done
