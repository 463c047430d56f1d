//! The certificate of a server, from two files that somebody else keeps current.
//!
//! A Secret that is mounted changes by a swap of symbolic links, which no watch of a file sees; so the files are read from
//! time to time. What does not fit together (a key that came before its certificate, half a file) is not taken: the old
//! certificate stays in use, and the log says why.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Pause between two looks at the files. Certificates are renewed days before they end.
const LOOK: Duration = Duration::from_secs(10);

/// A certificate and its key, current as long as [`Tls::follow`] runs. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    files: Arc<Files>,
    look: Duration,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What new connections get.
struct Current {
    pair: RwLock<Arc<CertifiedKey>>,
    /// What the files held when they were last looked at: a mistake is told once.
    seen: RwLock<Contents>,
}

/// Both files as they are.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// There is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The one file is not a chain of certificates.
    #[error("{path} holds no certificate")]
    Certificate {
        /// Which one.
        path: PathBuf,
        /// Why, if there is more to say.
        #[source]
        source: Option<pem::Error>,
    },
    /// The other one is not a key.
    #[error("{path} holds no private key")]
    Key {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// Each is right by itself.
    #[error("certificate and key cannot be used together")]
    Pair(#[source] rustls::Error),
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair.read().clone())
    }
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its key; both are PEM.
    pub async fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let files = Files { certificate, key };
        let seen = files.read().await?;
        let provider = Arc::new(ring::default_provider());
        let pair = files.pair(&seen, &provider)?;
        let current = Arc::new(Current { pair: RwLock::new(Arc::new(pair)), seen: RwLock::new(seen) });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        // gRPC is HTTP/2 and nothing else.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { files: Arc::new(files), look: LOOK, current, config: Arc::new(config) })
    }

    /// The same with another pause between two looks at the files.
    #[must_use]
    pub fn looking_every(self, look: Duration) -> Self {
        Self { look, ..self }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    /// Takes in what becomes of the files, until then.
    pub(super) async fn follow(&self, until: CancellationToken) {
        let follow = async {
            loop {
                tokio::time::sleep(self.look).await;
                match self.look().await {
                    Ok(false) => {}
                    Ok(true) => tracing::info!(files = ?self.files, "the certificate is another one now"),
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(files = ?self.files, error, "the certificate stays: the new one cannot be used");
                    }
                }
            }
        };
        until.run_until_cancelled(follow).await;
    }

    /// Whether there was something new that can be used.
    async fn look(&self) -> Result<bool, TlsError> {
        let found = self.files.read().await?;
        if *self.current.seen.read() == found {
            return Ok(false);
        }
        let pair = self.files.pair(&found, self.config.crypto_provider());
        // Only now: a file that cannot be read is told each time, one that is wrong is told once.
        *self.current.seen.write() = found;
        *self.current.pair.write() = Arc::new(pair?);
        Ok(true)
    }
}

impl Files {
    async fn read(&self) -> Result<Contents, TlsError> {
        let read = async |path: &PathBuf| {
            tokio::fs::read(path).await.map_err(|source| TlsError::Read { path: path.clone(), source })
        };
        Ok(Contents { certificate: read(&self.certificate).await?, key: read(&self.key).await? })
    }

    fn pair(&self, contents: &Contents, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let Contents { certificate, key } = contents;
        let wrong = |source| TlsError::Certificate { path: self.certificate.clone(), source };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|error| wrong(Some(error)))?;
        if chain.is_empty() {
            return Err(wrong(None));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|source| TlsError::Key { path: self.key.clone(), source })?;
        CertifiedKey::from_der(chain, key, provider).map_err(TlsError::Pair)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::routing::get;
    use axum::{Extension, Router};
    use http::uri::Scheme;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::listen::Listener;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// A new certificate for this machine, written as a Secret is mounted: by a swap of links.
    fn write(directory: &Path, version: &str, broken: bool) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let data = directory.join(version);
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("tls.crt"), made.cert.pem()).unwrap();
        let key = if broken {
            rcgen::KeyPair::generate().unwrap().serialize_pem()
        } else {
            made.signing_key.serialize_pem()
        };
        std::fs::write(data.join("tls.key"), key).unwrap();
        let (next, link) = (directory.join("next"), directory.join("data"));
        std::os::unix::fs::symlink(&data, &next).unwrap();
        std::fs::rename(next, link).unwrap();
        made.cert.der().clone()
    }

    async fn open(directory: &Path) -> Result<Tls, TlsError> {
        let data = directory.join("data");
        Tls::open(data.join("tls.crt"), data.join("tls.key")).await
    }

    /// What a client is offered that believes in `root` alone.
    async fn connect(
        address: std::net::SocketAddr,
        root: &CertificateDer<'static>,
        protocols: &[&[u8]],
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    #[tokio::test]
    async fn a_new_certificate_is_served_without_a_restart_and_a_broken_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let first = write(directory.path(), "1", false);
        let tls = open(directory.path()).await.unwrap().looking_every(Duration::from_millis(10));
        let listener =
            Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap().with_tls(Some(tls.clone()));
        let (address, shutdown) = (listener.address(), CancellationToken::new());
        let scheme = async |Extension(scheme): Extension<Scheme>| scheme.to_string();
        let router = Router::new().route("/", get(scheme));
        let serving = tokio::spawn(listener.serve(router, shutdown.clone(), Duration::ZERO));

        let negotiated = connect(address, &first, &[b"h2", b"http/1.1"]).await.unwrap();
        assert_eq!(negotiated.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut old = connect(address, &first, &[b"http/1.1"]).await.unwrap();
        assert_eq!(old.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));

        // A key of another certificate: the first one stays.
        let wrong = write(directory.path(), "2", true);
        let is_seen = async |certificate: &CertificateDer<'static>| {
            tokio::time::timeout(DEADLINE, async {
                loop {
                    let path = directory.path().join("data/tls.crt");
                    if tls.current.seen.read().certificate == std::fs::read(path).unwrap() {
                        return connect(address, certificate, &[b"h2"]).await;
                    }
                    tokio::task::yield_now().await;
                }
            })
            .await
            .expect("the files are looked at")
        };
        assert!(is_seen(&wrong).await.is_err());
        assert!(connect(address, &first, &[b"h2"]).await.is_ok());

        let second = write(directory.path(), "3", false);
        assert!(is_seen(&second).await.is_ok());
        assert!(connect(address, &first, &[b"h2"]).await.is_err());

        // A connection of before goes on.
        old.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(DEADLINE, old.read_to_string(&mut answer)).await.expect("it is closed").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nhttps"), "{answer}");
        shutdown.cancel();
        tokio::time::timeout(DEADLINE, serving).await.expect("the end of serving").unwrap();
    }

    #[tokio::test]
    async fn files_that_are_no_certificate_and_key_are_refused_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(open(directory.path()).await, Err(TlsError::Read { .. })));
        write(directory.path(), "1", true);
        assert!(matches!(open(directory.path()).await, Err(TlsError::Pair(_))));
        std::fs::write(directory.path().join("1/tls.key"), "text").unwrap();
        assert!(matches!(open(directory.path()).await, Err(TlsError::Key { .. })));
        std::fs::write(directory.path().join("1/tls.crt"), "text").unwrap();
        assert!(matches!(open(directory.path()).await, Err(TlsError::Certificate { .. })));
    }

    #[tokio::test]
    async fn a_client_without_tls_gets_no_answer_and_holds_up_no_end() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "1", false);
        let tls = open(directory.path()).await.unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap().with_tls(Some(tls));
        let (address, shutdown) = (listener.address(), CancellationToken::new());
        let serving = tokio::spawn(listener.serve(Router::new(), shutdown.clone(), DEADLINE));
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        drop(plain.read_to_end(&mut answer).await);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
        let _silent = TcpStream::connect(address).await.unwrap();
        shutdown.cancel();
        tokio::time::timeout(DEADLINE, serving).await.expect("a silent client is not waited for").unwrap();
    }
}
