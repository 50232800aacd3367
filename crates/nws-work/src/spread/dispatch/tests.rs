use super::*;

fn job(workers: usize, tasks: u64) -> Dispatch {
    let mut dispatch = Dispatch::new(0..workers);
    (0..tasks).for_each(|task| dispatch.push(task));
    (0..workers).for_each(|worker| dispatch.ready(worker));
    dispatch.close();
    dispatch
}

fn take(dispatch: &mut Dispatch, worker: usize, now: Instant) -> u64 {
    match dispatch.next(worker, now) {
        Next::Task(task) => task,
        other => panic!("expected a task, got {other:?}"),
    }
}

#[test]
fn tasks_are_handed_out_in_order_and_the_job_is_done_when_all_are_settled() {
    let now = Instant::now();
    let mut dispatch = job(2, 3);
    assert_eq!((take(&mut dispatch, 1, now), take(&mut dispatch, 0, now)), (0, 1));
    assert_eq!(dispatch.next(0, now), Next::Wait, "who is busy gets nothing");
    assert_eq!(dispatch.answered(1), Some(0));
    assert_eq!(take(&mut dispatch, 1, now), 2);
    for (worker, task) in [(0, 1), (1, 2)] {
        assert_eq!(dispatch.answered(worker), Some(task));
    }
    dispatch.accepted(1, 0);
    dispatch.accepted(0, 1);
    assert!(!dispatch.is_done(), "an answer is not settled");
    dispatch.accepted(1, 2);
    assert!(dispatch.is_done());
    assert_eq!(dispatch.next(0, now), Next::Wait);
}

#[test]
fn a_refused_task_is_the_next_of_another_while_the_worker_rests() {
    let now = Instant::now();
    let mut dispatch = job(2, 100);
    assert_eq!(take(&mut dispatch, 0, now), 0);
    dispatch.answered(0);
    dispatch.refused(0, 0, 2.0, now);
    let Next::Rest(until) = dispatch.next(0, now) else { panic!("it does not rest") };
    let expected = Duration::from_secs_f64(rest_s(2.0, 1, 100, 2));
    assert_eq!(until - now, expected);
    assert_eq!(take(&mut dispatch, 1, now), 0);
    assert_eq!(take(&mut dispatch, 0, now + expected), 1);
}

#[test]
fn a_rest_is_longer_the_busier_the_worker_and_shorter_as_the_queue_empties() {
    let rests: Vec<f64> = (1..5).map(|refusals| rest_s(1.0, refusals, 50, 8)).collect();
    assert!(rests.is_sorted() && rests[0] < rests[3], "{rests:?}");
    let rests: Vec<f64> = (0..5).map(|queued| rest_s(1.0, 1, queued, 8)).collect();
    assert!(rests.is_sorted() && rests[0] < rests[4], "{rests:?}");
    assert_eq!(rest_s(1.0, 1, 0, 8), 0.01);
    assert_eq!(rest_s(f64::INFINITY, 9, 9, 8), 1000.0);
    for odd in [f64::NAN, -1.0, f64::NEG_INFINITY, 0.0] {
        assert_eq!(rest_s(odd, 1, 9, 8), 0.01, "{odd}");
    }
}

#[test]
fn a_rest_that_was_long_ends_sooner_when_the_queue_has_emptied() {
    let now = Instant::now();
    let mut dispatch = job(2, 1000);
    let task = take(&mut dispatch, 0, now);
    dispatch.answered(0);
    dispatch.refused(0, task, 1000.0, now);
    for _ in 0..999 {
        let task = take(&mut dispatch, 1, now);
        dispatch.answered(1);
        dispatch.accepted(1, task);
    }
    let Next::Rest(until) = dispatch.next(0, now) else { panic!("it does not rest") };
    assert!(until - now < Duration::from_secs(400), "{:?}", until - now);
}

#[test]
fn results_make_up_for_refusals() {
    let now = Instant::now();
    let mut dispatch = job(1, 100);
    let rest = |dispatch: &mut Dispatch| {
        let task = take(dispatch, 0, now + Duration::from_secs(3600));
        dispatch.answered(0);
        dispatch.refused(0, task, 1.0, now);
        match dispatch.next(0, now) {
            Next::Rest(until) => until - now,
            other => panic!("{other:?}"),
        }
    };
    let (first, _, third) = (rest(&mut dispatch), rest(&mut dispatch), rest(&mut dispatch));
    for _ in 0..2 {
        let task = take(&mut dispatch, 0, now + Duration::from_secs(3600));
        dispatch.answered(0);
        dispatch.accepted(0, task);
    }
    let after = rest(&mut dispatch);
    assert!(after < third / 2, "{first:?} {third:?} {after:?}");
}

#[test]
fn the_task_of_a_worker_that_ends_goes_to_the_end_of_the_queue() {
    let now = Instant::now();
    let mut dispatch = job(2, 3);
    assert_eq!(take(&mut dispatch, 0, now), 0);
    assert_eq!(dispatch.ended(0), AfterEnd::Again);
    assert_eq!(dispatch.waiting().collect::<Vec<_>>(), [1, 2, 0]);
    assert_eq!(dispatch.next(0, now), Next::Wait, "it is not there yet");
    dispatch.ready(0);
    assert_eq!(take(&mut dispatch, 0, now), 1);
}

#[test]
fn three_ends_in_a_row_without_an_answer_are_the_last() {
    let now = Instant::now();
    let mut dispatch = job(1, 2);
    let die = |dispatch: &mut Dispatch| {
        take(dispatch, 0, now);
        let after = dispatch.ended(0);
        dispatch.ready(0);
        after
    };
    assert_eq!(die(&mut dispatch), AfterEnd::Again);
    assert_eq!(die(&mut dispatch), AfterEnd::Again);
    let task = take(&mut dispatch, 0, now);
    dispatch.answered(0);
    dispatch.refused(0, task, 0.0, now - Duration::from_secs(1));
    assert_eq!([0; 3].map(|_| die(&mut dispatch)), [AfterEnd::Again, AfterEnd::Again, AfterEnd::Again]);
    assert!(!dispatch.is_deserted());
    assert_eq!(die(&mut dispatch), AfterEnd::GivenUp);
    assert!(dispatch.is_deserted());
    assert_eq!(dispatch.queued(), 2);
}

#[test]
fn who_ends_when_there_is_nothing_to_do_is_started_again_when_there_is() {
    let now = Instant::now();
    let mut dispatch = job(2, 1);
    assert_eq!(take(&mut dispatch, 0, now), 0);
    assert_eq!(dispatch.ended(1), AfterEnd::Sleep);
    assert_eq!(dispatch.wake(), None);
    dispatch.answered(0);
    dispatch.rejected(0, 0);
    assert_eq!(dispatch.wake(), Some(1));
    assert_eq!(dispatch.wake(), None);
    dispatch.ready(1);
    assert_eq!(take(&mut dispatch, 1, now), 0);
}

#[test]
fn a_task_may_time_out_so_often_and_no_more() {
    let mut dispatch = job(1, 2);
    assert_eq!([0, 0, 1, 0].map(|task| dispatch.timed_out(task)), [false, false, false, true]);
}

#[test]
fn nothing_is_done_while_tasks_may_come() {
    let mut dispatch = Dispatch::new([0]);
    assert!(!dispatch.is_done());
    dispatch.close();
    assert!(dispatch.is_done());
    dispatch.leave_out(0);
    assert!(dispatch.is_deserted());
}

/// Workers of these kinds, and one task.
fn kinds(kinds: &[usize]) -> Dispatch {
    let mut dispatch = Dispatch::new(kinds.iter().copied());
    dispatch.push(0);
    (0..kinds.len()).for_each(|worker| dispatch.ready(worker));
    dispatch
}

fn fail(dispatch: &mut Dispatch, worker: usize, now: Instant) {
    take(dispatch, worker, now);
    assert!(!dispatch.timed_out(0));
    assert_eq!(dispatch.ended(worker), AfterEnd::Again);
    dispatch.ready(worker);
}

#[test]
fn a_task_that_has_failed_is_left_to_other_commands_while_there_are_any() {
    let now = Instant::now();
    let mut dispatch = kinds(&[0, 1, 0, 2]);
    fail(&mut dispatch, 0, now);
    assert_eq!([0, 2].map(|worker| dispatch.next(worker, now)), [Next::Wait; 2], "the same command twice");
    fail(&mut dispatch, 1, now);
    assert_eq!([0, 1, 2].map(|worker| dispatch.next(worker, now)), [Next::Wait; 3]);
    dispatch.push(1);
    assert_eq!(take(&mut dispatch, 0, now), 1, "it holds up no other task");
    assert_eq!(take(&mut dispatch, 3, now), 0);
}

#[test]
fn a_task_that_has_failed_on_all_who_are_left_may_be_anybodys() {
    let now = Instant::now();
    let mut dispatch = kinds(&[0, 0]);
    fail(&mut dispatch, 0, now);
    assert_eq!(take(&mut dispatch, 0, now), 0, "there is no other command");
    let mut dispatch = kinds(&[0, 1]);
    fail(&mut dispatch, 0, now);
    assert_eq!(dispatch.next(0, now), Next::Wait);
    dispatch.leave_out(1);
    assert_eq!(take(&mut dispatch, 0, now), 0);
    let mut dispatch = kinds(&[0, 1]);
    take(&mut dispatch, 0, now);
    dispatch.answered(0);
    dispatch.rejected(0, 0);
    assert_eq!(dispatch.next(0, now), Next::Wait, "junk is a failure");
    assert_eq!(take(&mut dispatch, 1, now), 0);
}

#[test]
fn who_rests_is_waited_for_where_another_failure_would_be_the_last() {
    let now = Instant::now();
    let mut dispatch = kinds(&[0, 1]);
    dispatch.push(1);
    assert_eq!([0, 1].map(|worker| take(&mut dispatch, worker, now)), [0, 1]);
    dispatch.answered(1);
    dispatch.refused(1, 1, 1000.0, now);
    assert!(!dispatch.timed_out(0));
    dispatch.ended(0);
    dispatch.ready(0);
    assert_eq!(take(&mut dispatch, 0, now), 1);
    dispatch.answered(0);
    dispatch.accepted(0, 1);
    assert_eq!(take(&mut dispatch, 0, now), 0, "the other is left alone for long");
    assert!(!dispatch.timed_out(0));
    dispatch.ended(0);
    dispatch.ready(0);
    assert_eq!(dispatch.next(0, now), Next::Wait);
    assert!(matches!(dispatch.next(1, now), Next::Rest(_)));
    assert_eq!(take(&mut dispatch, 1, now + Duration::from_secs(1000)), 0);
}

#[test]
fn a_result_in_doubt_is_made_again() {
    let now = Instant::now();
    let mut dispatch = job(2, 1);
    take(&mut dispatch, 0, now);
    dispatch.answered(0);
    dispatch.accepted(0, 0);
    assert!(dispatch.is_done());
    dispatch.again(0);
    assert!(!dispatch.is_done());
    assert_eq!(take(&mut dispatch, 1, now), 0);
}
