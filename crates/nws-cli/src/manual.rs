//! Manual pages, completions and the pages of the documentation, made from the commands and the table
//! of settings.

use std::fmt::Write as _;
use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::exit::{Exit, Failure};
use nws_server::settings::TABLE;

/// What stands at the end of the help.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 done, 1 no value or not in time, 2 wrong usage, 3 no server, \
                                     4 refused, 5 no such workspace or variable, 6 failed otherwise.";

/// Print a manual page, or a page of the documentation.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The manual page, for man(1).
    Man,
    /// The documentation of the settings, in Markdown.
    SettingsPage,
    /// The documentation of the commands, in Markdown.
    CommandsPage,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut command = command();
    let mut output = Vec::new();
    match &arguments.what {
        What::Man => man(&command, &mut output)?,
        What::SettingsPage => output = settings_page().into_bytes(),
        What::CommandsPage => output = commands_page(&mut command).into_bytes(),
    }
    // The manual's generator leaves blanks at the ends of lines.
    let text = String::from_utf8_lossy(&output);
    let text: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}

/// Prints what completes command lines in this shell.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let all = crate::Arguments::command();
    // What is hidden is offered as well, unless it is not there.
    let offered = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut command =
        Command::new("nws").version(env!("CARGO_PKG_VERSION")).propagate_version(true).subcommands(offered);
    let mut output = Vec::new();
    clap_complete::generate(shell, &mut command, "nws", &mut output);
    Ok(io::stdout().lock().write_all(&output)?)
}

/// The commands as they are shown: the hidden ones are for our own processes. The width is fixed, so
/// that the pages do not depend on the terminal of who made them.
fn command() -> Command {
    let mut command = crate::Arguments::command().term_width(100);
    command.build();
    command
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

/// One page for all: the command, then each subcommand.
fn man(command: &Command, output: &mut Vec<u8>) -> io::Result<()> {
    let page = clap_mangen::Man::new(command.clone()).date("").manual("NetWorkSpaces");
    page.render_title(output)?;
    page.render_name_section(output)?;
    page.render_synopsis_section(output)?;
    page.render_description_section(output)?;
    for sub in shown(command) {
        let page = clap_mangen::Man::new(sub.clone());
        writeln!(output, ".SH \"{}\"", format!("nws {}", sub.get_name()).to_uppercase())?;
        page.render_description_section(&mut *demoted(output))?;
        page.render_synopsis_section(&mut *demoted(output))?;
        page.render_options_section(&mut *demoted(output))?;
    }
    writeln!(output, ".SH \"EXIT STATUS\"")?;
    for (exit, meaning) in Exit::MEANINGS {
        writeln!(output, ".TP\n\\fB{}\\fR\n{meaning}", exit as u8)?;
    }
    writeln!(output, ".SH FILES\n.TP\n\\fI$XDG_CONFIG_HOME/nws/server.toml\\fR\nSettings of the server.")
}

/// Makes sections of what is written into subsections.
fn demoted(output: &mut Vec<u8>) -> Box<Demoted<'_>> {
    Box::new(Demoted { output, section: Vec::new() })
}

struct Demoted<'a> {
    output: &'a mut Vec<u8>,
    section: Vec<u8>,
}

impl Write for Demoted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.section.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Demoted<'_> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.section).replace("\n.SH ", "\n.SS ");
        let text = text.strip_prefix(".SH ").map_or_else(|| text.clone(), |rest| format!(".SS {rest}"));
        self.output.extend_from_slice(text.as_bytes());
    }
}

const SETTINGS_HEAD: &str = "\
# Settings of the server

<!-- Made by `nws generate settings-page`; a test compares them. -->

`nws serve` and `nws start` take each setting from the first of these that has it:

1. the flag, such as `--port 9000`;
2. the environment variable, such as `NWS_SERVER_PORT=9000`;
3. the file that `--config FILE` names, else `$XDG_CONFIG_HOME/nws/server.toml` (`~/.config` where the
   variable is not set), where there is one;
4. the default.

The file is TOML, with the flag's name as the key:

```toml
port = 9000
values-memory = \"4GiB\"
handshake-time = \"5s\"
```

Sizes are bytes, or have a unit: `KiB`, `MiB`, `GiB`, `TiB`. Times are seconds, or have a unit: `ms`,
`s`, `min`, `h`, `d`. A key that is no setting, or a value that is none of its kind, is an error that
names the place, and the server does not start. `nws serve --show-settings` prints what counts, and
where it comes from. An error that a client gets because it exceeds a limit names the setting.

A server embedded in a program (a sleigh with no server named, in Python or in Rust) takes the same
settings from the environment and the usual file, but for the addresses: it listens to its own machine,
on free ports.
";

fn settings_page() -> String {
    let mut page = SETTINGS_HEAD.to_owned();
    let mut group = "";
    for setting in TABLE {
        if setting.group != group {
            group = setting.group;
            let _ = write!(page, "\n## {group}\n");
        }
        let _ = write!(
            page,
            "\n### `{}`\n\n{}. {}\n\n| flag | environment | default | expected |\n|---|---|---|---|\n| `--{}` | `{}` | `{}` \
             | {} |\n",
            setting.name,
            setting.help,
            setting.more,
            setting.name,
            setting.variable,
            setting.default,
            (setting.expected)()
        );
    }
    page.replace(" \n", "\n")
}

const COMMANDS_HEAD: &str = "\
# The command `nws`

<!-- Made by `nws generate commands-page`; a test compares them. -->

`nws serve` runs a server here, `nws start` one in the background; the other commands are clients, for
shell scripts and for looking:

```console
$ nws start
$ nws store --workspace kitchen orders soup bread
$ nws fetch --workspace kitchen orders --timeout 5s
soup
$ tar c results | nws store --workspace kitchen archive -
$ nws fetch --workspace kitchen archive --raw | tar t
$ nws vars --workspace kitchen
$ nws ls
$ nws stop
```

Values go in from arguments, a file or standard input (`-`), and come out as they are: text and numbers
as a line, raw bytes exactly. With `--json` each is an object on a line.

What only another language can read, such as a Python object, is shown as a *babelfish* of that language
tells it: a program that turns such values into text. For Python it is `pybabelfish`, which comes with the
Python package; the old ones for R and Matlab do as well. Where none runs, or one says nothing within five
seconds, the value is described by its size and descriptor. With `--json` the text is the key `text`,
`--raw` gives the value's bytes, and `--no-babelfish` asks nobody.

```console
$ pybabelfish &
$ nws find x
{'a': array([0., 0., 0.])}
```

A client finds its server by `--server`, else by `NWS_URL`, else it is the one on this machine with port
8765 (or `NWS_SERVER_PORT`). Both name a server as HOST:PORT, HOST, /PATH or unix:PATH of its Unix socket, and
`nws://` may stand before it; `NWS_URL` means the same to Python's `NetWorkSpace()` and `Sleigh()`, and to
sleighs in Rust. Servers of the same user on the same machine need no token; for others
`--token-file` (or `NWS_TOKEN_FILE`) names the file with it.

`nws completions bash` (or `zsh`, `fish`, `elvish`, `powershell`) prints completions for a shell, and its
help says where to put them. `nws generate man` prints the manual page, `nws serve --print-unit` a
systemd unit.

## Exit codes

They stay what they are, so that scripts can rely on them. Ctrl-C ends a command at once, as the signal
does. Output that nobody reads any more (`| head`) is no error.

| code | meaning |
|---|---|
";

fn commands_page(command: &mut Command) -> String {
    let mut page = COMMANDS_HEAD.to_owned();
    for (exit, meaning) in Exit::MEANINGS {
        let _ = writeln!(page, "| {} | {meaning} |", exit as u8);
    }
    let names: Vec<String> = shown(command).map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let Some(sub) = command.find_subcommand_mut(&name) else { continue };
        let help = sub.render_long_help().to_string();
        let help: String = help.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        let _ = write!(page, "\n## `nws {name}`\n\n```text\n{}\n```\n", help.trim_end());
    }
    page
}
