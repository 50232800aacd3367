//! The web port: a thread of its own, which sees the server only through its gauges.

mod door;

use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::log::Level;
use crate::metrics;
use crate::server::Shared;

/// How many descriptors the web port takes at most.
pub(crate) const WEB_DESCRIPTORS: usize = door::PLACES + door::REFUSALS + 2;

/// The pages' thread. Dropping this ends it.
pub(crate) struct WebPages {
    /// Ends the pages when it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WebPages {
    pub(crate) fn start(listener: TcpListener, shared: Arc<Shared>, head_patience: Duration) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let log = Arc::clone(&shared);
        let thread = thread::Builder::new().name("nws-web".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    result = door::serve(listener, routes(Arc::clone(&shared)), shared, head_patience) => {
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

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .fallback(nothing_there)
        .layer(middleware::from_fn(refuse_foreign_names))
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
