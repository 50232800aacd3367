//! A task that a worker has, alone or with those that follow it in a bundle.

use std::ops::Range;

use bytes::Bytes;
use nws_proto::{Index, LeaseId};

use super::hand::Hand;
use crate::envelope::{Bundle, TaskHead, next_payload};

/// One task, held by lease: its own, or that of its bundle.
#[derive(Debug)]
pub struct Task {
    /// The lease.
    pub lease: LeaseId,
    /// Which task it is.
    pub head: TaskHead,
    pub(super) value: Bytes,
    pub(super) payload: Range<usize>,
    /// How many tasks the value had from this one on when it was taken from the queue.
    pub(super) count: u32,
    /// Whether its lease is that of a bundle.
    pub(super) bundled: bool,
    /// The value's place in its variable, and how many workers it has cost.
    pub(super) place: Index,
    pub(super) deaths: u16,
    /// Tasks of the bundle that are done elsewhere, by index.
    pub(super) passed_over: Vec<Range<u64>>,
    /// How far ahead the next one is that is this worker's to run, 0: there is none; `None`: not known yet.
    pub(super) ahead: Option<u32>,
}

impl Task {
    /// The first of these; `None` where the bytes are not theirs.
    pub(super) fn new(lease: LeaseId, place: Index, deaths: u16, bundle: Bundle, value: Bytes) -> Option<Self> {
        let payload = bundle.first_payload(&value)?;
        let Bundle { first: head, count, several: bundled } = bundle;
        Some(Self { lease, head, value, payload, count, bundled, place, deaths, passed_over: Vec::new(), ahead: None })
    }

    /// One of a bundle, with `count` from it on.
    pub(super) fn of_bundle(lease: LeaseId, head: TaskHead, value: Bytes, payload: Range<usize>, count: u32) -> Self {
        let (place, passed_over) = (Index(0), Vec::new());
        Self { lease, head, value, payload, count, bundled: true, place, deaths: 0, passed_over, ahead: None }
    }

    /// The encoded arguments.
    pub fn payload(&self) -> &[u8] {
        self.value.get(self.payload.clone()).unwrap_or_default()
    }

    pub(super) fn is_passed_over(&self) -> bool {
        self.passes_over(self.head.index)
    }

    fn passes_over(&self, index: u64) -> bool {
        self.passed_over.iter().any(|range| range.contains(&index))
    }

    /// Takes the next one of the bundle; whether there is one.
    pub(super) fn look_ahead(&mut self, hand: &Hand) -> bool {
        let mut ahead = 0;
        if self.bundled {
            while hand.claim() {
                ahead += 1;
                if self.passed_over.is_empty() || !self.passes_over(self.head.index + u64::from(ahead)) {
                    self.ahead = Some(ahead);
                    return true;
                }
            }
        }
        self.ahead = Some(0);
        false
    }

    /// Nothing more of its bundle is run.
    pub(super) fn drop_rest(&mut self, hand: &Hand) {
        if self.bundled {
            hand.leave(|_| ());
        }
        self.ahead = Some(0);
    }

    /// Becomes the next one of the bundle, where there is one. Where nobody has looked ahead, this does.
    pub(super) fn advance(&mut self, hand: &Hand) -> bool {
        if self.ahead.is_none() {
            self.look_ahead(hand);
        }
        let ahead = self.ahead.take().unwrap_or(0);
        for _ in 0..ahead {
            // The bundle was read to its end when it came.
            let Some(payload) = next_payload(&self.value, self.payload.end) else { return false };
            self.payload = payload;
        }
        self.head.index += u64::from(ahead);
        ahead > 0
    }
}
