//! The server's settings as options of the command line, made from their table.

use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches};

use nws_server::settings::{Setting, TABLE};

/// The settings that were given as flags, as they were written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    given: Vec<(&'static str, String)>,
}

impl Flags {
    pub(crate) fn given(&self) -> &[(&'static str, String)] {
        &self.given
    }

    /// The arguments that say the same.
    pub(crate) fn to_arguments(&self) -> impl Iterator<Item = String> {
        self.given.iter().map(|(name, text)| format!("--{name}={text}"))
    }

    fn update(&mut self, matches: &ArgMatches) {
        for setting in TABLE {
            if let Some(text) = matches.get_one::<String>(setting.name) {
                self.given.push((setting.name, text.clone()));
            }
        }
    }
}

fn argument(setting: &'static Setting) -> Arg {
    let default = if setting.is_switch { "" } else { setting.default };
    let mut notes = vec![format!("env: {}", setting.variable)];
    if !default.is_empty() {
        notes.insert(0, format!("default: {default}"));
    }
    let notes = notes.iter().map(|note| format!(" [{note}]")).collect::<String>();
    let help = format!("{}{notes}", setting.help);
    let long = format!("{}. {} Expected: {}.{notes}", setting.help, setting.more, (setting.expected)());
    let argument = Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.placeholder)
        .help(help)
        .long_help(long.replace(".  ", ". "))
        .help_heading(setting.group)
        .action(ArgAction::Set);
    if setting.is_switch {
        return argument.num_args(0..=1).require_equals(true).default_missing_value("true").hide_possible_values(true);
    }
    argument
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Flags::default();
        flags.update(matches);
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.update(matches);
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        TABLE.iter().fold(command, |command, setting| command.arg(argument(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
