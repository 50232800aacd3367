//! Objects through a server, and values that are not what was asked for.

use nws_client::{Descriptor, Error, Language, Mismatch, Value};

use crate::site::{Site, over_both, soon};

fn mismatch<T: std::fmt::Debug>(result: Result<T, Error>) -> Mismatch {
    match result {
        Err(Error::Mismatch(mismatch)) => *mismatch,
        other => panic!("{other:?}"),
    }
}

over_both! {
    fn what_is_stored_is_what_is_fetched(site: &Site) {
        let workspace = site.workspace("ws");
        let objects = vec![(1u64, "one".to_owned(), None), (u64::MAX, String::new(), Some(0.5))];
        soon(workspace.store("x", &objects)).unwrap();
        soon(workspace.store_many("x", &objects)).unwrap();
        assert_eq!(soon(workspace.find("x")), Ok(objects.clone()));
        assert_eq!(soon(workspace.fetch("x")), Ok(objects.clone()));
        assert_eq!(soon(workspace.fetch_many("x", 9)), Ok(objects));
        assert_eq!(soon(workspace.fetch_try::<i64>("x")), Ok(None));
    }

    fn a_fetched_value_of_another_type_is_in_the_error(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store("x", "soup")).unwrap();
        let found = mismatch(soon(workspace.find::<i64>("x")));
        assert_eq!(found.to_string(), "expected i64 as a value of the variable 'x', got the text \"soup\"");
        let fetched = mismatch(soon(workspace.fetch::<i64>("x")));
        assert_eq!((fetched.values, fetched.position), (vec![Value::from("soup")], 0));
        assert_eq!(soon(workspace.fetch_try::<Value>("x")), Ok(None));
    }

    fn one_bad_value_of_many_loses_none_of_them(site: &Site) {
        let workspace = site.workspace("ws");
        let pickle = Value { descriptor: Descriptor::serialized(Language::Python), bytes: b"\x80\x05N."[..].into() };
        let values = [Value::from(1), pickle, Value::from(3)];
        soon(workspace.store_many("x", &values)).unwrap();
        let found = mismatch(soon(workspace.fetch_many::<i64>("x", 3)));
        assert_eq!((&found.values[..], found.position), (&values[..], 1));
        assert!(found.to_string().contains("store it there with encoding=\"json\""), "{found}");
    }

    fn what_cannot_be_stored_is_refused_by_name_and_nothing_is_stored(site: &Site) {
        let workspace = site.workspace("ws");
        let error = soon(workspace.store("x", [f64::NAN])).unwrap_err();
        assert!(error.to_string().contains("in the variable 'x'"), "{error}");
        assert!(soon(workspace.store_many("x", [vec![1.0], vec![f64::NAN]])).is_err());
        assert_eq!(soon(workspace.find_try::<Value>("x")), Ok(None));
        // Of a lease the value comes back.
        soon(workspace.store("tasks", 7)).unwrap();
        let lease = soon(workspace.fetch_lease("tasks")).unwrap();
        assert!(soon(lease.finish(&workspace, "results", [f64::NAN])).is_err());
        assert_eq!(soon(workspace.fetch("tasks")), Ok(7));
    }
}
