//! What stands before a port: who is let in, and the certificate that it shows.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::{Json, Router};
use kube::Client;
use serde_json::json;

use super::Error;
use crate::auth::{self, Gate, Reviews, TokenFile};
use crate::listen::Tls;

/// Who is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody, to do everything.
    Open,
    /// Who has the token in that file, to do everything.
    Token(PathBuf),
    /// Whom Kubernetes knows, to do what it allows, with tokens for these audiences; for the API server, if there are none.
    Reviews(Vec<String>),
}

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Access {
    pub(super) async fn gate(self, client: &Client) -> Result<Gate, Error> {
        match self {
            Access::Open => Ok(Gate::open()),
            Access::Token(path) => TokenFile::open(path).await.map(Gate::token).map_err(Error::Token),
            Access::Reviews(audiences) => Ok(Gate::reviews(Reviews::new(client.clone()), audiences)),
        }
    }
}

/// The API server of local mode, which asks nobody who he is, closed to web pages. At a loopback address it goes by no
/// other name: whoever has it elsewhere has said so in words, and reaches it by whatever name he likes.
pub(super) fn kubernetes_without_pages(router: Router, address: SocketAddr) -> Router {
    let is_loopback = address.ip().is_loopback();
    router.layer(middleware::from_fn(move |request: Request, next: Next| async move {
        let page = if is_loopback {
            auth::of_page_or_rebound(request.uri(), request.headers())
        } else {
            auth::of_page(request.headers())
        };
        let Some(page) = page else { return next.run(request).await };
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": page.to_string(), "reason": "Forbidden", "code": StatusCode::FORBIDDEN.as_u16(),
        });
        (StatusCode::FORBIDDEN, Json(status)).into_response()
    }))
}

/// The event sink of one machine, closed to web pages. A simple request is no event: binary mode takes `ce-` headers, and
/// structured mode a content type, which a page may only send after a preflight that nobody answers. But a page whose name
/// leads to a loopback address (DNS rebinding) needs no preflight; its posts still carry `Origin`. The host is free,
/// because events may come through a tunnel. A cluster's sink is not closed: no page of a browser shares its network.
///
/// What became of events a rebound page could read, though: such a request carries no `Origin`. So at a loopback address
/// that is told under no other name.
pub(super) fn events_without_pages(router: Router, address: SocketAddr) -> Router {
    let is_loopback = address.ip().is_loopback();
    router.layer(middleware::from_fn(move |request: Request, next: Next| async move {
        let tells = request.method() != Method::POST && request.uri().path().ends_with("/decisions");
        let page = if is_loopback && tells {
            auth::of_page_or_rebound(request.uri(), request.headers())
        } else {
            auth::of_page(request.headers())
        };
        match page {
            Some(page) => (StatusCode::FORBIDDEN, page.to_string()).into_response(),
            None => next.run(request).await,
        }
    }))
}

pub(super) async fn tls(files: Option<TlsFiles>) -> Result<Option<Tls>, Error> {
    let Some(TlsFiles { certificate, key }) = files else { return Ok(None) };
    Tls::open(certificate, key).await.map(Some).map_err(Error::Tls)
}
