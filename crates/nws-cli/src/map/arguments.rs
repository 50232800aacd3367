//! The command line of `nws map`, and what it comes down to.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::halt::Halt;
use super::inputs::Combinations;
use super::template::Template;
use crate::exit::{Exit, Failure};
use crate::remote::time;

/// What parts the command from the inputs.
const SEPARATOR: &str = ":::";
/// Most jobs at a time.
const MOST_JOBS: u32 = 4096;
/// Most inputs of one job.
const MOST_LINES: usize = 1 << 16;

/// Run a command for each line of input, on all cores of this machine.
///
/// Inputs are the lines of standard input, or what stands behind `:::`; several `:::` give all
/// combinations. Each input is data: it goes into arguments of the command, never through a shell.
/// Where no argument of the command has a place for it, it becomes the last argument.
///
///   {}     the input                    {.}    without its extension
///   {/}    its last part, as of a path  {//}   its folder
///   {/.}   its last part without extension
///   {1}    the first of several inputs; so {2}, {1.}, {1/}, {1//}, {1/.}
///   {#}    the number of the job, from 1
///   {%}    which of the jobs that run at a time it is, from 1: no two have the same
///
/// Examples:
///
///   ls *.wav | nws map -- flac --silent -o {.}.flac {}
///   nws map -- convert {1} -resize {2} {1.}-{2}.png ::: *.jpg ::: 200 800
///   nws map -- sh -c 'sort "$1" | uniq -c > "$1.counts"' sh {} ::: *.txt
///
/// The outputs come in the order of the inputs, each in one piece. When this command ends, in
/// whatever way, so do all that it started.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, override_usage = "nws map [OPTIONS] -- COMMAND [ARGUMENTS] [::: INPUTS]...")]
pub(crate) struct Arguments {
    /// The command, its arguments, and inputs behind `:::`.
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    words: Vec<OsString>,
    /// Inputs in what is read end with a byte 0 rather than with a newline.
    #[arg(long, short = '0')]
    null: bool,
    /// Read inputs from this file; - is standard input.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Give each job this many inputs; the last job may have fewer.
    #[arg(long, short = 'n', value_name = "N", default_value = "1", value_parser = lines)]
    lines: usize,
    /// This stands for the input, in place of {} and all other placeholders.
    #[arg(long, short = 'I', value_name = "TEXT")]
    replace: Option<OsString>,
    /// Give the inputs to the command as its standard input, each with its newline (or byte 0).
    #[arg(long)]
    stdin: bool,
    /// Most jobs at a time: a number, or a share of the cores such as 50%.
    ///
    /// By default as many as there are cores for this process: its affinity, its control group and
    /// Slurm are asked.
    #[arg(long, short, value_name = "N", value_parser = jobs)]
    jobs: Option<Share>,
    /// Print the outputs in the order of the inputs: the default.
    #[arg(long, short, overrides_with_all = ["unordered", "line_buffer"])]
    keep_order: bool,
    /// Print each output when its job ends.
    #[arg(long, overrides_with_all = ["keep_order", "line_buffer"])]
    unordered: bool,
    /// Print lines as they come, those of different jobs among each other.
    #[arg(long, overrides_with_all = ["keep_order", "unordered"])]
    line_buffer: bool,
    /// Let jobs write to this standard output and error themselves, so that outputs are mixed.
    #[arg(long, short = 'u', conflicts_with_all = ["keep_order", "unordered", "line_buffer", "tag", "json"])]
    ungroup: bool,
    /// Begin each line with the inputs of its job and a tab.
    #[arg(long)]
    tag: bool,
    /// Print an object of JSON for each job, on a line: its inputs, how it ended, when, its outputs.
    #[arg(long, conflicts_with_all = ["tag", "line_buffer"])]
    json: bool,
    /// Run a job that fails again, up to this many times; what its last try wrote is printed.
    #[arg(long, value_name = "N", default_value = "0")]
    retries: u32,
    /// End a job that takes longer, such as 500ms, 2.5s or 10min; it has failed.
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<Duration>,
    /// How long a job that was asked to end, by SIGTERM, may take before it is killed.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "2s")]
    grace: Duration,
    /// When jobs fail, start no more (soon), or end the others as well (now).
    ///
    /// On the first failure, or with fail=N on the Nth: soon, now, soon,fail=3, never. Also on
    /// successes (now,success=1), ends (soon,done=10), and shares of the jobs that have ended, once
    /// there are three (soon,fail=20%, now,success=50%).
    #[arg(long, value_name = "WHEN", default_value = "never")]
    halt: Halt,
    /// Write a line for each job that has ended, in the columns of GNU parallel.
    ///
    /// A file of this name is replaced, unless --resume or --resume-failed is given.
    #[arg(long, value_name = "FILE")]
    joblog: Option<PathBuf>,
    /// Leave out the jobs that the log has, and add the others to it.
    #[arg(long, requires = "joblog")]
    resume: bool,
    /// Leave out the jobs that the log has as done, run those again that failed, and add to it.
    #[arg(long, requires = "joblog")]
    resume_failed: bool,
    /// Show how far it is, on standard error: auto does on a terminal, after a second.
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    progress: Progress,
    /// Print the commands, as a shell would take them, and run none.
    #[arg(long)]
    dry_run: bool,
    /// Run the command in this folder.
    #[arg(long, short = 'C', value_name = "FOLDER")]
    workdir: Option<PathBuf>,
    /// Set a name in the command's environment; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = clap::builder::ValueParser::os_string())]
    env: Vec<OsString>,
}

/// When progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Progress {
    Auto,
    Always,
    Never,
}

/// How many jobs at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Jobs(u32),
    Percent(u32),
}

/// The order of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Inputs,
    Ends,
    /// Whole lines as they come.
    Lines,
}

/// Where inputs come from.
#[derive(Debug)]
pub(super) enum Source {
    Listed(Combinations),
    Stdin,
    File(PathBuf),
}

/// The log of jobs, and which of its jobs are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogPlan {
    pub(super) path: PathBuf,
    pub(super) resume: Resume,
}

/// What is done about jobs that a log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// There is none: the log is begun anew.
    No,
    All,
    /// Those that failed are run again.
    Failed,
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) template: Template,
    pub(super) source: Source,
    /// What ends an input that is read.
    pub(super) end: u8,
    pub(super) lines: usize,
    pub(super) as_stdin: bool,
    pub(super) jobs: usize,
    pub(super) order: Order,
    /// Nobody but the jobs themselves writes their outputs.
    pub(super) ungrouped: bool,
    pub(super) tag: bool,
    pub(super) json: bool,
    pub(super) retries: u32,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) halt: Halt,
    pub(super) log: Option<LogPlan>,
    pub(super) progress: Progress,
    pub(super) dry_run: bool,
    pub(super) workdir: Option<PathBuf>,
    pub(super) env: Vec<(OsString, OsString)>,
}

impl Plan {
    pub(super) fn of(arguments: &Arguments) -> Result<Self, Failure> {
        let mut parts = arguments.words.split(|word| word == SEPARATOR);
        let command = parts.next().unwrap_or_default();
        let lists: Vec<Vec<Vec<u8>>> =
            parts.map(|list| list.iter().map(|word| word.as_bytes().to_vec()).collect()).collect();
        if command.is_empty() {
            return Err(usage("expected a command before :::, as in nws map -- echo {} ::: a b"));
        }
        if !lists.is_empty() && arguments.from.is_some() {
            return Err(usage("expected inputs from --from or behind :::, got both: leave one out"));
        }
        if lists.len() > 1 && arguments.lines > 1 {
            return Err(usage("--lines groups the inputs of one list, got several ::: lists"));
        }
        let template = Template::new(command, arguments.replace.as_deref(), !arguments.stdin).map_err(usage)?;
        let inputs = lists.len().max(1).max(arguments.lines);
        if let Some(number) = template.highest_input().filter(|number| *number > inputs) {
            let message = format!("expected placeholders of inputs 1 to {inputs}, got {{{number}}}: a job has no more");
            return Err(usage(message));
        }
        let source = match (&arguments.from, lists.is_empty()) {
            (Some(path), _) if path.as_os_str() != "-" => Source::File(path.clone()),
            (_, true) => Source::Stdin,
            (_, false) => Source::Listed(Combinations::new(lists)),
        };
        Ok(Self {
            template,
            source,
            end: if arguments.null { 0 } else { b'\n' },
            lines: arguments.lines,
            as_stdin: arguments.stdin,
            jobs: arguments.job_count(),
            order: arguments.order(),
            ungrouped: arguments.ungroup,
            tag: arguments.tag,
            json: arguments.json,
            retries: arguments.retries,
            timeout: arguments.timeout,
            grace: arguments.grace,
            halt: arguments.halt,
            log: arguments.joblog.clone().map(|path| LogPlan { path, resume: arguments.resume() }),
            progress: arguments.progress,
            dry_run: arguments.dry_run,
            workdir: arguments.workdir.as_ref().map(folder).transpose()?,
            env: arguments.env.iter().map(|entry| variable(entry)).collect::<Result<_, _>>()?,
        })
    }
}

impl Arguments {
    fn job_count(&self) -> usize {
        let cores = nws_work::usable_cores();
        let jobs = match self.jobs {
            None => cores,
            Some(Share::Jobs(count)) => count,
            Some(Share::Percent(percent)) => (cores.saturating_mul(percent) / 100).clamp(1, MOST_JOBS),
        };
        jobs as usize
    }

    fn order(&self) -> Order {
        match (self.line_buffer, self.unordered || self.ungroup) {
            (true, _) => Order::Lines,
            (_, true) => Order::Ends,
            _ => Order::Inputs,
        }
    }

    fn resume(&self) -> Resume {
        match (self.resume_failed, self.resume) {
            (true, _) => Resume::Failed,
            (_, true) => Resume::All,
            _ => Resume::No,
        }
    }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}

fn folder(path: impl AsRef<Path>) -> Result<PathBuf, Failure> {
    let path = path.as_ref();
    match path.canonicalize() {
        Ok(whole) if whole.is_dir() => Ok(whole),
        Ok(_) => Err(usage(format!("--workdir: expected a folder, got the file {}", path.display()))),
        Err(error) => Err(usage(format!("--workdir: expected a folder, got {}: {error}", path.display()))),
    }
}

fn variable(entry: &OsStr) -> Result<(OsString, OsString), Failure> {
    let bytes = entry.as_bytes();
    let place = bytes.iter().position(|byte| *byte == b'=').filter(|place| *place > 0);
    let place = place.ok_or_else(|| usage(format!("--env: expected NAME=VALUE, got {}", entry.to_string_lossy())))?;
    let (name, value) = bytes.split_at(place);
    let value = value.get(1..).unwrap_or_default();
    Ok((OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())))
}

fn lines(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MOST_LINES).contains(count));
    count.ok_or_else(|| format!("expected a number from 1 to {MOST_LINES}"))
}

fn jobs(text: &str) -> Result<Share, String> {
    let wrong = || format!("expected a number from 1 to {MOST_JOBS}, or a share of the cores such as 50%");
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.parse().ok().filter(|percent| *percent > 0).map(Share::Percent),
        None => text.parse().ok().filter(|count| (1..=MOST_JOBS).contains(count)).map(Share::Jobs),
    };
    share.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn plan(words: &[&str]) -> Result<Plan, String> {
        let line = Line::try_parse_from(["map"].iter().chain(words)).map_err(|error| error.to_string())?;
        Plan::of(&line.arguments).map_err(|failure| failure.message)
    }

    #[test]
    fn what_stands_behind_the_command_is_the_commands_own() {
        for words in
            [&["--", "grep", "--", "-j", "x"][..], &["grep", "--", "-j", "x"], &["-j1", "grep", "--", "-j", "x"]]
        {
            let plan = plan(words).unwrap();
            let filled: Vec<OsString> = plan.template.fill(1, &[b"in".to_vec()]);
            assert_eq!(filled, ["grep", "--", "-j", "x", "in"], "{words:?}");
        }
    }

    #[test]
    fn jobs_are_a_number_or_a_share_of_the_cores() {
        assert_eq!(jobs("7"), Ok(Share::Jobs(7)));
        assert_eq!(jobs("50%"), Ok(Share::Percent(50)));
        for wrong in ["0", "0%", "-1", "many", "4097", "%"] {
            assert!(jobs(wrong).is_err(), "{wrong}");
        }
        assert_eq!(plan(&["-j", "1%", "echo"]).unwrap().jobs, 1);
        let cores = nws_work::usable_cores() as usize;
        assert_eq!(plan(&["echo"]).unwrap().jobs, cores);
        assert_eq!(plan(&["-j", "200%", "echo"]).unwrap().jobs, 2 * cores);
    }

    #[test]
    fn the_last_of_the_orders_counts() {
        assert_eq!(plan(&["echo"]).unwrap().order, Order::Inputs);
        assert_eq!(plan(&["--unordered", "echo"]).unwrap().order, Order::Ends);
        assert_eq!(plan(&["--unordered", "--line-buffer", "echo"]).unwrap().order, Order::Lines);
        assert_eq!(plan(&["--line-buffer", "-k", "echo"]).unwrap().order, Order::Inputs);
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (words, told) in [
            (&[":::", "a"][..], "expected a command before :::"),
            (&["--from", "x", "echo", ":::", "a"], "got both"),
            (&["-n2", "echo", ":::", "a", ":::", "b"], "several ::: lists"),
            (&["echo", "{3}", ":::", "a", ":::", "b"], "expected placeholders of inputs 1 to 2, got {3}"),
            (&["--env", "=x", "echo"], "expected NAME=VALUE, got =x"),
            (&["--workdir", "/no/such", "echo"], "expected a folder, got /no/such"),
            (&["--resume", "echo"], "--joblog <FILE>"),
            (&["-n0", "echo"], "expected a number from 1 to 65536"),
            (&["--no-such-option", "echo"], "unexpected argument"),
            (&[], "required"),
        ] {
            let error = plan(words).unwrap_err();
            assert!(error.contains(told), "{words:?}: {error}");
        }
    }
}
