//! The web port: a thread of its own, which sees the server only through its gauges.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use axum::{Json, Router};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::log::Level;
use crate::metrics;
use crate::platform::owner;
use crate::server::Shared;

/// Most connections of the web port at a time; further ones wait in the kernel until one has gone.
/// Descriptors are shared with the clients' port, which is not to run out of them because of this one.
const CONNECTIONS: usize = 256;

/// The pages' thread. Dropping this ends it.
pub(crate) struct WebPages {
    /// Ends the pages when it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WebPages {
    pub(crate) fn start(listener: TcpListener, shared: Arc<Shared>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let log = Arc::clone(&shared);
        let thread = thread::Builder::new().name("nws-web".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    result = serve(listener, shared) => {
                        if let Err(error) = result {
                            log.log.write(Level::Error, "the web port has ended", &[("error", &error)]);
                        }
                    }
                }
            });
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for WebPages {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let routes = routes(shared).into_make_service_with_connect_info::<Peer>();
    axum::serve(Door { listener, places }, routes).await
}

/// Lets in so many at a time.
struct Door {
    listener: tokio::net::TcpListener,
    places: Arc<Semaphore>,
}

impl axum::serve::Listener for Door {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        // It fails only where the places were closed, which nobody does.
        let place = self.places.clone().acquire_owned().await.ok();
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        (Visitor { stream, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection, with its place.
struct Visitor {
    stream: TcpStream,
    _place: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Visitor {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .fallback(nothing_there)
        .layer(middleware::from_fn(refuse_foreign_names))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), refuse_other_users))
        .with_state(shared)
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    sessions: u64,
}

async fn health(State(shared): State<Arc<Shared>>) -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), sessions: shared.gauges.read().sessions })
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(&shared.gauges))
}

async fn nothing_there() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "There is nothing here. What there is:\n/healthz\n/metrics\n")
}

/// Whose process is at the other end, as far as the kernel tells.
#[derive(Clone, Copy, Debug)]
struct Peer {
    user: Option<u32>,
    is_of_this_machine: bool,
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        let peer = *stream.remote_addr();
        let user = stream.io().stream.local_addr().and_then(|local| owner::user_of_tcp_peer(peer, local));
        // A connection that was reset meanwhile has no peer, and its port may be another's by now.
        let user = user.ok().filter(|_| stream.io().stream.peer_addr().is_ok());
        Self { user, is_of_this_machine: peer.ip().to_canonical().is_loopback() }
    }
}

/// Who sees the pages sees values, and these are the business of the user who started the server.
async fn refuse_other_users(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let ours = owner::own_user();
    if peer.user == Some(ours) || (shared.allow_users && peer.is_of_this_machine) {
        return next.run(request).await;
    }
    let theirs = peer.user.map_or_else(|| "an unknown user".to_owned(), |user| format!("user {user}"));
    let message = format!(
        "expected a connection of user {ours}, who started this server, got one of {theirs}; run as that user, or \
         start the server with --allow-users\n"
    );
    shared.log.of_a_connection(Level::Warn, "refused another user at the web port", &[("user", &theirs)]);
    (StatusCode::FORBIDDEN, message).into_response()
}

/// A page of another site can have its own name lead to this machine, and would then be let in by the
/// browser as if it were ours. It cannot change the name that the browser sends along.
async fn refuse_foreign_names(request: Request, next: Next) -> Response {
    if is_loopback_name(host(request.headers())) {
        return next.run(request).await;
    }
    let message = "expected the name localhost or a loopback address in the request's Host header\n";
    (StatusCode::FORBIDDEN, message).into_response()
}

fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback_name;

    #[test]
    fn only_loopback_names_are_ours() {
        for ours in ["localhost", "LOCALHOST:8766", "127.0.0.1:8766", "127.0.0.1", "[::1]:8766", "[::1]"] {
            assert!(is_loopback_name(ours), "{ours}");
        }
        for foreign in ["", "example.org", "127.0.0.1.example.org", "localhost.example.org:8766", "10.0.0.1", "[::2]"] {
            assert!(!is_loopback_name(foreign), "{foreign}");
        }
    }
}
