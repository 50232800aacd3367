//! `nws serve`: runs a server.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use nws_server::Limits;
use nws_server::program::{ServeOptions, serve};

const PORT: u16 = 8765;
const WEB_PORT: u16 = 8766;

/// Runs a server until Ctrl-C or SIGTERM.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where clients connect; 0 takes any free port [default: 8765].
    #[arg(long, env = "NWS_SERVER_PORT", value_name = "N")]
    port: Option<u16>,
    /// Where the web pages are; 0 takes any free port [default: 8766].
    #[arg(long, env = "NWS_WEB_PORT", value_name = "N")]
    web_port: Option<u16>,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS", value_parser = interface)]
    interface: IpAddr,
    /// Serve the program that holds the other end of standard input, and end with it: any free port,
    /// no web pages, and one line of JSON that says where the server is.
    #[arg(long, conflicts_with = "interface")]
    embedded: bool,
}

pub(crate) fn run(arguments: Arguments) -> io::Result<()> {
    let (port, web_port) = if arguments.embedded {
        (0, None)
    } else {
        (arguments.port.unwrap_or(PORT), Some(arguments.web_port.unwrap_or(WEB_PORT)))
    };
    let Arguments { interface, embedded, .. } = arguments;
    serve(ServeOptions { port, web_port, interface, embedded, allow_users: false, limits: Limits::default() })
}

fn interface(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().map_err(|_| "expected an IP address such as 127.0.0.1, or localhost".to_owned())
}
