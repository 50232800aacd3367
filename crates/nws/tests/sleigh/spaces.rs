//! Workspaces in tasks and beside them.

use nws::worker;

use crate::{builder, limited, sleigh};

#[nws::task]
fn pass_on(name: &str) -> Result<u32, nws::Error> {
    let baton: String = worker::user_workspace()?.fetch(name)?;
    worker::user_workspace()?.store("done", baton)?;
    Ok(worker::worker_count().unwrap_or_default())
}

#[nws::task]
fn leave_a_note(rank_is_known: bool) -> Result<(), nws::Error> {
    assert_eq!(worker::rank().is_some(), rank_is_known);
    worker::workspace()?.store("notes", "from the first task")?;
    worker::user_workspace()?.store("notes", "from the first task")
}

#[test]
fn master_and_tasks_share_the_users_workspace_while_the_call_goes_on() {
    limited(|| {
        let sleigh = sleigh(2);
        let workspace = sleigh.user_workspace().clone();
        let pending = sleigh.call(pass_on::task()).start(["left", "right"]).unwrap();
        workspace.store("right", "r").unwrap();
        assert_eq!(workspace.fetch::<String>("done").unwrap(), "r");
        workspace.store("left", "l").unwrap();
        assert_eq!(pending.wait().unwrap(), [2, 2]);
        assert_eq!(workspace.fetch::<String>("done").unwrap(), "l");
    });
}

#[test]
fn the_task_that_workers_run_first_has_rank_and_workspaces() {
    limited(|| {
        let sleigh = builder(1).first(leave_a_note::task(), true).build().unwrap();
        for workspace in [sleigh.workspace(), sleigh.user_workspace()] {
            assert_eq!(workspace.fetch::<String>("notes").unwrap(), "from the first task");
        }
    });
}

#[test]
fn a_process_that_is_no_worker_is_told_so() {
    assert_eq!((worker::rank(), worker::worker_count()), (None, None));
    for workspace in [worker::workspace(), worker::user_workspace()] {
        assert!(workspace.unwrap_err().to_string().contains("expected to be in a worker"));
    }
}
