use std::cell::RefCell;

use super::super::scheduler::{MaxThreads, OnCores, Unlimited};
use super::*;

/// Writes down what is asked of it.
#[derive(Default)]
struct Notes {
    lines: RefCell<Vec<String>>,
    fails: bool,
}

impl Notes {
    fn take(&self) -> String {
        self.lines.take().join(" ")
    }

    fn note(&self, line: String) {
        self.lines.borrow_mut().push(line);
    }
}

impl Crew<&'static str> for Notes {
    fn hire(&mut self, number: u64, instructions: &&'static str, core: Option<u32>) -> Result<(), Box<Trouble>> {
        let core = core.map(|core| format!("@{core}")).unwrap_or_default();
        self.note(format!("{number}:{instructions}{core}"));
        if self.fails { Err(Trouble::not_started("no room")) } else { Ok(()) }
    }

    fn name(&self, number: u64, _: &&'static str) -> String {
        format!("worker-{number}")
    }

    fn ask_to_end(&mut self, number: u64) {
        self.note(format!("ask{number}"));
    }

    fn end(&mut self, number: u64) {
        self.note(format!("end{number}"));
    }
}

type Tested = Office<&'static str, u32>;

/// One that works, with these instructions.
fn office(
    scheduler: impl Scheduler<&'static str, u32> + 'static,
    instructions: &[&'static str],
) -> (Tested, Notes, Instant) {
    let mut office = Office::new(Box::new(scheduler), vec![4, 6]);
    let mut notes = Notes::default();
    let now = Instant::now();
    office.instruct(instructions.to_vec());
    office.control(Signal::Resume, &mut notes, now);
    office.turn(&mut notes, now);
    (office, notes, now)
}

fn died() -> Box<Trouble> {
    Box::new(Trouble::in_words(TroubleKind::Died, "killed"))
}

fn names(report: &Report<&'static str, u32>) -> String {
    let done: Vec<String> = report.workers_report.iter().map(|one| format!("{}={}", one.name, one.report)).collect();
    format!("{:?} {} | {}", report.status, done.join(" "), report.pending.join(" "))
}

#[test]
fn it_is_halted_at_first_and_whenever_it_is_told_to() {
    let (mut office, mut notes, now) = (Tested::new(Box::new(Unlimited), vec![]), Notes::default(), Instant::now());
    office.instruct(vec!["a"]);
    office.turn(&mut notes, now);
    assert_eq!(notes.take(), "");
    office.control(Signal::Resume, &mut notes, now);
    office.turn(&mut notes, now);
    assert_eq!(notes.take(), "0:a");
    office.control(Signal::Halt, &mut notes, now);
    office.instruct(vec!["b"]);
    office.turn(&mut notes, now);
    assert_eq!(notes.take(), "");
    office.control(Signal::End, &mut notes, now);
    office.ended(0, Ok(1), &mut notes, now);
    assert!(!office.is_over(), "what is pending may yet be resumed");
    office.control(Signal::Resume, &mut notes, now);
    office.turn(&mut notes, now);
    assert_eq!(notes.take(), "1:b");
}

#[test]
fn an_end_lets_all_be_done_and_takes_nothing_new() {
    let (mut office, mut notes, now) = office(MaxThreads::new(1), &["a", "b"]);
    assert_eq!(notes.take(), "0:a");
    office.control(Signal::End, &mut notes, now);
    office.instruct(vec!["c"]);
    office.ended(0, Ok(7), &mut notes, now + GRACE);
    office.turn(&mut notes, now);
    assert_eq!(notes.take(), "1:b");
    assert_eq!(names(&office.report().unwrap()), "Interim worker-0=7 | ");
    office.ended(1, Ok(8), &mut notes, now);
    assert!(office.is_over());
    let report = office.report().unwrap();
    assert_eq!(names(&report), "Finished worker-0=7 worker-1=8 | ");
    assert_eq!(report.workers_report[0].took, GRACE);
}

#[test]
fn a_stop_lets_workers_finish_and_tells_what_is_left() {
    let (mut office, mut notes, now) = office(MaxThreads::new(2), &["a", "b", "c"]);
    office.control(Signal::Stop, &mut notes, now);
    office.ended(0, Ok(1), &mut notes, now);
    office.turn(&mut notes, now);
    assert!(!office.is_over());
    office.ended(1, Ok(2), &mut notes, now);
    assert!(office.is_over());
    assert_eq!(names(&office.report().unwrap()), "Pending worker-0=1 worker-1=2 | c");
    assert_eq!(notes.take(), "0:a 1:b");
}

#[test]
fn a_stop_right_now_asks_workers_to_end_and_then_ends_them() {
    let (mut office, mut notes, now) = office(MaxThreads::new(2), &["a", "b", "c"]);
    notes.take();
    office.control(Signal::StopRightNow, &mut notes, now);
    office.control(Signal::StopRightNow, &mut notes, now);
    assert_eq!(notes.take(), "ask0 ask1");
    assert_eq!(office.next(), Some(now + GRACE));
    office.ended(0, Err(died()), &mut notes, now);
    office.turn(&mut notes, now + GRACE);
    office.turn(&mut notes, now + GRACE);
    assert_eq!(notes.take(), "end1");
    office.ended(1, Ok(5), &mut notes, now + GRACE);
    assert!(office.is_over());
    assert_eq!(names(&office.report().unwrap()), "Pending worker-1=5 | a c", "it had done it before");
}

#[test]
fn who_stops_listening_has_the_report_at_once() {
    let (mut office, mut notes, now) = office(MaxThreads::new(1), &["a", "b"]);
    office.control(Signal::StopListening, &mut notes, now);
    assert!(office.is_over() && !office.is_deserted());
    assert_eq!(names(&office.report().unwrap()), "Pending  | b");
    office.ended(0, Err(died()), &mut notes, now);
    assert!(office.is_deserted());
    assert_eq!(names(&office.report().unwrap()), "Pending  | b", "nobody heard of that");
    assert_eq!(notes.take(), "0:a");
}

#[test]
fn a_failure_stops_the_others_and_is_told_with_the_guilty_instructions() {
    let (mut office, mut notes, now) = office(MaxThreads::new(2), &["a", "b", "c"]);
    notes.take();
    office.ended(1, Err(died()), &mut notes, now);
    office.turn(&mut notes, now);
    assert_eq!(notes.take(), "ask0");
    assert!(office.report().is_ok(), "it is told when all have ended");
    office.ended(0, Err(Box::new(Trouble::in_words(TroubleKind::Error, "interrupted"))), &mut notes, now);
    assert!(office.is_over());
    let Err(Failure::Worker { name, instructions, trouble }) = office.report() else { panic!("it failed") };
    assert_eq!((name.as_str(), instructions, trouble), ("worker-1", "b", died()));
}

#[test]
fn one_that_cannot_be_hired_is_a_failure() {
    let mut notes = Notes { fails: true, ..Notes::default() };
    let (mut office, now) = (Tested::new(Box::new(Unlimited), vec![]), Instant::now());
    office.instruct(vec!["a", "b"]);
    office.control(Signal::Resume, &mut notes, now);
    office.turn(&mut notes, now);
    assert_eq!(notes.take(), "0:a");
    assert!(office.is_over());
    let Err(Failure::Worker { trouble, .. }) = office.report() else { panic!("it failed") };
    assert_eq!(trouble.kind, TroubleKind::NotStarted);
}

#[test]
fn each_worker_has_a_core_of_its_own_as_far_as_there_are_enough() {
    let (mut office, mut notes, now) = office(OnCores(MaxThreads::new(3)), &["a", "b", "c", "d"]);
    assert_eq!(notes.take(), "0:a@4 1:b@6 2:c");
    office.ended(1, Ok(0), &mut notes, now);
    office.turn(&mut notes, now);
    assert_eq!(notes.take(), "3:d@6");
}

/// Fails in its own way.
struct Bad(bool);

impl Scheduler<&'static str, u32> for Bad {
    fn launchable(
        &mut self,
        _: &mut VecDeque<&'static str>,
        _: &[Working<&'static str>],
        _: &[WorkerReport<u32>],
    ) -> Result<Vec<&'static str>, String> {
        if self.0 { panic!("of {}", 3) } else { Err("cannot be".into()) }
    }
}

#[test]
fn a_scheduler_that_fails_ends_the_boss() {
    for (panics, told) in [(false, "cannot be"), (true, "the scheduler panicked: of 3")] {
        let (office, ..) = office(Bad(panics), &["a"]);
        assert!(office.is_over());
        assert_eq!(office.report(), Err(Failure::Scheduler(told.into())));
    }
}

/// Hands out what there is the third time that it is asked.
struct Later(u32);

impl Scheduler<&'static str, u32> for Later {
    fn launchable(
        &mut self,
        pending: &mut VecDeque<&'static str>,
        _: &[Working<&'static str>],
        _: &[WorkerReport<u32>],
    ) -> Result<Vec<&'static str>, String> {
        self.0 += 1;
        Ok(if self.0 < 3 { Vec::new() } else { pending.drain(..).collect() })
    }
}

#[test]
fn a_scheduler_may_go_by_the_time() {
    let (mut office, mut notes, _) = office(Later(0), &["a"]);
    for _ in 0..2 {
        assert_eq!(notes.take(), "");
        let then = office.next().unwrap();
        office.turn(&mut notes, then);
    }
    assert_eq!(notes.take(), "0:a");
}

#[test]
fn the_loss_of_the_host_is_the_end() {
    let (mut office, ..) = office(MaxThreads::new(1), &["a", "b"]);
    office.lost("killed".into());
    assert!(office.is_over() && office.is_deserted());
    assert_eq!(office.report(), Err(Failure::Lost("killed".into())));
}

/// Leaves so many, and hands out so many.
struct Careless(usize, usize);

impl Scheduler<&'static str, u32> for Careless {
    fn launchable(
        &mut self,
        pending: &mut VecDeque<&'static str>,
        _: &[Working<&'static str>],
        _: &[WorkerReport<u32>],
    ) -> Result<Vec<&'static str>, String> {
        pending.truncate(self.0);
        Ok(vec!["a"; self.1])
    }
}

#[test]
fn a_scheduler_that_loses_instructions_or_hands_them_out_twice_ends_the_boss() {
    for (left, out) in [(0, 0), (1, 1), (3, 1), (0, 4)] {
        let (mut office, notes, _) = office(Careless(left, out), &["a", "b", "c"]);
        assert_eq!(notes.take(), "", "nobody is hired");
        let Err(Failure::Scheduler(problem)) = office.report() else { panic!("{left} {out}: it is no failure") };
        assert!(problem.contains("launchable: expected each instructions"), "{problem}");
        assert!(problem.contains(&format!("got {out} to hand out and {left} left of 3")), "{problem}");
        assert!(office.is_over());
        office.close();
    }
    let (_, notes, _) = office(Careless(2, 1), &["a", "b", "c"]);
    assert_eq!(notes.take(), "0:a");
}
