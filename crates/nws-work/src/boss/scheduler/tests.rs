use super::*;

fn working(instructions: u64) -> Working<u64> {
    Working { name: String::new(), instructions, since: Instant::now() }
}

/// What is chosen of these beside what is worked on, and what is left.
fn choose(
    scheduler: &mut impl Scheduler<u64, ()>,
    pending: &[u64],
    workers: &[u64],
) -> Result<(Vec<u64>, Vec<u64>), String> {
    let mut pending: VecDeque<u64> = pending.iter().copied().collect();
    let workers: Vec<Working<u64>> = workers.iter().copied().map(working).collect();
    let chosen = scheduler.launchable(&mut pending, &workers, &[]);
    let left: Vec<u64> = pending.into();
    match chosen {
        Ok(chosen) => Ok((chosen, left)),
        Err(problem) => Err(format!("{problem}; {left:?}")),
    }
}

#[test]
fn as_many_work_as_there_is_room_for() {
    let mut two = MaxThreads::new(2);
    assert_eq!(choose(&mut two, &[1, 2, 3], &[]), Ok((vec![1, 2], vec![3])));
    assert_eq!(choose(&mut two, &[1, 2, 3], &[9]), Ok((vec![1], vec![2, 3])));
    assert_eq!(choose(&mut two, &[1], &[8, 9, 10]), Ok((vec![], vec![1])));
    assert_eq!(MaxThreads::default().most, crate::usable_cores() as usize);
    assert_eq!(choose(&mut Unlimited, &[1, 2, 3], &[9]), Ok((vec![1, 2, 3], vec![])));
}

#[test]
fn memory_is_a_limit_that_smaller_ones_may_still_fit_into() {
    let mut memory = MaxMemory::new(|need: &u64| *need).limit_bytes(10);
    assert_eq!(choose(&mut memory, &[6, 5, 4, 1], &[]), Ok((vec![6, 4], vec![5, 1])));
    assert_eq!(choose(&mut memory, &[6, 3], &[6]), Ok((vec![3], vec![6])));
    let told = "instructions need 11 bytes of memory, and the limit is 10; [1, 11, 2]";
    let mut error = choose(&mut memory, &[1, 11, 2], &[]).unwrap_err();
    // What had been chosen is pending again, in whatever order.
    error = error.replace("[11, 1, 2]", "[1, 11, 2]");
    assert_eq!(error, told);
}

#[test]
fn the_longest_goes_first_also_of_those_that_come_later() {
    let mut longest = LongestFirst::declared(|seconds: &u64| Duration::from_secs(*seconds)).max_threads(2);
    assert_eq!(choose(&mut longest, &[1, 5, 3], &[]), Ok((vec![5, 3], vec![1])));
    assert_eq!(choose(&mut longest, &[1, 9, 7], &[5]), Ok((vec![9], vec![7, 1])));
    let memory = MaxMemory::new(|need: &u64| *need).limit_bytes(10);
    let mut both = LongestFirst::declared(|seconds: &u64| Duration::from_secs(*seconds)).within(memory);
    assert_eq!(choose(&mut both.max_threads(2), &[4, 7, 8], &[]), Ok((vec![8], vec![7, 4])));
    both = LongestFirst::declared(|_| Duration::ZERO);
    assert_eq!(choose(&mut both, &[], &[]), Ok((vec![], vec![])));
}

#[test]
fn what_was_never_seen_goes_first_and_the_rest_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("durations");
    let open = || LongestFirst::remembered(&path, |number: &u64| number.to_string()).unwrap().max_threads(9);
    let mut first = open();
    assert_eq!(choose(&mut first, &[1, 2], &[]), Ok((vec![1, 2], vec![])));
    for (number, seconds) in [(1, 1), (2, 2)] {
        Scheduler::<u64, ()>::finished(&mut first, &number, Duration::from_secs(seconds));
    }
    Scheduler::<u64, ()>::ended(&mut first);
    assert_eq!(choose(&mut open(), &[1, 2, 3], &[]), Ok((vec![3, 2, 1], vec![])));
}

#[test]
fn a_file_is_open_once_under_whatever_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    std::os::unix::fs::symlink(&path, path.join("link")).unwrap();
    std::fs::write(path.join("1"), "").unwrap();
    // Odd numbers are reached by the link.
    let files = move |number: &u64| match number {
        0 => vec![],
        1..10 => vec![path.join("1")],
        10..20 => vec![path.join("link/1"), path.join("2")],
        _ => vec![path.join("./2")],
    };
    let mut single = SingleOpenFile::new(files).max_threads(3);
    assert_eq!(choose(&mut single, &[1, 2, 10, 20, 0], &[]), Ok((vec![1, 20, 0], vec![2, 10])));
    assert_eq!(choose(&mut single, &[2, 20, 0], &[10]), Ok((vec![0], vec![2, 20])));
}

#[test]
fn a_path_is_looked_up_once_however_often_the_scheduler_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b, link] = ["a", "b", "link"].map(|name| folder.path().join(name));
    std::fs::write(&a, "").unwrap();
    std::fs::write(&b, "").unwrap();
    std::os::unix::fs::symlink(&a, &link).unwrap();
    let paths = [a, b.clone(), link.clone()];
    let mut single = SingleOpenFile::new(move |which: &u64| vec![paths[*which as usize].clone()]).max_threads(3);
    assert_eq!(choose(&mut single, &[1, 2], &[0]), Ok((vec![1], vec![2])));
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&b, &link).unwrap();
    assert_eq!(choose(&mut single, &[2], &[0]), Ok((vec![], vec![2])));
}

#[test]
fn any_scheduler_may_bind_workers_to_cores() {
    let mut bound = OnCores(MaxThreads::new(1));
    assert!(Scheduler::<u64, ()>::binds(&bound));
    assert!(!Scheduler::<u64, ()>::binds(&bound.0));
    assert_eq!(choose(&mut bound, &[1, 2], &[]), Ok((vec![1], vec![2])));
}
