//! Servers register, are found, and vanish.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nws_proto::Token;
use nws_runtime::{Reservation, RuntimeDir, ServerInfo, token_beside};

fn info(reservation: &Reservation, port: u16) -> ServerInfo {
    ServerInfo {
        pid: std::process::id(),
        tcp: Some(([127, 0, 0, 1], port).into()),
        web: None,
        unix: reservation.socket_path(),
        embedded: false,
        started_unix_s: 5,
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_published_server_is_found_with_its_token() {
    let home = tempfile::tempdir().unwrap();
    let runtime = RuntimeDir::at(home.path().join("deep/er")).unwrap();
    let reservation = runtime.reserve().unwrap();
    assert!(runtime.servers().unwrap().is_empty(), "it was not published yet");
    assert_eq!(token_beside(&reservation.socket_path()).unwrap(), None);
    let (info, token) = (info(&reservation, 1234), Token([7; 32]));
    reservation.publish(&info, &token).unwrap();

    let found = runtime.by_port(1234).unwrap().unwrap();
    assert_eq!(found.info, info);
    assert_eq!(found.token, token);
    assert_eq!(found.folder, reservation.folder());
    assert!(runtime.by_port(1235).unwrap().is_none());
    assert_eq!(token_beside(&info.unix).unwrap(), Some(token));
    assert_eq!(mode(&found.folder), 0o700);
    assert_eq!(mode(&found.folder.join("token")), 0o600);
    assert_eq!(mode(runtime.path()), 0o700);
}

#[test]
fn publishing_again_replaces_the_description() {
    let home = tempfile::tempdir().unwrap();
    let runtime = RuntimeDir::at(home.path().join("nws")).unwrap();
    let reservation = runtime.reserve().unwrap();
    reservation.publish(&info(&reservation, 1), &Token([1; 32])).unwrap();
    reservation.publish(&info(&reservation, 2), &Token([2; 32])).unwrap();
    let servers = runtime.servers().unwrap();
    assert_eq!(servers.len(), 1);
    assert_eq!(servers[0].info.tcp.unwrap().port(), 2);
    assert_eq!(servers[0].token, Token([2; 32]));
}

#[test]
fn a_dropped_reservation_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let runtime = RuntimeDir::at(home.path().join("nws")).unwrap();
    let reservation = runtime.reserve().unwrap();
    let other = runtime.reserve().unwrap();
    reservation.publish(&info(&reservation, 1), &Token([1; 32])).unwrap();
    other.publish(&info(&other, 2), &Token([1; 32])).unwrap();
    let folder = reservation.folder().to_owned();
    drop(reservation);
    assert!(!folder.exists());
    assert_eq!(runtime.servers().unwrap().len(), 1);
}

#[test]
fn the_folder_of_a_dead_server_is_swept_and_a_live_ones_stays() {
    let home = tempfile::tempdir().unwrap();
    let runtime = RuntimeDir::at(home.path().join("nws")).unwrap();
    let live = runtime.reserve().unwrap();
    let servers = runtime.path().join("servers");
    // What kill -9 leaves: everything but the lock.
    let dead = servers.join("1-00000000");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("lock"), "").unwrap();
    fs::write(dead.join("server.json"), "{}").unwrap();
    let empty = servers.join("2-00000000");
    fs::create_dir(&empty).unwrap();
    let being_made = servers.join(".3-00000000");
    fs::create_dir(&being_made).unwrap();

    assert!(runtime.servers().unwrap().is_empty());
    assert!(!dead.exists() && !empty.exists());
    assert!(being_made.exists(), "its server may be about to lock it");
    assert!(live.folder().exists());
}

#[test]
fn a_folder_that_others_can_get_at_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let open = home.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o750)).unwrap();
    let error = RuntimeDir::at(&open).unwrap_err().to_string();
    assert!(error.contains("0750") && error.contains("NWS_RUNTIME_DIR"), "{error}");

    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(RuntimeDir::at(&file).is_err());

    let (ours, link) = (home.path().join("ours"), home.path().join("link"));
    RuntimeDir::at(&ours).unwrap();
    symlink(&ours, &link).unwrap();
    let error = RuntimeDir::at(&link).unwrap_err().to_string();
    assert!(error.contains("is not a folder"), "{error}");
}

#[test]
fn a_path_too_long_for_a_socket_is_refused_with_advice() {
    let home = tempfile::tempdir().unwrap();
    let runtime = RuntimeDir::at(home.path().join("x".repeat(100))).unwrap();
    let error = runtime.reserve().unwrap_err().to_string();
    assert!(error.contains("107") && error.contains("NWS_RUNTIME_DIR"), "{error}");
}
