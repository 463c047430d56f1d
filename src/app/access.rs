//! What stands before a port: who is let in, and the certificate that it shows.

use std::path::PathBuf;

use kube::Client;

use super::Error;
use crate::auth::{Gate, Reviews, TokenFile};
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

pub(super) async fn tls(files: Option<TlsFiles>) -> Result<Option<Tls>, Error> {
    let Some(TlsFiles { certificate, key }) = files else { return Ok(None) };
    Tls::open(certificate, key).await.map(Some).map_err(Error::Tls)
}
