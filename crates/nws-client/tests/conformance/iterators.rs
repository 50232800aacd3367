//! Iterators: each value once.

use std::time::Duration;

use nws_client::Error;
use nws_proto::{ErrorCode, Mode};

use crate::site::{Site, code, number, over_both, soon};

over_both! {
    fn an_iterator_reads_each_value_once_and_leaves_it(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("x", 0..3)).unwrap();
        let mut iter = workspace.ifind("x");
        for n in 0..3 {
            assert_eq!(number(&soon(iter.next()).unwrap()), n);
        }
        assert_eq!(soon(iter.next_try()), Ok(None));
        assert_eq!(soon(iter.next_timeout(Duration::from_millis(5))), Err(Error::TimedOut));
        let waiting = iter.next();
        soon(workspace.store("x", 3)).unwrap();
        assert_eq!(number(&soon(waiting).unwrap()), 3);
        assert_eq!(soon(iter.next_try()), Ok(None));
        // Another one starts at the oldest.
        assert_eq!(number(&soon(workspace.ifind("x").next()).unwrap()), 0);
    }

    fn a_taking_iterator_takes_what_it_passes(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("x", 0..4)).unwrap();
        let (mut taker, mut reader) = (workspace.ifetch("x"), workspace.ifind("x"));
        assert_eq!(number(&soon(taker.next()).unwrap()), 0);
        assert_eq!(number(&soon(reader.next()).unwrap()), 1);
        assert_eq!(number(&soon(taker.next()).unwrap()), 1);
        assert_eq!(number(&soon(taker.next()).unwrap()), 2);
        assert_eq!(number(&soon(reader.next()).unwrap()), 3);
        assert_eq!(number(&soon(workspace.fetch("x")).unwrap()), 3);
        assert_eq!(soon(taker.next_try()), Ok(None));
    }

    fn an_iterator_over_a_single_sees_what_is_there_when_it_looks(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.declare("x", Mode::Single)).unwrap();
        let mut iter = workspace.ifind("x");
        soon(workspace.store_many("x", 0..3)).unwrap();
        assert_eq!(number(&soon(iter.next()).unwrap()), 2);
        assert_eq!(soon(iter.next_try()), Ok(None));
        soon(workspace.store("x", 9)).unwrap();
        assert_eq!(number(&soon(iter.next()).unwrap()), 9);
    }

    fn modes_without_an_order_have_no_iterators(site: &Site) {
        let workspace = site.workspace("ws");
        for mode in [Mode::Lifo, Mode::Multi] {
            soon(workspace.declare(mode.name(), mode)).unwrap();
            soon(workspace.store(mode.name(), 1)).unwrap();
            assert_eq!(code(workspace.ifind(mode.name()).next()), ErrorCode::NotIterable);
            assert_eq!(code(workspace.ifetch(mode.name()).next_try()), ErrorCode::NotIterable);
        }
    }

    fn an_iterator_does_not_go_on_in_a_variable_that_was_made_again(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("x", 0..2)).unwrap();
        let mut iter = workspace.ifind("x");
        assert_eq!(number(&soon(iter.next()).unwrap()), 0);
        soon(workspace.delete_variable("x")).unwrap();
        soon(workspace.store_many("x", 0..2)).unwrap();
        assert_eq!(code(iter.next()), ErrorCode::VariableGone);
    }

    fn a_value_that_comes_back_behind_an_iterator_is_not_seen_twice(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("x", 0..3)).unwrap();
        let mut iter = workspace.ifind("x");
        assert_eq!(number(&soon(iter.next()).unwrap()), 0);
        let lease = soon(workspace.fetch_lease("x")).unwrap();
        assert_eq!(number(lease.value()), 0);
        assert_eq!(number(&soon(iter.next()).unwrap()), 1);
        soon(lease.release()).unwrap();
        assert_eq!(number(&soon(iter.next()).unwrap()), 2);
        assert_eq!(soon(iter.next_try()), Ok(None));
        // It is back all the same, at its own place.
        assert_eq!(number(&soon(workspace.fetch("x")).unwrap()), 0);
    }
}
