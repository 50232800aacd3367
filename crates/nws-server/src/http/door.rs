//! Who comes in at the web port, and how long they may stay without saying anything.
//!
//! Who sees the pages sees values, and these are the business of the user who started the server. So a
//! connection is looked at before it gets one of the places: another user of the machine, who can
//! connect as well, cannot take the places of the owner. Nor can a client that says nothing, or says it
//! slowly: a request's head has to come in time.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::log::Level;
use crate::platform::{is_exhaustion, owner};
use crate::server::Shared;

/// Most connections of the web port at a time; further ones wait in the kernel until one has gone.
/// Descriptors are shared with the clients' port, which is not to run out of them because of this one.
pub(super) const PLACES: usize = 256;
/// Most that are being told that they may not come in; further ones are closed without a word.
pub(super) const REFUSALS: usize = 32;
/// How long one that is refused may take to hear it.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait before accepting again when descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// Lets in who may come, as many at a time as there are places.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Router,
    shared: Arc<Shared>,
    head_patience: Duration,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (places, refusals) = (Arc::new(Semaphore::new(PLACES)), Arc::new(Semaphore::new(REFUSALS)));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_exhaustion(&error) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
            // Linux reports errors of the new connection here.
            Err(_) => continue,
        };
        if let Some(message) = refusal(&stream, peer, &shared) {
            if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
                tokio::spawn(async move {
                    let _ = timeout(REFUSAL_PATIENCE, refuse(stream, &message)).await;
                    drop(place);
                });
            }
            continue;
        }
        // It fails only where the places were closed, which nobody does.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let routes = routes.clone();
        tokio::spawn(async move {
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(head_patience)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
                .await;
            drop(place);
        });
    }
}

/// Why it does not come in, where it does not.
fn refusal(stream: &TcpStream, peer: SocketAddr, shared: &Shared) -> Option<String> {
    let user = stream.local_addr().and_then(|local| owner::user_of_tcp_peer(peer, local));
    // A connection that was reset meanwhile has no peer, and its port may be another's by now.
    let user = user.ok().filter(|_| stream.peer_addr().is_ok());
    let ours = owner::own_user();
    if user == Some(ours) || (shared.allow_users && peer.ip().to_canonical().is_loopback()) {
        return None;
    }
    let theirs = user.map_or_else(|| "an unknown user".to_owned(), |user| format!("user {user}"));
    shared.log.of_a_connection(Level::Warn, "refused another user at the web port", &[("user", &theirs)]);
    Some(format!(
        "expected a connection of user {ours}, who started this server, got one of {theirs}; run as that user, or \
         start the server with --allow-users\n"
    ))
}

/// Says so whatever was asked, and waits until the peer has hung up: a connection that is closed while
/// something arrives takes the answer back.
async fn refuse(mut stream: TcpStream, message: &str) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: \
         close\r\n\r\n{message}",
        message.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}
