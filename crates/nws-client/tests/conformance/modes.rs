//! The four modes, one value at a time.

use nws_client::Value;
use nws_proto::{Descriptor, ErrorCode, Language, Mode};

use crate::site::{Site, code, info, number, numbers, over_both, soon};

over_both! {
    fn fifo_gives_the_oldest_first(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.declare("x", Mode::Fifo)).unwrap();
        soon(workspace.store_many("x", 0..5)).unwrap();
        assert_eq!(number(&soon(workspace.find("x")).unwrap()), 0);
        let fetched: Vec<i64> = (0..5).map(|_| number(&soon(workspace.fetch("x")).unwrap())).collect();
        assert_eq!(fetched, [0, 1, 2, 3, 4]);
        assert_eq!(soon(workspace.fetch_try::<Value>("x")), Ok(None));
    }

    fn lifo_gives_the_newest_first(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.declare("x", Mode::Lifo)).unwrap();
        soon(workspace.store_many("x", 0..5)).unwrap();
        assert_eq!(number(&soon(workspace.find("x")).unwrap()), 4);
        let fetched: Vec<i64> = (0..5).map(|_| number(&soon(workspace.fetch("x")).unwrap())).collect();
        assert_eq!(fetched, [4, 3, 2, 1, 0]);
    }

    fn multi_gives_each_value_once_in_no_order(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.declare("x", Mode::Multi)).unwrap();
        soon(workspace.store_many("x", 0..200)).unwrap();
        let fetched: Vec<i64> = (0..200).map(|_| number(&soon(workspace.fetch("x")).unwrap())).collect();
        let mut sorted = fetched.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..200).collect::<Vec<_>>());
        // One in 200! says otherwise.
        assert_ne!(fetched, sorted);
        assert_eq!(soon(workspace.fetch_try::<Value>("x")), Ok(None));
    }

    fn single_keeps_the_last_value_alone(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.declare("x", Mode::Single)).unwrap();
        for n in 0..3 {
            soon(workspace.store("x", n)).unwrap();
        }
        assert_eq!(info(&workspace, "x").values, 1);
        assert_eq!(number(&soon(workspace.find("x")).unwrap()), 2);
        assert_eq!(number(&soon(workspace.fetch("x")).unwrap()), 2);
        assert_eq!(soon(workspace.find_try::<Value>("x")), Ok(None));
    }

    fn a_variable_that_nobody_declared_becomes_fifo(site: &Site) {
        let workspace = site.workspace("ws");
        assert_eq!(soon(workspace.find_try::<Value>("x")), Ok(None));
        assert_eq!(info(&workspace, "x").mode, None);
        soon(workspace.store("x", 1)).unwrap();
        assert_eq!(info(&workspace, "x").mode, Some(Mode::Fifo));
        assert_eq!(code(workspace.declare("x", Mode::Lifo)), ErrorCode::ModeConflict);
        soon(workspace.declare("x", Mode::Fifo)).unwrap();
    }

    fn a_mode_is_confirmed_but_not_changed(site: &Site) {
        let workspace = site.workspace("ws");
        for mode in Mode::ALL {
            soon(workspace.declare(mode.name(), mode)).unwrap();
            soon(workspace.declare(mode.name(), mode)).unwrap();
            for other in Mode::ALL.into_iter().filter(|other| *other != mode) {
                assert_eq!(code(workspace.declare(mode.name(), other)), ErrorCode::ModeConflict);
            }
            assert_eq!(info(&workspace, mode.name()).mode, Some(mode));
        }
    }

    fn find_leaves_the_value_and_try_forms_do_not_wait(site: &Site) {
        let workspace = site.workspace("ws");
        assert_eq!(soon(workspace.find_try::<Value>("x")), Ok(None));
        assert_eq!(soon(workspace.fetch_try::<Value>("x")), Ok(None));
        soon(workspace.store("x", "a")).unwrap();
        for _ in 0..3 {
            assert_eq!(soon(workspace.find("x")), Ok(Value::from("a")));
            assert_eq!(soon(workspace.find_try::<Value>("x")), Ok(Some(Value::from("a"))));
        }
        assert_eq!(soon(workspace.fetch_try::<Value>("x")), Ok(Some(Value::from("a"))));
        assert_eq!(soon(workspace.find_try::<Value>("x")), Ok(None));
    }

    fn values_come_back_with_their_bytes_and_descriptor(site: &Site) {
        let workspace = site.workspace("ws");
        let pickle = Descriptor::serialized(Language::Python);
        let lengths = [0, 1, 100, 16_383, 16_384, 65_536, 1_000_000, 5_000_001];
        let value = |length: usize| Value { descriptor: pickle, bytes: (0..length).map(|n| n as u8).collect() };
        let stores: Vec<_> = lengths.iter().map(|length| workspace.store("x", value(*length))).collect();
        stores.into_iter().for_each(|store| soon(store).unwrap());
        for length in lengths {
            assert!(soon(workspace.find::<Value>("x")).unwrap() == value(length), "{length}");
            assert!(soon(workspace.fetch::<Value>("x")).unwrap() == value(length), "{length}");
        }
    }

    fn names_are_any_bytes(site: &Site) {
        let workspace = site.workspace("ws");
        let names: [&[u8]; 4] = [b"", b"\xff\x00 x", "Größe".as_bytes(), &[b'n'; 4096]];
        for (name, n) in names.iter().zip(0..) {
            soon(workspace.store(name, n)).unwrap();
        }
        for (name, n) in names.iter().zip(0..) {
            assert_eq!(number(&soon(workspace.fetch(name)).unwrap()), n);
        }
        assert_eq!(code(workspace.store([b'n'; 4097], 1)), ErrorCode::NameTooLong);
        assert_eq!(code(workspace.store(vec![b'n'; 1 << 20], 1)), ErrorCode::NameTooLong);
        // The connection has outlived that.
        assert_eq!(soon(workspace.find_try::<Value>("fine")), Ok(None));
    }

    fn a_listing_counts_values_and_those_who_wait(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("b", 0..3)).unwrap();
        let _fetch = workspace.fetch::<Value>("a");
        let _finds = [workspace.find::<Value>("a"), workspace.find::<Value>("a")];
        let listing = soon(workspace.list_variables()).unwrap();
        let names: Vec<&[u8]> = listing.iter().map(|info| &*info.name).collect();
        assert_eq!(names, [b"a", b"b"]);
        assert_eq!((listing[0].values, listing[0].fetchers, listing[0].finders, listing[0].mode), (0, 1, 2, None));
        assert_eq!((listing[1].values, listing[1].leased, listing[1].mode), (3, 0, Some(Mode::Fifo)));
        assert_eq!(numbers(&soon(workspace.fetch_many("b", 10)).unwrap()), [0, 1, 2]);
    }
}
