//! The settings of the server: where they come from, which counts, what is refused.

use std::fs;

use crate::home::{Home, output};

/// The rows of `--show-settings` that are not the defaults.
fn shown(home: &Home, environment: &[(&str, &str)], arguments: &[&str]) -> Vec<String> {
    let mut command = home.command(["serve", "--show-settings"].iter().chain(arguments));
    let ran = home.ran(&output(command.envs(environment.iter().copied()).spawn().unwrap()));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let rows = ran.stdout.lines().skip(1).filter(|row| !row.ends_with(" default"));
    rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_flag_goes_before_the_environment_that_before_the_file_and_that_before_the_default() {
    let home = Home::new();
    let folder = home.path().join(".config/nws");
    fs::create_dir_all(&folder).unwrap();
    assert!(shown(&home, &[], &[]).is_empty());
    let environment = [("NWS_SERVER_PORT", "2"), ("NWS_WEB_PORT", "")];
    fs::write(folder.join("server.toml"), "port = 1\nweb-port = 1\nvalues-memory = \"64MiB\"\n").unwrap();
    let usual = "HOME/.config/nws/server.toml";
    assert_eq!(
        shown(&home, &[], &[]),
        [format!("port 1 {usual}:1"), format!("web-port 1 {usual}:2"), format!("values-memory 64MiB {usual}:3")]
    );
    assert_eq!(
        shown(&home, &environment, &[])[..2],
        ["port 2 environment".to_owned(), format!("web-port 1 {usual}:2")]
    );
    assert_eq!(shown(&home, &environment, &["--port", "3", "--insecure"])[0], "port 3 flag");
    assert!(shown(&home, &[], &["--insecure"]).contains(&"insecure true flag".to_owned()));

    let other = home.path().join("other.toml");
    fs::write(&other, "silence-time = 9\n").unwrap();
    let named = other.display().to_string();
    assert_eq!(shown(&home, &[], &["--config", &named]), ["silence-time 9s HOME/other.toml:1"]);
    let xdg = home.path().join("xdg");
    fs::create_dir_all(xdg.join("nws")).unwrap();
    fs::write(xdg.join("nws/server.toml"), "port = 5\n").unwrap();
    let xdg = xdg.display().to_string();
    assert_eq!(shown(&home, &[("XDG_CONFIG_HOME", &xdg)], &[]), ["port 5 HOME/xdg/nws/server.toml:1"]);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let home = Home::new();
    let file = home.path().join("s.toml");
    fs::write(&file, "port = 1\n\nconections = 2\n").unwrap();
    let named = file.display().to_string();
    home.run(["serve", "--config", &named]).is(
        2,
        "",
        "nws serve: HOME/s.toml:3: there is no setting conections; did you mean connections?\n",
    );
    fs::write(&file, "silence-time = \"1ms\"\n").unwrap();
    home.run(["serve", "--config", &named]).is(
        2,
        "",
        "nws serve: HOME/s.toml:1: silence-time: expected a time such as 500ms, 4s or 10min, from 100ms to 1d, got \
         \"1ms\"\n",
    );
    home.run(["start", "--config", "/no/such/file"]).is(
        2,
        "",
        "nws start: the settings in /no/such/file cannot be read: No such file or directory (os error 2)\n",
    );
    home.nws("serve --connections 0").is(
        2,
        "",
        "nws serve: --connections: expected a number from 1 to 1000000, got \"0\"\n",
    );
    let mut command = home.command(["serve"]);
    home.ran(&output(command.env("NWS_VALUE_SIZE", "big").spawn().unwrap())).is(
        2,
        "",
        "nws serve: the environment variable NWS_VALUE_SIZE: expected a size such as 4096, 64KiB or 2GiB, from 1 to \
         1024TiB, got \"big\"\n",
    );
    let ran = home.nws("serve --embedded --port 1");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("cannot be used with"), "{}", ran.stderr);
}

#[test]
fn a_folder_for_values_that_is_of_no_use_is_told_at_the_start() {
    let home = Home::new();
    let (gone, file) = (home.path().join("gone"), home.path().join("file"));
    fs::write(&file, "").unwrap();
    for (folder, why) in [(&gone, "No such file or directory"), (&file, "Not a directory")] {
        for command in ["serve", "start"] {
            let ran =
                home.run([command, "--port", "0", "--web-port", "off", "--tmp-dir", &folder.display().to_string()]);
            assert_eq!(ran.code, Some(2), "{}", ran.stderr);
            assert!(ran.stderr.starts_with(&format!("nws {command}: ")), "{}", ran.stderr);
            assert!(ran.stderr.contains("long values cannot be kept in HOME/"), "{}", ran.stderr);
            assert!(ran.stderr.contains(why), "{}", ran.stderr);
            assert!(ran.stderr.contains("setting tmp-dir"), "{}", ran.stderr);
        }
    }
    // Nobody asked for the usual one: the server does without.
    let mut command = home.command(["start", "--port", "0", "--web-port", "off"]);
    let started = output(command.env("TMPDIR", &gone).spawn().unwrap());
    assert_eq!(started.status.code(), Some(0), "{}", String::from_utf8_lossy(&started.stderr));
    // It is said before the server announces itself.
    let log = fs::read_to_string(home.path().join(".local/state/nws/server-any.log")).unwrap();
    assert!(log.contains("warn  long values cannot be kept in "), "{log}");
    let mut command = home.command(["doctor"]);
    let told = home.ran(&output(command.env("NWS_TMP_DIR", &gone).spawn().unwrap()));
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    let line = told.stdout.lines().find(|line| line.contains("folder for long values")).unwrap();
    assert!(line.starts_with("WRONG") && line.contains("No such file or directory"), "{line}");
}

#[test]
fn the_unit_starts_this_program_and_systemd_is_told_when_it_answers() {
    let home = Home::new();
    let unit = home.nws("serve --print-unit");
    assert_eq!((unit.code, unit.stderr.as_str()), (Some(0), ""));
    assert!(unit.stdout.contains(&format!("ExecStart=\"{}\" serve\n", env!("CARGO_BIN_EXE_nws"))), "{}", unit.stdout);
    assert!(unit.stdout.contains("Type=notify\n"), "{}", unit.stdout);

    let socket = home.path().join("notify");
    let listener = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(crate::home::PATIENCE)).unwrap();
    let mut command = home.command(["start", "--port", "0", "--web-port", "off"]);
    let started = output(command.env("NOTIFY_SOCKET", &socket).spawn().unwrap());
    assert_eq!(started.status.code(), Some(0));
    let mut said = [0; 64];
    let count = listener.recv(&mut said).unwrap();
    assert_eq!(&said[..count], b"READY=1");
}
