//! Looking for what comes for a moment before sleeping.
//!
//! To be woken costs a sleeper 20 to 50 µs, and who wakes it a few, so where requests follow one another
//! closely it pays to look again and again instead. But a processor that looks does nothing else: the
//! wait is short, it is given up where it does not pay, and where others want the processor it is left
//! to them at once.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::platform;

/// Who was not let run for so long between two looks shares its processor.
const CONTENDED: Duration = Duration::from_micros(20);
/// How long it does not look at all then.
const CONTENDED_REST: Duration = Duration::from_millis(100);
/// Most waits in a row that begin without looking, where looking was in vain.
const MOST_PASSES: u32 = 64;

/// Whether, and how long, to look before sleeping.
#[derive(Debug)]
pub(super) struct Spin {
    most: Duration,
    judgement: Judgement,
}

/// What experience says.
#[derive(Debug, Default)]
struct Judgement {
    /// Waits to be passed over after one in which looking was in vain.
    penalty: u32,
    /// How many of them are left.
    passes: u32,
    /// The processor is left to others until then.
    rests_until: Option<Instant>,
}

/// How a time of looking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    PaidOff,
    InVain,
    Contended,
}

impl Spin {
    /// Looks for up to `most` each time; on a machine with one processor never, as what comes could
    /// not come meanwhile.
    pub(super) fn new(most: Duration) -> Self {
        let most = if platform::processors() > 1 { most } else { Duration::ZERO };
        Self { most, judgement: Judgement::default() }
    }

    /// Waits for events from now on, as [`Poll::poll`] does.
    pub(super) fn wait(
        &mut self,
        poll: &mut Poll,
        events: &mut Events,
        patience: Option<Duration>,
        now: Instant,
    ) -> io::Result<()> {
        let most = self.most.min(patience.unwrap_or(Duration::MAX));
        if !most.is_zero() && self.judgement.allows(now) {
            let outcome = look(poll, events, now, most)?;
            self.judgement.learn(outcome, now);
            if !events.is_empty() {
                return Ok(());
            }
        }
        poll.poll(events, patience)
    }
}

fn look(poll: &mut Poll, events: &mut Events, began: Instant, most: Duration) -> io::Result<Outcome> {
    let mut before = began;
    loop {
        poll.poll(events, Some(Duration::ZERO))?;
        let now = Instant::now();
        if now - before > CONTENDED {
            return Ok(Outcome::Contended);
        }
        if !events.is_empty() {
            return Ok(Outcome::PaidOff);
        }
        if now - began >= most {
            return Ok(Outcome::InVain);
        }
        before = now;
    }
}

impl Judgement {
    fn allows(&mut self, now: Instant) -> bool {
        if self.passes > 0 {
            self.passes -= 1;
            return false;
        }
        if self.rests_until.is_some_and(|until| now < until) {
            return false;
        }
        self.rests_until = None;
        true
    }

    /// The penalty doubles and halves: where it is in vain more often than not it becomes rare, and
    /// becomes usual again within a few milliseconds of close requests.
    fn learn(&mut self, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::PaidOff => self.penalty /= 2,
            Outcome::InVain => self.penalty = (2 * self.penalty).clamp(1, MOST_PASSES),
            Outcome::Contended => self.rests_until = Some(now + CONTENDED_REST),
        }
        self.passes = self.penalty;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of this many waits begin with looking.
    fn looks(judgement: &mut Judgement, waits: u32, outcome: Outcome) -> u32 {
        let now = Instant::now();
        let mut looks = 0;
        for _ in 0..waits {
            if judgement.allows(now) {
                looks += 1;
                judgement.learn(outcome, now);
            }
        }
        looks
    }

    #[test]
    fn looking_goes_on_as_long_as_it_pays_off() {
        assert_eq!(looks(&mut Judgement::default(), 1000, Outcome::PaidOff), 1000);
    }

    #[test]
    fn what_is_in_vain_becomes_rare_and_usual_again_when_it_pays_off() {
        let mut judgement = Judgement::default();
        assert!(looks(&mut judgement, 10_000, Outcome::InVain) < 10_000 / 64 + 10);
        looks(&mut judgement, 3 * 64, Outcome::PaidOff);
        assert_eq!(looks(&mut judgement, 100, Outcome::PaidOff), 100);
    }

    #[test]
    fn a_processor_that_others_want_is_left_to_them_for_a_while() {
        let mut judgement = Judgement::default();
        let now = Instant::now();
        assert!(judgement.allows(now));
        judgement.learn(Outcome::Contended, now);
        assert!(!judgement.allows(now + CONTENDED_REST / 2));
        assert!(judgement.allows(now + CONTENDED_REST));
    }

    #[test]
    fn what_has_come_already_ends_the_wait_and_nothing_ends_it_in_time() {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(8);
        let waker = mio::Waker::new(poll.registry(), mio::Token(1)).unwrap();
        let mut spin = Spin { most: Duration::from_micros(50), judgement: Judgement::default() };
        for patience in [Duration::ZERO, Duration::from_micros(10), Duration::from_millis(1)] {
            spin.wait(&mut poll, &mut events, Some(patience), Instant::now()).unwrap();
            assert!(events.is_empty());
        }
        for patience in [Some(Duration::ZERO), Some(Duration::from_secs(20))] {
            waker.wake().unwrap();
            spin.wait(&mut poll, &mut events, patience, Instant::now()).unwrap();
            assert_eq!(events.iter().count(), 1);
        }
    }
}
