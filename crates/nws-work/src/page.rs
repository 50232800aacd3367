//! The page of memory in which a worker says what it is doing.
//!
//! The host makes one for each worker and reads it when the worker has died, is silent or is to be
//! ended. A worker writes it before and after every task, so the cost is a few plain stores. The
//! lease is written last and cleared first: a page that shows a lease shows the task that it
//! belongs to.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use nws_proto::{LeaseId, SessionId};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const PAGE_BYTES: usize = 3 * 4096;
/// How much is kept of the last that a task wrote to standard error.
const TAIL_BYTES: usize = 8192;

#[repr(C)]
struct Layout {
    session: AtomicU64,
    lease: AtomicU64,
    run: AtomicU32,
    /// 1 while what the task needs is loaded, 0 while it runs.
    loading: AtomicU32,
    /// 1 where others are held by the same lease.
    bundled: AtomicU32,
    index: AtomicU64,
    began_ns: AtomicU64,
    tasks_done: AtomicU64,
    /// 1 once the worker asks for tasks.
    ready: AtomicU32,
    /// Tasks of runs up to this number are not to be run any more, by word of the host.
    dropped_run: AtomicU32,
    /// Those of runs up to this one are to be answered rather than begun.
    cancelled_run: AtomicU32,
    /// How many bytes of the tail there are, and the lease of the task that wrote them.
    tail_bytes: AtomicU32,
    tail_lease: AtomicU64,
    /// Of the bundle of this lease the results of tasks below the index have arrived.
    delivered_lease: AtomicU64,
    delivered: AtomicU64,
    /// Of the bundle of this lease tasks from the index on are no part of any more.
    cut_lease: AtomicU64,
    cut: AtomicU64,
    tail: [AtomicU8; TAIL_BYTES],
}

const _: () = assert!(size_of::<Layout>() <= PAGE_BYTES);

/// A mapped page.
#[derive(Debug)]
pub struct Page {
    layout: *const Layout,
}

// SAFETY: the mapping lives as long as the page, is never remapped, and holds atomics only.
unsafe impl Send for Page {}
// SAFETY: as above; all access is atomic.
unsafe impl Sync for Page {}

/// A task that a worker is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// The lease it holds the task by.
    pub lease: LeaseId,
    /// The task's run.
    pub run: u32,
    /// The task's place in its run.
    pub index: u64,
    /// When it began, in nanoseconds of CLOCK_MONOTONIC.
    pub began_ns: u64,
    /// Whether it is not run yet, but what its run has in common is being loaded.
    pub loading: bool,
    /// Whether the lease is that of several tasks.
    pub bundled: bool,
}

/// Whether a task that a worker has is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It is.
    Yes,
    /// Its run was given up: nobody waits for a result, and its lease has ended.
    Dropped,
    /// Its run was cancelled before it had begun: the result is to say so.
    Cancelled,
}

impl Page {
    /// Makes a page that can be handed to a child by its descriptor.
    ///
    /// # Errors
    /// Those of the system: no memory, no descriptors.
    pub fn create() -> io::Result<(Page, OwnedFd)> {
        let descriptor = memfd_create("nws-page", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let file = File::from(descriptor);
        file.set_len(PAGE_BYTES as u64)?;
        // A child that cut it would have its host die of SIGBUS at the next look.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let descriptor = OwnedFd::from(file);
        Ok((Page::map(&descriptor)?, descriptor))
    }

    /// Maps the page that this descriptor stands for.
    ///
    /// # Errors
    /// `InvalidData` where it is not a page, and those of the system.
    pub fn map(descriptor: &impl AsFd) -> io::Result<Page> {
        let size = rustix::fs::fstat(descriptor)?.st_size;
        if size != PAGE_BYTES as i64 {
            let message = format!("expected a worker's page of {PAGE_BYTES} bytes, got {size}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        // SAFETY: a fresh shared mapping of a file of this size, at an address of the kernel's
        // choice; the only other writer is the process at the other end, through atomics.
        let address = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            mmap(std::ptr::null_mut(), PAGE_BYTES, access, MapFlags::SHARED, descriptor, 0)?
        };
        Ok(Page { layout: address.cast::<Layout>() })
    }

    fn layout(&self) -> &Layout {
        // SAFETY: the mapping is page-aligned, long enough, lives as long as self, and any bytes
        // are valid atomics.
        unsafe { &*self.layout }
    }

    /// Says which session the worker has.
    pub fn join(&self, session: SessionId) {
        self.layout().session.store(session.0, Ordering::Release);
    }

    /// The worker's session, once it has connected.
    pub fn session(&self) -> Option<SessionId> {
        Some(SessionId(self.layout().session.load(Ordering::Acquire))).filter(|session| session.0 != 0)
    }

    /// Says that the worker is set up and asks for tasks from now on.
    pub fn set_ready(&self) {
        self.layout().ready.store(1, Ordering::Release);
    }

    /// Whether the worker asks for tasks: it has connected, and was set up.
    pub fn is_ready(&self) -> bool {
        self.layout().ready.load(Ordering::Acquire) != 0
    }

    /// Says that a task begins.
    pub fn begin(&self, running: Running) {
        let layout = self.layout();
        layout.run.store(running.run, Ordering::Relaxed);
        layout.index.store(running.index, Ordering::Relaxed);
        layout.began_ns.store(running.began_ns, Ordering::Relaxed);
        layout.loading.store(running.loading.into(), Ordering::Relaxed);
        layout.bundled.store(running.bundled.into(), Ordering::Relaxed);
        // In one order with what `wanted` looks at.
        layout.lease.store(running.lease.0, Ordering::SeqCst);
    }

    /// Whether a task of this run is to be run, asked by the worker after it has said that it begins:
    /// either the host sees the task then, or the worker sees what the host has said.
    pub fn wanted(&self, run: u32) -> Wanted {
        let layout = self.layout();
        if run <= layout.dropped_run.load(Ordering::SeqCst) {
            Wanted::Dropped
        } else if run <= layout.cancelled_run.load(Ordering::SeqCst) {
            Wanted::Cancelled
        } else {
            Wanted::Yes
        }
    }

    /// Tells the worker, from its host, what has become of this run and those before it. What it is
    /// running can be asked afterwards.
    pub fn unwant(&self, run: u32, wanted: Wanted) {
        match wanted {
            Wanted::Yes => {}
            Wanted::Dropped => self.layout().dropped_run.store(run, Ordering::SeqCst),
            Wanted::Cancelled => self.layout().cancelled_run.store(run, Ordering::SeqCst),
        }
    }

    /// Says that the task is over.
    pub fn end(&self) {
        let layout = self.layout();
        layout.lease.store(0, Ordering::Release);
        layout.tasks_done.store(layout.tasks_done.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// What the worker is running.
    pub fn running(&self) -> Option<Running> {
        let layout = self.layout();
        let lease = LeaseId(layout.lease.load(Ordering::SeqCst));
        let running = Running {
            lease,
            run: layout.run.load(Ordering::Relaxed),
            index: layout.index.load(Ordering::Relaxed),
            began_ns: layout.began_ns.load(Ordering::Relaxed),
            loading: layout.loading.load(Ordering::Relaxed) != 0,
            bundled: layout.bundled.load(Ordering::Relaxed) != 0,
        };
        // A living worker may have gone on while this was read.
        let same = layout.lease.load(Ordering::Acquire) == lease.0;
        (lease.0 != 0 && same).then_some(running)
    }

    /// Keeps the last of what the task with this lease writes to standard error: it is lost with the
    /// worker otherwise. One thread at a time may do so.
    pub fn keep_tail(&self, lease: LeaseId, bytes: &[u8]) {
        let layout = self.layout();
        let before = self.tail(lease).unwrap_or_default();
        if layout.tail_lease.load(Ordering::Relaxed) != lease.0 {
            // Else a worker that dies here would have the lines of one task told of another.
            layout.tail_bytes.store(0, Ordering::Release);
            layout.tail_lease.store(lease.0, Ordering::Release);
        }
        let whole = [before.as_slice(), bytes].concat();
        let last = &whole[whole.len().saturating_sub(TAIL_BYTES)..];
        for (place, byte) in layout.tail.iter().zip(last) {
            place.store(*byte, Ordering::Relaxed);
        }
        layout.tail_bytes.store(u32::try_from(last.len()).unwrap_or_default(), Ordering::Release);
    }

    /// The last that the task with this lease wrote to standard error, as far as it has left the
    /// pipe.
    pub fn tail(&self, lease: LeaseId) -> Option<Vec<u8>> {
        let layout = self.layout();
        let count = layout.tail_bytes.load(Ordering::Acquire) as usize;
        let kept = layout.tail.iter().take(count).map(|byte| byte.load(Ordering::Relaxed));
        (layout.tail_lease.load(Ordering::Relaxed) == lease.0).then(|| kept.collect())
    }

    /// Says that the results of all tasks of this bundle below the index have arrived. One thread at a time may
    /// do so.
    pub fn set_delivered(&self, lease: LeaseId, below: u64) {
        let layout = self.layout();
        tell(&layout.delivered_lease, &layout.delivered, lease, below);
    }

    /// Says that tasks of this bundle from the index on are values of their own. One thread at a time may do so.
    pub fn set_cut(&self, lease: LeaseId, from: u64) {
        let layout = self.layout();
        tell(&layout.cut_lease, &layout.cut, lease, from);
    }

    /// Which tasks of this bundle are not to be run again with it, by index: those whose results have arrived,
    /// and those that are values of their own.
    pub fn passed_over(&self, lease: LeaseId) -> Vec<Range<u64>> {
        let layout = self.layout();
        let delivered = told(&layout.delivered_lease, &layout.delivered, lease).map(|below| 0..below);
        let cut = told(&layout.cut_lease, &layout.cut, lease).map(|from| from..u64::MAX);
        delivered.into_iter().chain(cut).collect()
    }

    /// How many tasks the worker has ended.
    pub fn tasks_done(&self) -> u64 {
        self.layout().tasks_done.load(Ordering::Relaxed)
    }
}

/// Says something of a lease: where it is read in between, nothing.
fn tell(of: &AtomicU64, place: &AtomicU64, lease: LeaseId, what: u64) {
    of.store(0, Ordering::Release);
    fence(Ordering::SeqCst);
    place.store(what, Ordering::Release);
    of.store(lease.0, Ordering::Release);
}

fn told(of: &AtomicU64, place: &AtomicU64, lease: LeaseId) -> Option<u64> {
    (of.load(Ordering::Acquire) == lease.0).then(|| place.load(Ordering::Acquire))
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the address and length of our own mapping, which nothing refers to any more.
        // An error would mean that it is unmapped already.
        let _ = unsafe { munmap(self.layout.cast_mut().cast(), PAGE_BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_writes_its_host_reads() {
        let (host, descriptor) = Page::create().unwrap();
        let worker = Page::map(&descriptor).unwrap();
        assert_eq!(host.running(), None);
        assert_eq!(host.session(), None);
        worker.join(SessionId(7));
        assert!(!host.is_ready());
        worker.set_ready();
        assert!(host.is_ready());
        let running = Running { lease: LeaseId(3), run: 1, index: 99, began_ns: 5, loading: true, bundled: true };
        worker.begin(running);
        assert_eq!(host.session(), Some(SessionId(7)));
        assert_eq!(host.running(), Some(running));
        worker.end();
        assert_eq!(host.running(), None);
        assert_eq!(host.tasks_done(), 1);
    }

    #[test]
    fn a_host_says_which_runs_are_not_wanted_any_more() {
        let (host, descriptor) = Page::create().unwrap();
        let worker = Page::map(&descriptor).unwrap();
        assert_eq!(worker.wanted(1), Wanted::Yes);
        host.unwant(2, Wanted::Cancelled);
        host.unwant(1, Wanted::Dropped);
        let wanted = [1, 2, 3].map(|run| worker.wanted(run));
        assert_eq!(wanted, [Wanted::Dropped, Wanted::Cancelled, Wanted::Yes]);
    }

    #[test]
    fn the_last_that_a_task_wrote_is_kept_for_its_host() {
        let (host, descriptor) = Page::create().unwrap();
        let worker = Page::map(&descriptor).unwrap();
        assert_eq!(host.tail(LeaseId(1)), None);
        worker.keep_tail(LeaseId(1), b"one ");
        worker.keep_tail(LeaseId(1), b"two");
        assert_eq!(host.tail(LeaseId(1)).as_deref(), Some(&b"one two"[..]));
        worker.keep_tail(LeaseId(2), b"other");
        assert_eq!(host.tail(LeaseId(1)), None);
        worker.keep_tail(LeaseId(2), &[b'x'; 2 * TAIL_BYTES]);
        assert_eq!(host.tail(LeaseId(2)), Some(vec![b'x'; TAIL_BYTES]));
    }

    #[test]
    fn what_is_told_of_a_bundle_is_not_told_of_another() {
        let (host, descriptor) = Page::create().unwrap();
        let worker = Page::map(&descriptor).unwrap();
        assert!(host.passed_over(LeaseId(1)).is_empty());
        worker.set_delivered(LeaseId(1), 20);
        worker.set_delivered(LeaseId(1), 30);
        worker.set_cut(LeaseId(1), 50);
        assert_eq!(host.passed_over(LeaseId(1)), [0..30, 50..u64::MAX]);
        worker.set_delivered(LeaseId(2), 99);
        let both = [1, 2].map(|lease| host.passed_over(LeaseId(lease)));
        assert_eq!(both.concat(), [50..u64::MAX, 0..99]);
    }

    #[test]
    fn nobody_can_cut_a_page_off_under_its_host() {
        let (host, descriptor) = Page::create().unwrap();
        let file = File::from(descriptor);
        for length in [0, 2 * PAGE_BYTES as u64] {
            assert_eq!(file.set_len(length).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
        assert_eq!(host.running(), None);
    }

    #[test]
    fn a_file_of_another_size_is_no_page() {
        let file = memfd_create("short", MemfdFlags::CLOEXEC).unwrap();
        assert_eq!(Page::map(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
