//! `nws serve`: runs a server.

use std::io::{self, Write};
use std::path::PathBuf;

use nws_server::program::{Announcement, ServeOptions, serve};
use nws_server::settings::{BadSettings, Effective, Settings, effective, embedded};

use crate::exit::{Exit, Failure};
use crate::flags::Flags;
use crate::platform;

/// The unit that `--print-unit` prints.
const UNIT: &str = include_str!("../../assets/nws.service");

/// Run a server until Ctrl-C or SIGTERM.
///
/// Settings come from flags, else from the environment, else from a file, else they are the defaults.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Read settings from this file [default: $XDG_CONFIG_HOME/nws/server.toml, where there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the settings that count, with where they come from, and exit.
    #[arg(long)]
    show_settings: bool,
    /// Print a systemd unit for this server, and exit.
    #[arg(long)]
    print_unit: bool,
    /// Serve the program that holds the other end of standard input, and end with it: any free port,
    /// no web pages, and one line of JSON that says where the server is.
    #[arg(long, conflicts_with_all = ["port", "web-port", "interface", "insecure"])]
    embedded: bool,
    /// Leave the terminal's session, and say in one line of JSON where the server is.
    #[arg(long, hide = true)]
    background: bool,
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.print_unit {
        return Ok(print_unit()?);
    }
    let usage = |bad: BadSettings| Failure::new(Exit::Usage, bad.to_string());
    let effective = effective(arguments.flags.given(), arguments.config.as_deref()).map_err(usage)?;
    if arguments.show_settings {
        return Ok(show(&effective)?);
    }
    let options = options(arguments, &effective).map_err(usage)?;
    if arguments.background {
        // It fails for who leads a group of processes already, which is as good.
        let _ = rustix::process::setsid();
    }
    platform::return_memory_in_background();
    Ok(serve(options)?)
}

fn options(arguments: &Arguments, effective: &[Effective]) -> Result<ServeOptions, BadSettings> {
    if arguments.embedded {
        return embedded(effective);
    }
    let settings = Settings::of(effective)?;
    settings.check_tmp_dir()?;
    let announcement = if arguments.background { Announcement::Json } else { Announcement::Text };
    Ok(ServeOptions { announcement, ..settings.options() })
}

fn show(effective: &[Effective]) -> io::Result<()> {
    let mut rows = vec![["SETTING", "VALUE", "FROM"].map(str::to_owned).to_vec()];
    for one in effective {
        let value = (one.setting.canonical)(&one.text).unwrap_or_default();
        rows.push(vec![one.setting.name.to_owned(), value, one.origin.to_string()]);
    }
    io::stdout().lock().write_all(crate::table::aligned(&rows).as_bytes())
}

fn print_unit() -> io::Result<()> {
    let program = std::env::current_exe()?;
    let unit = UNIT.replace("@PROGRAM@", &program.display().to_string());
    io::stdout().lock().write_all(unit.as_bytes())
}
