//! `nws serve`: runs a server.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use nws_server::program::{Announcement, ServeOptions, serve};

use crate::exit::{Exit, Failure};
use crate::platform;
use crate::settings::{self, Effective, Flags, Settings};

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
    let effective = settings::effective(&arguments.flags, arguments.config.as_deref())
        .map_err(|message| Failure::new(Exit::Usage, message))?;
    if arguments.show_settings {
        return Ok(show(&effective)?);
    }
    let settings = Settings::of(&effective).map_err(|message| Failure::new(Exit::Usage, message))?;
    // The usual folder may be of no use where nobody needs it: the server says so then, and does without.
    if let Some(folder) = &settings.tmp_dir.0
        && settings.values_disk.0 != Some(0)
    {
        nws_server::check_tmp_dir(folder).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    }
    if arguments.background {
        // It fails for who leads a group of processes already, which is as good.
        let _ = rustix::process::setsid();
    }
    platform::return_memory_in_background();
    Ok(serve(options(arguments, &settings, &effective))?)
}

/// Where an embedded server listens is not for the environment to say: it would be one place for all.
fn options(arguments: &Arguments, settings: &Settings, effective: &[Effective]) -> ServeOptions {
    let options = ServeOptions {
        port: settings.port,
        web_port: settings.web_port,
        interface: settings.interface,
        embedded: false,
        insecure: settings.insecure,
        allow_users: settings.allow_users,
        classic_from: settings.classic_from.0.clone(),
        limits: settings.limits(),
        tmp_dir: settings.tmp_dir.0.clone().unwrap_or_else(nws_server::default_tmp_dir),
        log: settings.log(),
        announcement: if arguments.background { Announcement::Json } else { Announcement::Text },
    };
    if !arguments.embedded {
        return options;
    }
    ServeOptions {
        port: 0,
        web_port: None,
        interface: Ipv4Addr::LOCALHOST.into(),
        embedded: true,
        log: settings::quiet_unless_told(options.log, effective),
        announcement: Announcement::Json,
        ..options
    }
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
