//! TLS in front of the endpoint for logs: a real API server asks its kubelets over nothing else.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Time for one handshake: the next caller waits for it. Both ends are on this machine.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// Accepts connections that are encrypted.
pub(super) struct Secure {
    pub(super) listener: TcpListener,
    pub(super) acceptor: TlsAcceptor,
}

impl Listener for Secure {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            let handshake = timeout(HANDSHAKE, self.acceptor.accept(stream)).await;
            match handshake.map_err(io::Error::other).flatten() {
                Ok(stream) => return (stream, address),
                Err(error) => {
                    tracing::debug!(%address, error = &error as &dyn std::error::Error, "no handshake");
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
