//! Another user of the same machine gets nowhere. What a second user tries can only be tried by root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::home::{Home, Ran, output};

/// Debian's `nobody`; a number is enough, no such user needs to be known.
const OTHER: u32 = 65_534;

/// A folder that the other user can read, with the program in it, and one of that user's own.
struct Elsewhere {
    folder: tempfile::TempDir,
}

impl Elsewhere {
    /// `None` where the test cannot become another user.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not root: what another user can do is not tried");
            return None;
        }
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
        // Written by another process: a child that another test starts meanwhile would hold our
        // descriptor for a moment, and a program that is open for writing cannot be run.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_nws")).arg(folder.path().join("nws")).status();
        assert!(copied.unwrap().success());
        let elsewhere = Self { folder };
        fs::create_dir(elsewhere.home()).unwrap();
        chown(elsewhere.home(), Some(OTHER), Some(OTHER)).unwrap();
        Some(elsewhere)
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Ran {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).uid(OTHER).gid(OTHER).env_clear().current_dir("/");
        command.env("HOME", self.home()).env("NWS_RUNTIME_DIR", self.home().join("run")).env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = output(command.spawn().unwrap());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn nws(&self, arguments: &[&str]) -> Ran {
        self.run(self.folder.path().join("nws"), arguments)
    }

    /// A request to a web port as `bash` can make one.
    fn http(&self, port: u16) -> Ran {
        self.run("bash", &["-c", &request(port)])
    }
}

fn request(port: u16) -> String {
    format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: \
         close\\r\\n\\r\\n' >&3; cat <&3"
    )
}

#[test]
fn another_user_cannot_connect_by_tcp_without_the_token() {
    let home = Home::served();
    let Some(elsewhere) = Elsewhere::new() else { return };
    let server = home.address().to_string();
    let ran = elsewhere.nws(&["ping", "--server", &server]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(4), ""), "{ran:?}");
    assert!(ran.stderr.contains("asks for a token, and none was given or found"), "{ran:?}");
    let guess = elsewhere.home().join("guess");
    fs::write(&guess, "11".repeat(32)).unwrap();
    fs::set_permissions(&guess, Permissions::from_mode(0o644)).unwrap();
    let ran = elsewhere.nws(&["ping", "--server", &server, "--token-file", &guess.display().to_string()]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("refused the token"), "{ran:?}");
    // It is the token that was missing, and nothing else.
    fs::write(&guess, home.servers()[0].token.to_hex()).unwrap();
    let ran = elsewhere.nws(&["ping", "--server", &server, "--token-file", &guess.display().to_string()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn another_user_can_neither_read_the_token_nor_use_the_socket_nor_list_servers() {
    let home = Home::served();
    let Some(elsewhere) = Elsewhere::new() else { return };
    // The home's own folder is private as well; it shall not be what keeps others out.
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let token = home.servers()[0].folder.join("token");
    assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    let ran = elsewhere.run("cat", &[&token.display().to_string()]);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("Permission denied"), "{ran:?}");

    let known = elsewhere.home().join("token");
    fs::write(&known, home.servers()[0].token.to_hex()).unwrap();
    fs::set_permissions(&known, Permissions::from_mode(0o644)).unwrap();
    let (socket, known) = (home.socket().display().to_string(), known.display().to_string());
    let ran = elsewhere.nws(&["ping", "--server", &socket, "--token-file", &known]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("belongs to another user"), "{ran:?}");

    let ran = elsewhere.nws(&["ls"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let theirs = home.path().join("run").display().to_string();
    let ran = elsewhere.run("ls", &[&theirs]);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("Permission denied"), "{ran:?}");
}

#[test]
fn another_user_is_refused_at_the_web_port_unless_it_is_opened() {
    let home = Home::served();
    let Some(elsewhere) = Elsewhere::new() else { return };
    let ran = elsewhere.http(home.web().port());
    assert!(ran.stdout.starts_with("HTTP/1.1 403 Forbidden"), "{ran:?}");
    assert!(ran.stdout.contains("expected a connection of user 0") && ran.stdout.contains("user 65534"), "{ran:?}");
    assert!(ran.stdout.contains("--allow-users"), "{ran:?}");
    let own = Command::new("bash").args(["-c", &request(home.web().port())]).stdout(Stdio::piped()).spawn().unwrap();
    assert!(String::from_utf8_lossy(&output(own).stdout).starts_with("HTTP/1.1 200 OK"));

    let open = Home::served_with(&["--allow-users"]);
    let ran = elsewhere.http(open.web().port());
    assert!(ran.stdout.starts_with("HTTP/1.1 200 OK"), "{ran:?}");
}

#[test]
fn another_user_is_refused_as_an_old_client_unless_it_is_opened() {
    let home = Home::served();
    let Some(elsewhere) = Elsewhere::new() else { return };
    let greet = |port| format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf 1112 >&3; head -c 4 <&3");
    let ran = elsewhere.run("bash", &["-c", &greet(home.address().port())]);
    assert!(!ran.stdout.contains("2223"), "{ran:?}");
    let own = Command::new("bash").args(["-c", &greet(home.address().port())]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(output(own).stdout, b"2223");
    let open = Home::served_with(&["--allow-users"]);
    assert_eq!(elsewhere.run("bash", &["-c", &greet(open.address().port())]).stdout, "2223");
}
