//! Runs that were cancelled or given up, for workers that come later: the tasks that those before them
//! held come back, and a new page knows of nothing.

use crate::page::{Page, Wanted};

/// The last runs whose tasks are not to be begun any more. Numbers of runs grow, and what is not wanted
/// of one is not wanted of those before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unwanted {
    dropped_run: u32,
    cancelled_run: u32,
}

impl Unwanted {
    pub(super) fn add(&mut self, run: u32, wanted: Wanted) {
        match wanted {
            Wanted::Yes => {}
            Wanted::Dropped => self.dropped_run = self.dropped_run.max(run),
            Wanted::Cancelled => self.cancelled_run = self.cancelled_run.max(run),
        }
    }

    pub(super) fn tell(self, page: &Page) {
        page.unwant(self.dropped_run, Wanted::Dropped);
        page.unwant(self.cancelled_run, Wanted::Cancelled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_later_is_told_as_well() {
        let mut unwanted = Unwanted::default();
        let page = Page::create().unwrap().0;
        unwanted.tell(&page);
        assert_eq!(page.wanted(1), Wanted::Yes);
        unwanted.add(2, Wanted::Cancelled);
        unwanted.add(1, Wanted::Dropped);
        unwanted.add(3, Wanted::Yes);
        unwanted.tell(&page);
        assert_eq!([1, 2, 3].map(|run| page.wanted(run)), [Wanted::Dropped, Wanted::Cancelled, Wanted::Yes]);
    }
}
