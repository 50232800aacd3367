//! The server's numbers as Prometheus reads them: `/metrics`.
//!
//! The text format is a line a number; a library for it would bring a registry of its own, where the
//! loop's counters are plain numbers that are published once a turn.

use std::fmt::Write as _;

use crate::gauges::{Gauges, Kind, PAUSE_BOUNDS_US};
use crate::platform;

/// The type of what [`text`] says.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything, as it was when the loop's last turn ended.
pub(crate) fn text(gauges: &Gauges) -> String {
    let mut text = String::with_capacity(8192);
    let version = env!("CARGO_PKG_VERSION");
    head(&mut text, "nws_build_info", "gauge", "Which version this is.");
    let _ = writeln!(text, "nws_build_info{{version=\"{version}\"}} 1");
    for (name, kind, help, number) in gauges.read().rows() {
        let kind = if kind == Kind::Gauge { "gauge" } else { "counter" };
        head(&mut text, name, kind, help);
        let _ = writeln!(text, "{name} {number}");
    }
    pauses(&mut text, gauges);
    if let Some(resident_bytes) = platform::resident_bytes() {
        let help = "What of the server's memory is in the machine's.";
        head(&mut text, "process_resident_memory_bytes", "gauge", help);
        let _ = writeln!(text, "process_resident_memory_bytes {resident_bytes}");
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", help.trim());
}

fn pauses(text: &mut String, gauges: &Gauges) {
    let (name, told) = ("nws_loop_pause_seconds", gauges.pauses());
    head(text, name, "histogram", "How long turns of the loop took, during which nobody else was served.");
    let bounds = PAUSE_BOUNDS_US.iter().map(|bound_us| (*bound_us as f64 / 1e6).to_string());
    for (bound, up_to) in bounds.chain(["+Inf".to_owned()]).zip(&told.up_to) {
        let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {up_to}");
    }
    let count = told.up_to.last().copied().unwrap_or(0);
    let _ = writeln!(text, "{name}_sum {}\n{name}_count {count}", told.sum.as_secs_f64());
    let name = "nws_loop_longest_pause_seconds";
    head(text, name, "gauge", "The longest turn since the server began.");
    let _ = writeln!(text, "{name} {}", told.longest.as_secs_f64());
}
