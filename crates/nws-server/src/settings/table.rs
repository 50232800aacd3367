//! The one table of the server's settings. Flags, environment, file, help, manual, completions and
//! `docs/settings.md` are made from it.

use std::net::IpAddr;

use crate::log::{Format, Level};

use super::kind::{Count, Disk, Folder, Kind, Memory, Networks, Size, Span};

/// One row of [`TABLE`].
#[derive(Debug)]
pub struct Setting {
    /// The flag without its dashes, and the key in the file.
    pub name: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// The heading that it stands under.
    pub group: &'static str,
    /// As a user would write it.
    pub default: &'static str,
    /// One line.
    pub help: &'static str,
    /// What else is to be known, for the manual.
    pub more: &'static str,
    /// What stands for a value in help, such as `SIZE`.
    pub placeholder: &'static str,
    /// Whether the flag may stand without a value, and then means `true`.
    pub is_switch: bool,
    /// What is expected, for messages and the documentation.
    pub expected: fn() -> String,
    /// The value in its own form, where the text is one.
    pub canonical: fn(&str) -> Option<String>,
}

fn canonical<K: Kind>(text: &str) -> Option<String> {
    K::read(text).map(|value| value.show())
}

macro_rules! settings {
    ($($group:literal {
        $($field:ident: $kind:ty = $default:literal, $name:literal, $variable:literal, $help:literal, $more:literal;)*
    })*) => {
        /// The settings of one server.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($(pub(super) $field: $kind,)*)*
        }

        /// All settings, in the order of the documentation.
        pub const TABLE: &[Setting] = &[$($(Setting {
            name: $name,
            variable: $variable,
            group: $group,
            default: $default,
            help: $help,
            more: $more,
            placeholder: <$kind as Kind>::PLACEHOLDER,
            is_switch: <$kind as Kind>::IS_SWITCH,
            expected: <$kind as Kind>::expected,
            canonical: canonical::<$kind>,
        },)*)*];

        impl Settings {
            /// Reads the text that `text` has for each row; gives the row back whose text is none.
            pub(super) fn read(text: impl Fn(&'static str) -> String) -> Result<Self, &'static str> {
                Ok(Self { $($($field: <$kind as Kind>::read(&text($name)).ok_or($name)?,)*)* })
            }
        }
    };
}

settings! {
    "Addresses" {
        port: u16 = "8765", "port", "NWS_SERVER_PORT",
            "Where clients connect; 0 takes any free port",
            "Clients of the same user on the same machine find the server by this port and take its Unix socket, which \
             is faster.";
        web_port: Option<u16> = "8766", "web-port", "NWS_WEB_PORT",
            "Where the web pages are; 0 takes any free port, off has none",
            "The pages are served to this machine only, whatever the interface.";
        interface: IpAddr = "127.0.0.1", "interface", "NWS_INTERFACE",
            "The address to listen on for clients",
            "An address that other machines reach needs --insecure beside it.";
    }
    "Who may connect" {
        insecure: bool = "false", "insecure", "NWS_INSECURE",
            "Listen to other machines although nothing is encrypted",
            "The token is wanted all the same, but who can read the network can read the values, and change them: say \
             it only for networks that you trust. Through ssh no server needs it.";
        allow_users: bool = "false", "allow-users", "NWS_ALLOW_USERS",
            "Let other users of this machine use the web pages and the classic protocol",
            "Neither asks for a token, so they could run code as this user: values can be Python pickles. Other clients \
             still need the token.";
        classic_from: Networks = "none", "classic-from", "NWS_CLASSIC_FROM",
            "The other machines whose clients of the classic protocol are let in, as addresses and networks",
            "That protocol has no token: whoever can connect from one of these addresses can run code as this user, \
             whatever user it is. Written with commas between, as in 10.0.0.0/8,192.168.1.5. It is of use only where \
             the server listens to other machines (--interface and --insecure). On this machine the user counts, \
             whatever is named here.";
    }
    "Limits" {
        connections: Count<1, 1_000_000> = "12000", "connections", "NWS_CONNECTIONS",
            "Most connections at a time",
            "Who comes beyond that is told so and sent away. A tenth is kept for who comes by the Unix socket, which \
             no other user can. The limit on descriptors (ulimit -n) is raised as far as \
             the system allows; where that is not enough, this limit is lowered, and the server says so: a quarter \
             of the descriptors stays for long values, each of which takes one while it is on disk.";
        values_memory: Memory = "50%", "values-memory", "NWS_VALUES_MEMORY",
            "Most bytes of all values and names together, or a share of the machine's memory",
            "What is on its way counts, and what keeping takes: 64 bytes for each value, some hundred for each workspace, \
             variable and name in use. A store beyond that is refused, and nothing else happens. Names alone may take \
             an eighth and 1 MiB more, so that who comes to fetch or delete finds room. What waits to be sent and is not \
             kept as a value may take what is left, and an eighth and 1 MiB in any case: beyond that the connection \
             that has read nothing for longest is ended, and then the next. Beside this the server takes memory for \
             requests that have come in part (64 KiB for each connection, and 16 MiB).";
        values_disk: Disk = "auto", "values-disk", "NWS_VALUES_DISK",
            "Most bytes of all values on disk; auto is nine tenths of what is free there at the start",
            "With 0 no value goes to disk. A store beyond that is refused, as it is where the disk is full, and \
             nothing else happens.";
        spill_size: Size<{ 1 << 20 }, { 1 << 30 }> = "256MiB", "spill-size", "NWS_SPILL_SIZE",
            "A longer value goes to disk",
            "So does a shorter one, of more than 1 MiB, where values-memory has no room for it. A store or finish \
             of several values in one request is for memory alone, and a value that its client sends in parts goes to disk \
             whatever its length: so do storeFile of Python, push of Rust and the command nws store with more than 32 \
             MiB from a file, as they do not know how much is to come.";
        tmp_dir: Folder = "auto", "tmp-dir", "NWS_TMP_DIR",
            "The folder for values on disk; auto is $TMPDIR, else /var/tmp",
            "Each is a file without a name, which goes with the value, or with the server however it ends. Choose a \
             disk: many a /tmp is memory.";
        value_size: Size<1, { 1 << 50 }> = "1TiB", "value-size", "NWS_VALUE_SIZE",
            "Longest value",
            "A longer one is refused as soon as its length is known.";
        frame_size: Size<65_536, { 1 << 30 }> = "1GiB", "frame-size", "NWS_FRAME_SIZE",
            "Longest frame of the protocol: a request with all its values",
            "A connection that announces a longer one is ended before anything of it is received. Clients learn the \
             limit when they connect.";
        name_length: Count<64, 4096> = "4096", "name-length", "NWS_NAME_LENGTH",
            "Longest name of a workspace or variable, in bytes",
            "A longer one is refused.";
        session_workspaces: Count<1, 1_000_000> = "4096", "session-workspaces", "NWS_SESSION_WORKSPACES",
            "Most workspaces that one connection may have open at a time",
            "";
        session_variables: Count<1, 10_000_000> = "65536", "session-variables", "NWS_SESSION_VARIABLES",
            "Most variables that one connection may use at a time",
            "";
        session_waiting: Count<1, 1_000_000> = "65536", "session-waiting", "NWS_SESSION_WAITING",
            "Most requests of one connection that may wait at a time",
            "";
        waiting: Count<1, 100_000_000> = "1000000", "waiting", "NWS_WAITING",
            "Most requests of all connections together that may wait at a time",
            "Each takes some 200 bytes.";
        session_orphans: Count<1, 1_000_000> = "4096", "session-orphans", "NWS_SESSION_ORPHANS",
            "Most ended connections that may wait for one guardian to adopt what they held by lease",
            "A guardian is the connection that another one named to look after its leases. What further ones held \
             returns at once, as if they had no guardian.";
        session_leases: Count<1, 1_048_576> = "1048576", "session-leases", "NWS_SESSION_LEASES",
            "Most values that one connection may hold by lease at a time",
            "";
        session_transfers: Count<1, 1_000_000> = "64", "session-transfers", "NWS_SESSION_TRANSFERS",
            "Most values that one connection may be sending in parts at a time",
            "";
        session_readings: Count<1, 1_000_000> = "65536", "session-readings", "NWS_SESSION_READINGS",
            "Most long values that one connection may have open to be read at a time",
            "";
        unsent_size: Size<65_536, { 1 << 30 }> = "8MiB", "unsent-size", "NWS_UNSENT_SIZE",
            "What a connection may have waiting to be sent before it is read from no more",
            "It is read from again when half of that is sent: who does not read cannot make the server keep more and \
             more for it. What all connections may have waiting follows from --values-memory.";
        handshake_time: Span<100, 3_600_000> = "10s", "handshake-time", "NWS_HANDSHAKE_TIME",
            "How long a connection may take to prove the token",
            "Then it is ended. The head of a request at the web port may take as long.";
        silence_time: Span<100, 86_400_000> = "4s", "silence-time", "NWS_SILENCE_TIME",
            "After how much silence a connection counts as dead where the client asked for nothing else",
            "The server asks for a sign of life before. What a dead connection held by lease goes back.";
    }
    "Speed" {
        spin_us: Count<0, 1000> = "50", "spin-us", "NWS_SPIN_US",
            "How long to look for requests before sleeping, in microseconds; 0 sleeps at once",
            "Where requests follow one another closely this spares the time that it takes to be woken. It is left \
             undone where it does not pay off, where another process wants the processor, and on a machine that has \
             only one.";
    }
    "Logs" {
        log_level: Level = "info", "log-level", "NWS_LOG_LEVEL",
            "What is said on standard error: error, warn, info or debug",
            "An embedded server says warnings and errors only, unless it is told otherwise.";
        log_format: Format = "text", "log-format", "NWS_LOG_FORMAT",
            "How it is said: text for people, json for programs",
            "A line an event either way.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_setting() {
        for setting in TABLE {
            assert!((setting.canonical)(setting.default).is_some(), "{}: {}", setting.name, setting.default);
        }
    }

    #[test]
    fn names_and_variables_are_used_once_and_are_written_as_such() {
        for (place, setting) in TABLE.iter().enumerate() {
            let others = &TABLE[..place];
            assert!(others.iter().all(|other| other.name != setting.name && other.variable != setting.variable));
            assert!(setting.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", setting.name);
            assert!(setting.variable.starts_with("NWS_"), "{}", setting.variable);
            assert!(!setting.help.ends_with('.') && !setting.help.is_empty(), "{}", setting.name);
        }
    }

    /// The server has its defaults in one more place, for programs that use it as a library.
    #[test]
    fn the_defaults_are_those_of_the_servers_library() {
        let defaults = Settings::read(|name| {
            TABLE.iter().find(|setting| setting.name == name).map_or_else(String::new, |setting| setting.default.into())
        });
        let limits = crate::Limits { values_bytes: 0, ..defaults.unwrap().limits() };
        assert_eq!(limits, crate::Limits { values_bytes: 0, ..crate::Limits::default() });
    }
}
