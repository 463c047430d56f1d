//! Who asks, and whether he may.
//!
//! Kubernetes knows both: a Bearer token becomes a [`Caller`] by a `TokenReview`, and a [`Right`] of his is asked for by a
//! `SubjectAccessReview`. So whoever looks after RBAC looks after us, and nothing is kept here but answers, for at most
//! [`FRESH`]. Without a cluster there is one token in a file, or, on a machine of one's own, nothing at all.
//!
//! | file | what stands there |
//! |---|---|
//! | `right` | what may be done to what, as Kubernetes says it |
//! | `review` | the questions to the API server, with limits |
//! | `page` | requests of web pages, which are refused where nobody is asked |
//! | `cache` | answers that are still fresh, and no more than fit |
//! | `token_file` | one token that may do everything |
//!
//! Everything fails closed: where it cannot be found out, the answer is [`Error::Unavailable`], never yes.

mod cache;
mod page;
mod review;
mod right;
#[cfg(test)]
mod tests;
mod token_file;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;

pub use page::Page;
pub use page::of_page;
pub use page::of_page_or_rebound;
pub use review::Reviews;
pub use right::Right;
pub use right::Verb;
pub use token_file::TokenFile;
pub use token_file::TokenFileError;

/// Longest time for which an answer is believed: so long a right that was taken away, or a token that expired, may
/// still be used.
pub const FRESH: Duration = Duration::from_secs(10);

/// What stands before everything that needs a right. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate {
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    Open,
    Token(Arc<TokenFile>),
    Reviews(Reviews, Arc<[String]>),
}

/// Somebody whose credentials were accepted.
#[derive(Debug, Clone)]
pub struct Caller {
    /// None is trusted with everything: nobody is asked about him.
    identity: Option<Arc<Identity>>,
}

/// Somebody that Kubernetes knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// His name, such as `system:serviceaccount:shop:sender`.
    pub user: String,
    /// What tells him from others of the same name.
    pub uid: Option<String>,
    /// The groups that he is in.
    pub groups: Vec<String>,
    /// What else authorizers may want to know.
    pub extra: BTreeMap<String, Vec<String>>,
    /// For whom his token is, of those that were asked about.
    pub audiences: Vec<String>,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// He did not say who he is.
    #[error("no credentials were sent; send the header `Authorization: Bearer TOKEN`")]
    Missing,
    /// Nobody is known by what he sent: it is wrong, has expired, or is for somebody else.
    #[error("the token is not accepted")]
    Unauthenticated,
    /// He may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// It cannot be found out now.
    #[error("it cannot be found out now who may do this")]
    Unavailable(#[source] Unavailable),
}

/// Why it cannot be found out.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The API server does not answer us, or we may not ask.
    #[error("the API server does not answer a review")]
    Server(#[source] Box<kube::Error>),
    /// An authorizer of the API server failed, and no other said yes.
    #[error("an authorizer failed: {0}")]
    Authorizer(String),
    /// It took too long.
    #[error("no answer to a review within {0:?}")]
    TimedOut(Duration),
    /// The file of the token is not readable any more.
    #[error(transparent)]
    File(#[from] TokenFileError),
}

impl Gate {
    /// Lets everybody do everything.
    pub fn open() -> Self {
        Self { way: Way::Open }
    }

    /// Lets everybody do everything who has that token, and nobody else anything.
    pub fn token(file: TokenFile) -> Self {
        Self { way: Way::Token(Arc::new(file)) }
    }

    /// Asks Kubernetes. Without audiences a token must be one for the API server itself.
    pub fn reviews(reviews: Reviews, audiences: Vec<String>) -> Self {
        Self { way: Way::Reviews(reviews, audiences.into()) }
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        matches!(self.way, Way::Open)
    }

    /// Who sent a request with these headers.
    pub async fn admit(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        match &self.way {
            Way::Open => Ok(Caller::trusted()),
            Way::Token(file) => {
                let is_right = file.is(bearer(headers)?).await;
                let is_right = is_right.map_err(|error| Error::Unavailable(error.into()))?;
                if is_right { Ok(Caller::trusted()) } else { Err(Error::Unauthenticated) }
            }
            Way::Reviews(reviews, audiences) => reviews.identify(bearer(headers)?, audiences).await,
        }
    }

    /// Passes if the caller has one of these rights. The refusal names the first.
    pub async fn check(&self, caller: &Caller, rights: &[Right]) -> Result<(), Error> {
        match &self.way {
            Way::Open | Way::Token(_) => Ok(()),
            Way::Reviews(reviews, _) => reviews.check(caller, rights).await,
        }
    }
}

impl Caller {
    fn trusted() -> Self {
        Self { identity: None }
    }

    /// Who he is; none where nobody asks.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }
}

/// The token of a request (RFC 6750 §2.1).
pub fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return Err(Error::Missing) };
    let (scheme, token) = one.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Error::Missing)?;
    let token = token.trim();
    let is_one = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    if is_one && !token.contains(char::is_whitespace) { Ok(token) } else { Err(Error::Missing) }
}
