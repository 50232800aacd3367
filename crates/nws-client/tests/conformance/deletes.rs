//! Deleting, while others look.

use nws_client::Value;
use nws_proto::ErrorCode;

use crate::site::{Site, code, info, number, over_both, soon, until};

over_both! {
    fn deleting_a_variable_tells_all_who_wait_on_it(site: &Site) {
        let (workspace, other) = (site.workspace("ws"), site.workspace("ws"));
        let (fetch, find, lease) = (other.fetch::<Value>("x"), other.find::<Value>("x"), other.fetch_lease("x"));
        let elsewhere = other.fetch("y");
        until("all wait", || { let info = info(&workspace, "x"); info.fetchers + info.finders == 3 });
        soon(workspace.delete_variable("x")).unwrap();
        assert_eq!(code(fetch), ErrorCode::VariableGone);
        assert_eq!(code(find), ErrorCode::VariableGone);
        assert_eq!(code(lease), ErrorCode::VariableGone);
        soon(workspace.store("y", 1)).unwrap();
        assert_eq!(number(&soon(elsewhere).unwrap()), 1);
    }

    fn a_deleted_variable_is_gone_with_its_values_and_its_mode(site: &Site) {
        let workspace = site.workspace("ws");
        soon(workspace.store_many("x", 0..3)).unwrap();
        let lease = soon(workspace.fetch_lease("x")).unwrap();
        soon(workspace.delete_variable("x")).unwrap();
        assert!(soon(workspace.list_variables()).unwrap().is_empty());
        assert_eq!(code(workspace.delete_variable("x")), ErrorCode::NoSuchVariable);
        assert_eq!(code(lease.finish(&workspace, "results", 1)), ErrorCode::LeaseEnded);
        soon(workspace.declare("x", nws_proto::Mode::Lifo)).unwrap();
        assert_eq!(soon(workspace.fetch_try::<Value>("x")), Ok(None));
    }

    fn deleting_a_workspace_tells_all_who_wait_in_it(site: &Site) {
        let (workspace, other) = (site.workspace("ws"), site.workspace("ws"));
        let waiting = [other.fetch::<Value>("x"), other.find::<Value>("y")];
        until("both wait", || soon(workspace.list_variables()).unwrap().len() == 2);
        soon(site.server().delete_workspace("ws")).unwrap();
        waiting.into_iter().for_each(|call| assert_eq!(code(call), ErrorCode::WorkspaceGone));
        assert_eq!(code(workspace.list_variables()), ErrorCode::WorkspaceGone);
        assert_eq!(code(site.server().delete_workspace("ws")), ErrorCode::NoSuchWorkspace);
    }

    fn large_variables_go_too(site: &Site) {
        let workspace = site.workspace("ws");
        let stores: Vec<_> = (0..60).map(|_| workspace.store_many("x", 0..4000)).collect();
        stores.into_iter().for_each(|store| soon(store).unwrap());
        assert_eq!(info(&workspace, "x").values, 240_000);
        soon(workspace.delete_variable("x")).unwrap();
        soon(workspace.store("x", 7)).unwrap();
        assert_eq!(number(&soon(workspace.fetch("x")).unwrap()), 7);
    }
}
