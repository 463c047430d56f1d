//! One token that may do everything, in a file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::time::Instant;

/// How long the file is believed to be as it was read.
const LOOK: Duration = Duration::from_secs(1);

/// A file with a token. It is read again when it may have changed; while it cannot be read, nobody has the token.
pub struct TokenFile {
    path: PathBuf,
    /// Of this process alone. Tags of equal length are compared, in a time that says nothing about where they differ.
    key: hmac::Key,
    known: Mutex<(Instant, hmac::Tag)>,
}

/// The file is not one with a token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("cannot read the token in {path}")]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is nothing in it: everybody could send that.
    #[error("there is no token in {0}")]
    Empty(PathBuf),
    /// No key to compare with.
    #[error("the system has no random numbers")]
    Random,
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl TokenFile {
    /// Reads the file; what is around its text does not count.
    pub async fn open(path: PathBuf) -> Result<Self, TokenFileError> {
        let random = SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| TokenFileError::Random)?;
        let tag = read(&path, &key).await?;
        Ok(Self { path, key, known: Mutex::new((Instant::now(), tag)) })
    }

    /// Whether that is the token.
    pub(super) async fn is(&self, token: &str) -> Result<bool, TokenFileError> {
        let (read_at, known) = *self.known.lock();
        let tag = if read_at.elapsed() < LOOK {
            known
        } else {
            let tag = read(&self.path, &self.key).await?;
            *self.known.lock() = (Instant::now(), tag);
            tag
        };
        Ok(hmac::verify(&self.key, token.as_bytes(), tag.as_ref()).is_ok())
    }
}

async fn read(path: &Path, key: &hmac::Key) -> Result<hmac::Tag, TokenFileError> {
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|source| TokenFileError::Read { path: path.to_owned(), source })?;
    match text.trim() {
        "" => Err(TokenFileError::Empty(path.to_owned())),
        token => Ok(hmac::sign(key, token.as_bytes())),
    }
}
