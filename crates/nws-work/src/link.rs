//! Connecting to the server of a sleigh, and the handles of what it holds there.

use std::time::Duration;

use nws_client::{ConnectOptions, Connection, Endpoint, Silence};
use nws_proto::{OpenMode, Request, SessionId, Token, VariableHandle, WorkspaceHandle};

use crate::control::ServerAddress;
use crate::error::WorkError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to a server by the best way that its address offers.
///
/// # Errors
/// Those of the connection, and an address that says nothing.
pub(crate) fn connect(
    address: &ServerAddress,
    guardian: SessionId,
    silence: Silence,
    label: &str,
) -> Result<Connection, WorkError> {
    let endpoint = match (&address.unix, &address.tcp) {
        (Some(path), _) => Endpoint::Unix(path.clone()),
        (None, Some((host, port))) => Endpoint::Tcp(host.clone(), *port),
        (None, None) => return Err(WorkError::Argument("expected the address of a server, got an empty one".into())),
    };
    let token = match &address.token {
        None => None,
        Some(hex) => Some(Token::from_hex(hex).ok_or_else(|| {
            WorkError::Argument("expected a server's token of 64 hexadecimal digits, got something else".into())
        })?),
    };
    let options = ConnectOptions {
        token,
        silence,
        guardian,
        label: label.as_bytes().to_vec(),
        timeout: CONNECT_TIMEOUT,
        ..ConnectOptions::default()
    };
    Ok(Connection::connect(&endpoint, options)?)
}

/// Uses a workspace that exists, under a handle.
///
/// # Errors
/// Those of the connection; no such workspace.
pub(crate) fn use_workspace(connection: &Connection, name: &str, mode: OpenMode) -> Result<WorkspaceHandle, WorkError> {
    let workspace = connection.new_workspace_handle();
    let name = name.as_bytes().to_vec();
    connection.request(Request::Open { workspace, name, mode, create: false }).wait()?;
    Ok(workspace)
}

/// Binds a variable. Nothing is waited for: a refusal shows in the first request that uses it.
pub(crate) fn bind(connection: &Connection, workspace: WorkspaceHandle, name: &str) -> VariableHandle {
    connection.bind(workspace, name.as_bytes())
}
