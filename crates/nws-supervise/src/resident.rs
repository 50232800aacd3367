//! How much memory a process and its descendants hold.

use std::fs;

/// Most processes that are looked at; more are no tree, but a mistake.
const PROCESSES: usize = 4096;

/// The memory that only this process and its descendants hold, in bytes: what they have written
/// themselves and what they share by memory, but not the files that they have mapped, which the
/// kernel can drop. `None` where the process is gone. With `more_than` it is measured exactly only
/// where it may be more than that: pages that a fork shares are counted once then.
pub fn resident_bytes(pid: u32, more_than: u64) -> Option<u64> {
    let mut tree = vec![pid];
    let mut at = 0;
    let mut quick = quick_bytes(pid)?;
    while at < tree.len() && tree.len() < PROCESSES {
        let children = children(tree[at]);
        quick += children.iter().filter_map(|child| quick_bytes(*child)).sum::<u64>();
        tree.extend(children);
        at += 1;
    }
    if quick <= more_than {
        return Some(quick);
    }
    // Some may have gone meanwhile; where none is told of, the kernel does not tell.
    let exact: Vec<u64> = tree.into_iter().filter_map(exact_bytes).collect();
    Some(if exact.is_empty() { quick } else { exact.into_iter().sum() })
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Counts pages that several processes share once for each of them.
fn quick_bytes(pid: u32) -> Option<u64> {
    sum_of(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, &["RssAnon:", "RssShmem:"])
}

/// Counts the share of each. It takes the kernel some time.
fn exact_bytes(pid: u32) -> Option<u64> {
    sum_of(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, &["Pss_Anon:", "Pss_Shmem:"])
}

/// The sum of these lines, which are in kibibytes; `None` where one is missing.
fn sum_of(text: &str, names: &[&str]) -> Option<u64> {
    let line = |name: &&str| text.lines().find_map(|line| line.strip_prefix(*name));
    let kibibytes = |rest: &str| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok();
    names.iter().map(|name| line(name).and_then(kibibytes)).sum::<Option<u64>>().map(|sum| sum * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_up_and_missed() {
        let text = "Name:\tx\nRssAnon:\t    100 kB\nRssFile:\t 7 kB\nRssShmem:\t 20 kB\n";
        assert_eq!(sum_of(text, &["RssAnon:", "RssShmem:"]), Some(120 * 1024));
        assert_eq!(sum_of(text, &["RssAnon:", "Pss:"]), None);
    }

    #[test]
    fn what_this_process_allocates_is_seen() {
        let us = std::process::id();
        let before = resident_bytes(us, u64::MAX).unwrap();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = resident_bytes(us, u64::MAX).unwrap();
        let exact = resident_bytes(us, 0).unwrap();
        assert!(after >= before + (60 << 20), "{before} {after}");
        assert!(exact >= 60 << 20 && exact <= after + (64 << 20), "{exact} {after}");
        drop(block);
    }

    #[test]
    fn of_a_process_that_is_gone_nothing_is_known() {
        assert_eq!(resident_bytes(u32::MAX, 0), None);
    }
}
