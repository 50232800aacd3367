#!/usr/bin/env bash
# Looks for the tools that a build needs, makes .venv and installs python/requirements-dev.txt into it.
# With the argument fuzz it looks for what the fuzzers need instead.
# On a Debian where we are root it installs a missing package; elsewhere it says what is missing. It never asks.
# `prepare.sh bench-server` looks for what that measurement needs beside all this.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest_rust="1.88"
attempts=4

say() { printf '%s\n' "$*" >&2; }

stop() {
    say ""
    for line in "$@"; do say "$line"; done
    exit 1
}

# provide PACKAGE...: true when the packages could be installed.
provide() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "installing $* (apt-get)"
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -qq -o Acquire::Retries=3)
    { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$@"; } >/dev/null </dev/null
}

require_rust() {
    command -v cargo >/dev/null ||
        stop "cargo was not found. Install Rust $oldest_rust or newer (https://rustup.rs), and run make again."
    local have
    have=$(cargo --version | awk '{print $2}')
    [ "$(printf '%s\n' "$oldest_rust" "$have" | sort -V | head -n 1)" = "$oldest_rust" ] ||
        stop "Rust $oldest_rust or newer is needed, and cargo says $have. 'rustup update' brings a newer one."
}

require_linker() {
    command -v cc >/dev/null && return
    provide gcc libc6-dev ||
        stop "cc was not found: Rust links with the C compiler. Install it (Debian: apt-get install gcc libc6-dev," \
            "Fedora: dnf install gcc), and run make again."
}

require_cxx() {
    command -v c++ >/dev/null && return
    provide g++ ||
        stop "c++ was not found: libFuzzer is written in C++. Install it (Debian: apt-get install g++," \
            "Fedora: dnf install gcc-c++), and run make fuzz again."
}

# Prints the first Python that is new enough. One that only pretends to be there (a pyenv shim) does not run.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    local python=$1 version
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        provide "python$version-venv" || provide python3-venv ||
            stop "$python has no venv module. Install it (Debian: apt-get install python3-venv), and run make again."
    fi
    "$python" -m venv --clear .venv
}

# The server that ours is measured against.
require_redis() {
    if ! command -v redis-server >/dev/null; then
        provide redis-server ||
            stop "redis-server was not found. Install it (Debian: apt-get install redis-server," \
                "Fedora: dnf install redis), and run make again."
    fi
    redis-server --version | grep -Eq ' v=([7-9]|[1-9][0-9])\.' ||
        stop "redis-server 7 or newer is needed, and it says: $(redis-server --version)"
}

# Networks are slow at times: a few attempts, with a pause that grows.
install_requirements() {
    local file=$1 attempt
    for attempt in $(seq "$attempts"); do
        if .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --retries 5 --timeout 60 \
            --requirement "$file"; then
            return
        fi
        [ "$attempt" = "$attempts" ] || { say "pip failed; trying again"; sleep $((attempt * 5)); }
    done
    stop "pip could not install $file: see its message above. Is there a way to pypi.org?"
}

if [ "${1-}" = bench-server ]; then
    require_redis
    say "installing what the measurement needs into .venv"
    install_requirements python/requirements-bench.txt
    exit
fi
require_rust
require_linker
if [ "${1:-}" = fuzz ]; then
    require_cxx
    exit
fi
if ! .venv/bin/python -c 'import pip' >/dev/null 2>&1; then
    python=$(find_python) ||
        stop "Python 3.11 or newer was not found (looked for: ${PYTHON:-python3, python3.11 to python3.14})." \
            "Install it (Debian: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12"
    say "making .venv with $("$python" --version)"
    make_venv "$python"
fi
say "installing the development tools into .venv"
install_requirements python/requirements-dev.txt
