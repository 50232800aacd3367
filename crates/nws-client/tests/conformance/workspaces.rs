//! Opening, using, listing and deleting workspaces; who owns them.

use nws_client::Value;
use nws_proto::{ErrorCode, OpenMode};

use crate::site::{Site, code, number, over_both, soon, until};

fn own(persistent: bool) -> OpenMode {
    OpenMode::Own { persistent }
}

over_both! {
    fn the_default_workspace_is_always_there_and_cannot_go(site: &Site) {
        let server = site.server();
        let listing = soon(server.list_workspaces()).unwrap();
        assert_eq!(listing.len(), 1);
        assert_eq!((&*listing[0].name, &*listing[0].owner), (&b"__default"[..], &b"[system]"[..]));
        assert_eq!(code(server.delete_workspace("__default")), ErrorCode::ProtectedWorkspace);
        soon(soon(server.use_workspace("__default")).unwrap().store("x", 1)).unwrap();
    }

    fn who_opens_first_owns_it(site: &Site) {
        let (owner, other) = (site.server(), site.server());
        assert!(soon(owner.open("ws")).unwrap().is_owned());
        assert!(!soon(other.open("ws")).unwrap().is_owned());
        assert!(!soon(other.use_workspace("ws")).unwrap().is_owned());
        let mine = soon(owner.workspace_info("ws")).unwrap().unwrap();
        let theirs = soon(other.workspace_info("ws")).unwrap().unwrap();
        assert_eq!((mine.mine, theirs.mine), (true, false));
        let label = format!("({})", std::process::id());
        assert!(String::from_utf8_lossy(&theirs.owner).ends_with(&label), "{theirs:?}");
    }

    fn an_owned_workspace_goes_with_its_owner(site: &Site) {
        let other = site.server();
        let owner = site.server();
        let workspace = soon(owner.open("ws")).unwrap();
        let used = soon(other.use_workspace("ws")).unwrap();
        let waiting = used.fetch::<Value>("x");
        owner.connection().close();
        assert_eq!(code(waiting), ErrorCode::WorkspaceGone);
        assert_eq!(soon(other.workspace_info("ws")), Ok(None));
        assert_eq!(code(used.store("x", 1)), ErrorCode::WorkspaceGone);
        // Opened again it is another one, and the old handle does not reach it.
        soon(other.use_workspace("ws")).unwrap();
        assert_eq!(code(used.store("y", 1)), ErrorCode::WorkspaceGone);
        drop(workspace);
    }

    fn what_nobody_owns_and_what_is_persistent_stays(site: &Site) {
        let other = site.server();
        let owner = site.server();
        let persistent = soon(owner.open_persistent("persistent")).unwrap();
        assert!(persistent.is_owned());
        soon(persistent.store("x", 1)).unwrap();
        soon(soon(owner.use_workspace("used")).unwrap().store("x", 2)).unwrap();
        soon(owner.open("owned")).unwrap();
        owner.connection().close();
        until("the owner's end is seen", || soon(other.workspace_info("owned")).unwrap().is_none());
        let names: Vec<Vec<u8>> = soon(other.list_workspaces()).unwrap().into_iter().map(|info| info.name).collect();
        assert_eq!(names, [b"__default".to_vec(), b"persistent".to_vec(), b"used".to_vec()]);
        // Nobody becomes its owner after the first.
        let again = soon(other.open("persistent")).unwrap();
        assert!(!again.is_owned());
        assert!(soon(other.workspace_info("persistent")).unwrap().unwrap().persistent);
        assert_eq!(number(&soon(again.fetch("x")).unwrap()), 1);
    }

    fn a_used_workspace_gets_the_first_opener_as_its_owner(site: &Site) {
        let (user, opener) = (site.server(), site.server());
        let used = soon(user.use_workspace("ws")).unwrap();
        assert!(!used.is_owned());
        assert!(soon(opener.open("ws")).unwrap().is_owned());
        opener.connection().close();
        until("it goes with its owner", || soon(user.workspace_info("ws")).unwrap().is_none());
    }

    fn without_create_a_workspace_has_to_be_there(site: &Site) {
        let server = site.server();
        for mode in [OpenMode::Use, own(false), own(true)] {
            assert_eq!(code(server.open_with("ws", mode, false)), ErrorCode::NoSuchWorkspace);
        }
        soon(server.use_workspace("ws")).unwrap();
        assert!(soon(server.open_with("ws", own(false), false)).unwrap().is_owned());
    }

    fn temporary_names_are_new_and_follow_the_template(site: &Site) {
        let server = site.server();
        let (first, second) = (soon(server.make_temporary("tmp %d!")).unwrap(), soon(server.make_temporary("tmp %d!")).unwrap());
        assert_ne!(first.name(), second.name());
        assert!(first.name().starts_with(b"tmp "), "{:?}", first.name());
        assert!(!first.is_owned());
        soon(first.store("x", 1)).unwrap();
        assert_eq!(number(&soon(soon(server.use_workspace(first.name())).unwrap().fetch("x")).unwrap()), 1);
        for template in ["plain", "%s", "%d %d", "%"] {
            assert_eq!(code(server.make_temporary(template)), ErrorCode::BadTemplate, "{template}");
        }
    }

    fn a_listing_names_the_variables(site: &Site) {
        let server = site.server();
        let workspace = soon(server.open("ws")).unwrap();
        soon(workspace.store("b", 1)).unwrap();
        soon(workspace.store("a", 1)).unwrap();
        let info = soon(server.workspace_info("ws")).unwrap().unwrap();
        assert_eq!(info.variables, [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(soon(server.workspace_info("none")), Ok(None));
    }

    fn many_workspaces_may_be_opened_one_after_the_other(site: &Site) {
        // More than may be open at a time: what is dropped is closed.
        let server = site.server();
        for n in 0..5_000 {
            drop(soon(server.use_workspace(format!("{}", n % 3))).unwrap());
        }
    }
}
