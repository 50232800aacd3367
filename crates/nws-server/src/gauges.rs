//! What the event loop tells other threads about itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nws_proto::{ErrorClass, ErrorCode};

/// Upper bounds of the pauses' histogram, in microseconds. Beyond 20 ms is what the server promises not
/// to do.
pub(crate) const PAUSE_BOUNDS_US: [u64; 11] =
    [100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 1_000_000];

macro_rules! measures {
    ($($(#[doc = $help:literal])+ $field:ident: $name:literal, $kind:ident;)*) => {
        /// The numbers as they are now.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Measures {
            $($(#[doc = $help])+ pub(crate) $field: u64,)*
        }

        /// The same, where other threads read them.
        #[derive(Debug, Default)]
        pub(crate) struct Gauges {
            $($field: AtomicU64,)*
            pauses: Pauses,
        }

        impl Gauges {
            /// Tells how it is. One thread does so.
            pub(crate) fn publish(&self, measures: &Measures) {
                $(self.$field.store(measures.$field, Ordering::Relaxed);)*
            }

            /// What was told last.
            pub(crate) fn read(&self) -> Measures {
                Measures { $($field: self.$field.load(Ordering::Relaxed),)* }
            }
        }

        impl Measures {
            /// Name, kind, help and number of each, by the conventions of Prometheus.
            pub(crate) fn rows(&self) -> Vec<(&'static str, Kind, &'static str, u64)> {
                vec![$(($name, Kind::$kind, concat!($($help),+), self.$field),)*]
            }
        }
    };
}

/// What a number does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It goes up and down.
    Gauge,
    /// It goes up as long as the server lives.
    Counter,
}

measures! {
    /// Clients that have proved who they are.
    sessions: "nws_sessions", Gauge;
    /// Connections of clients, greeted or not.
    connections: "nws_connections", Gauge;
    /// Workspaces.
    workspaces: "nws_workspaces", Gauge;
    /// Variables.
    variables: "nws_variables", Gauge;
    /// Values that are kept or held by lease.
    values: "nws_values", Gauge;
    /// What those values take.
    values_bytes: "nws_values_bytes", Gauge;
    /// What long values take on disk.
    values_disk_bytes: "nws_values_disk_bytes", Gauge;
    /// The setting values-disk.
    values_disk_limit_bytes: "nws_values_disk_limit_bytes", Gauge;
    /// What names of workspaces and variables take, with their places in the tables.
    names_bytes: "nws_names_bytes", Gauge;
    /// What values take that were fetched and are not sent yet.
    undelivered_bytes: "nws_undelivered_bytes", Gauge;
    /// What replies take that are not sent yet, with the large values that only they still hold.
    unsent_bytes: "nws_unsent_bytes", Gauge;
    /// What requests take that have not arrived whole.
    receiving_bytes: "nws_receiving_bytes", Gauge;
    /// The setting values-memory, which all of those share but what is on disk.
    limit_bytes: "nws_values_memory_limit_bytes", Gauge;
    /// Requests that wait.
    waiting: "nws_waiting_requests", Gauge;
    /// Connections that were accepted.
    accepted: "nws_connections_accepted_total", Counter;
    /// Requests that were executed, of both protocols.
    operations: "nws_operations_total", Counter;
    /// Requests and connections that a limit or a right stood against.
    refused: "nws_refused_total", Counter;
    /// Requests that failed for any other reason.
    failed: "nws_failed_total", Counter;
    /// Connections that were ended because they did not read while too much waited to be sent.
    unread: "nws_connections_unread_total", Counter;
    /// Bytes that came from clients.
    received_bytes: "nws_received_bytes_total", Counter;
    /// Bytes that went to clients.
    sent_bytes: "nws_sent_bytes_total", Counter;
}

impl Measures {
    /// Counts an answer that is a fault.
    pub(crate) fn count_fault(&mut self, code: ErrorCode) {
        match code.class() {
            ErrorClass::Refused => self.refused += 1,
            _ => self.failed += 1,
        }
    }
}

/// How long the loop's turns took: for that long, nobody who came was seen to.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// How many were up to each bound, and above the one before; the last ones above all bounds.
    counts: [AtomicU64; PAUSE_BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
    longest_ns: AtomicU64,
}

/// What is told of the pauses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PausesRead {
    /// For each bound how many were no longer, then how many there were.
    pub(crate) up_to: Vec<u64>,
    pub(crate) sum: Duration,
    pub(crate) longest: Duration,
}

impl Gauges {
    /// Tells how long a turn took. One thread does so.
    pub(crate) fn paused(&self, pause: Duration) {
        let pauses = &self.pauses;
        let add = |number: &AtomicU64, more| number.store(number.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        let (pause_us, pause_ns) = (pause.as_micros() as u64, pause.as_nanos() as u64);
        let place = PAUSE_BOUNDS_US.iter().position(|bound_us| pause_us < *bound_us).unwrap_or(PAUSE_BOUNDS_US.len());
        add(&pauses.counts[place], 1);
        add(&pauses.sum_ns, pause_ns);
        if pause_ns > pauses.longest_ns.load(Ordering::Relaxed) {
            pauses.longest_ns.store(pause_ns, Ordering::Relaxed);
        }
    }

    pub(crate) fn pauses(&self) -> PausesRead {
        let mut sum = 0;
        let up_to = self.pauses.counts.iter().map(|count| {
            sum += count.load(Ordering::Relaxed);
            sum
        });
        PausesRead {
            up_to: up_to.collect(),
            sum: Duration::from_nanos(self.pauses.sum_ns.load(Ordering::Relaxed)),
            longest: Duration::from_nanos(self.pauses.longest_ns.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_counted_by_its_length() {
        let gauges = Gauges::default();
        for pause_us in [50, 150, 19_999, 20_000, 5_000_000] {
            gauges.paused(Duration::from_micros(pause_us));
        }
        let told = gauges.pauses();
        assert_eq!(told.up_to, [1, 2, 2, 2, 2, 2, 2, 3, 4, 4, 4, 5]);
        assert_eq!((told.sum, told.longest), (Duration::from_micros(5_040_199), Duration::from_secs(5)));
    }
}
