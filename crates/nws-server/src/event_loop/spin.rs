//! Looking for what comes for a moment before sleeping.
//!
//! To be woken costs a sleeper 20 to 50 µs, and who wakes it a few, so where requests follow one another
//! closely it pays to look again and again instead. But a processor that looks does nothing else: the
//! wait is short, it is given up where it does not pay, and where others want the processor it is left
//! to them at once. Nor does it pay where many connections speak: what they say while the loop sleeps
//! is read in one turn, which costs less than a turn for each.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::platform;

/// Who was not let run for so long between two looks shares its processor.
const CONTENDED: Duration = Duration::from_micros(20);
/// How long it does not look at all then.
const CONTENDED_REST: Duration = Duration::from_millis(100);
/// More connections than this that speak in turn are many.
const FEW: usize = 4;
/// How many waits in a row, of those that others than the last few ended, make them many.
const MANY_WAITS: u32 = 8;
/// Most waits in a row that begin without looking, where looking was in vain.
const MOST_PASSES: u32 = 64;

/// Whether, and how long, to look before sleeping.
#[derive(Debug)]
pub(super) struct Spin {
    most: Duration,
    judgement: Judgement,
    crowd: Crowd,
}

/// Who ended the last waits.
#[derive(Debug, Default)]
struct Crowd {
    /// The last few, each once.
    last: [Option<Token>; FEW],
    /// Where the next one goes.
    place: usize,
    /// How many more waits were ended by others than by them, up to twice [`MANY_WAITS`].
    others: u32,
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
        Self { most, judgement: Judgement::default(), crowd: Crowd::default() }
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
        if most.is_zero() {
            return poll.poll(events, patience);
        }
        if !self.crowd.is_large() && self.judgement.allows(now) {
            let outcome = look(poll, events, now, most)?;
            self.judgement.learn(outcome, now);
        } else {
            events.clear();
        }
        if events.is_empty() {
            poll.poll(events, patience)?;
        }
        if let Some(event) = events.iter().next() {
            self.crowd.heard(event.token());
        }
        Ok(())
    }
}

impl Crowd {
    fn is_large(&self) -> bool {
        self.others >= MANY_WAITS
    }

    fn heard(&mut self, token: Token) {
        if self.last.contains(&Some(token)) {
            self.others = self.others.saturating_sub(1);
        } else {
            self.others = (self.others + 1).min(2 * MANY_WAITS);
            self.last[self.place] = Some(token);
            self.place = (self.place + 1) % FEW;
        }
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
    fn who_speak_in_turn_are_few_or_many() {
        let large_after = |speakers: usize, waits: usize| {
            let mut crowd = Crowd::default();
            (0..waits).for_each(|wait| crowd.heard(Token(wait % speakers)));
            crowd.is_large()
        };
        assert!((1..=FEW).all(|speakers| !large_after(speakers, 1000)));
        assert!(large_after(FEW + 1, 1000) && large_after(50, 1000));
        let mut crowd = Crowd::default();
        (0..1000).for_each(|wait| crowd.heard(Token(wait % 50)));
        (0..20).for_each(|_| crowd.heard(Token(7)));
        assert!(!crowd.is_large(), "of many, one was left that speaks");
    }

    #[test]
    fn what_has_come_already_ends_the_wait_and_nothing_ends_it_in_time() {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(8);
        let waker = mio::Waker::new(poll.registry(), mio::Token(1)).unwrap();
        let mut spin =
            Spin { most: Duration::from_micros(50), judgement: Judgement::default(), crowd: Crowd::default() };
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
