//! Iterators: each value once.

use std::time::Duration;

use nws_client::{Error, FromValue, Iter, Value};
use nws_proto::{ErrorCode, Mode};

use crate::site::{Site, info, over_both, soon, until};

/// The next value; one that hangs is ended by the watchdog.
fn next<T: FromValue>(iter: &mut Iter<T>) -> Option<Result<T, Error>> {
    smol::block_on(iter.next())
}

fn code<T: FromValue + std::fmt::Debug>(mut iter: Iter<T>) -> ErrorCode {
    next(&mut iter).expect("an error").unwrap_err().code().expect("a fault")
}

fn list(mut iter: Iter<i64>) -> Vec<i64> {
    std::iter::from_fn(|| next(&mut iter)).map(Result::unwrap).collect()
}

over_both! {
    fn an_iterator_reads_each_value_once_and_leaves_it(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("x", 0..3)).unwrap();
        let mut iter = workspace.ifind::<i64>("x");
        for n in 0..3 {
            assert_eq!(next(&mut iter), Some(Ok(n)));
        }
        let mut iter = iter.timeout(Duration::from_millis(5));
        assert_eq!(next(&mut iter), Some(Err(Error::TimedOut)));
        soon(workspace.store("x", 3)).unwrap();
        assert_eq!(next(&mut iter), Some(Ok(3)));
        // Another one starts at the oldest.
        assert_eq!(list(workspace.ifind_try("x")), [0, 1, 2, 3]);
    }

    fn a_waiting_iterator_gets_what_is_stored_next(site: &Site) {
        let workspace = site.workspace("ws");
        let mut iter = workspace.ifind::<i64>("x");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| next(&mut iter));
            until("it waits", || soon(workspace.list_variables()).unwrap().iter().any(|info| info.finders == 1));
            soon(workspace.store("x", 3)).unwrap();
            assert_eq!(waiting.join().unwrap(), Some(Ok(3)));
        });
    }

    fn an_end_lasts_until_restart_or_reset(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("x", 0..2)).unwrap();
        let mut iter = workspace.ifind_try::<i64>("x");
        assert_eq!([next(&mut iter), next(&mut iter), next(&mut iter)], [Some(Ok(0)), Some(Ok(1)), None]);
        soon(workspace.store("x", 2)).unwrap();
        assert_eq!(next(&mut iter), None);
        iter.restart();
        assert_eq!([next(&mut iter), next(&mut iter)], [Some(Ok(2)), None]);
        iter.reset();
        assert_eq!(list(iter), [0, 1, 2]);
    }

    fn a_taking_iterator_takes_what_it_passes(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("x", 0..4)).unwrap();
        let (mut taker, mut reader) = (workspace.ifetch_try::<i64>("x"), workspace.ifind::<i64>("x"));
        assert_eq!(next(&mut taker), Some(Ok(0)));
        assert_eq!(next(&mut reader), Some(Ok(1)));
        assert_eq!(next(&mut taker), Some(Ok(1)));
        assert_eq!(next(&mut taker), Some(Ok(2)));
        assert_eq!(next(&mut reader), Some(Ok(3)));
        assert_eq!(soon(workspace.fetch("x")), Ok(3));
        assert_eq!(next(&mut taker), None);
    }

    fn an_iterator_over_a_single_sees_what_is_there_when_it_looks(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.declare("x", Mode::Single)).unwrap();
        let mut iter = workspace.ifind_try::<i64>("x");
        soon(workspace.store_many("x", 0..3)).unwrap();
        assert_eq!([next(&mut iter), next(&mut iter)], [Some(Ok(2)), None]);
        soon(workspace.store("x", 9)).unwrap();
        iter.restart();
        assert_eq!(next(&mut iter), Some(Ok(9)));
    }

    fn modes_without_an_order_have_no_iterators(site: &Site) {
        let workspace = site.workspace("ws");
        for mode in [Mode::Lifo, Mode::Multi] {
            soon(workspace.declare(mode.name(), mode)).unwrap();
            soon(workspace.store(mode.name(), 1)).unwrap();
            assert_eq!(code(workspace.ifind::<i64>(mode.name())), ErrorCode::NotIterable);
            assert_eq!(code(workspace.ifetch_try::<i64>(mode.name())), ErrorCode::NotIterable);
        }
    }

    fn an_iterator_ends_with_its_variable(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("x", 0..2)).unwrap();
        let mut iter = workspace.ifind::<i64>("x");
        assert_eq!(next(&mut iter), Some(Ok(0)));
        soon(workspace.delete_variable("x")).unwrap();
        soon(workspace.store_many("x", 0..2)).unwrap();
        assert_eq!(next(&mut iter), None);
        iter.restart();
        assert_eq!(next(&mut iter), None, "it does not go on in one that was made again");
        iter.reset();
        assert_eq!(next(&mut iter), Some(Ok(0)));
    }

    fn an_error_that_stays_is_told_once(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store("x", 1)).unwrap();
        let mut iter = workspace.ifind::<i64>("x");
        assert_eq!(next(&mut iter), Some(Ok(1)));
        soon(site.server().delete_workspace("ws")).unwrap();
        let error = next(&mut iter).unwrap().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::WorkspaceGone));
        assert_eq!(next(&mut iter), None);
    }

    fn a_value_of_another_type_is_passed_over_with_an_error_that_holds_it(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store("x", "one")).unwrap();
        soon(workspace.store("x", 2)).unwrap();
        let mut iter = workspace.ifetch_try::<i64>("x");
        let Some(Err(Error::Mismatch(mismatch))) = next(&mut iter) else { panic!("it is no integer") };
        assert_eq!(mismatch.values, [Value::from("one")]);
        assert_eq!([next(&mut iter), next(&mut iter)], [Some(Ok(2)), None]);
    }

    fn a_next_that_nobody_waits_for_any_more_loses_no_value(site: &Site) {
        let workspace = site.workspace("ws");
        let mut iter = workspace.ifetch::<i64>("x");
        let impatient = async { smol::future::or(async { iter.next().await }, async { None }).await };
        assert_eq!(smol::block_on(impatient), None);
        until("it still waits", || info(&workspace, "x").fetchers == 1);
        soon(workspace.store_many("x", 0..2)).unwrap();
        assert_eq!([next(&mut iter), next(&mut iter)], [Some(Ok(0)), Some(Ok(1))]);
    }

    fn a_value_that_comes_back_behind_an_iterator_is_not_seen_twice(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("x", 0..3)).unwrap();
        let mut iter = workspace.ifind_try::<i64>("x");
        assert_eq!(next(&mut iter), Some(Ok(0)));
        let lease = soon(workspace.fetch_lease("x")).unwrap();
        assert_eq!(lease.read(), Ok(0));
        assert_eq!(next(&mut iter), Some(Ok(1)));
        soon(lease.release()).unwrap();
        assert_eq!([next(&mut iter), next(&mut iter)], [Some(Ok(2)), None]);
        // It is back all the same, at its own place.
        assert_eq!(soon(workspace.fetch("x")), Ok(0));
    }
}
