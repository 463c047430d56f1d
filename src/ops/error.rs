//! The one error of every use case, and how an API server's answer maps to it.

use kube::Resource;
use kube::core::response::StatusCause;

use crate::plan::{NotRerun, Refusal};

/// Why a use case did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object. It may not have been made yet.
    #[error("{kind} {name} not found")]
    NotFound {
        /// Its kind, in lower case.
        kind: String,
        /// Its name.
        name: String,
    },
    /// There is such an object already.
    #[error("{kind} {name} exists")]
    AlreadyExists {
        /// Its kind, in lower case.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The Job cannot be run for that event; the sender has to change something.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// That run, or its failed tasks, cannot be repeated.
    #[error(transparent)]
    NotRerun(#[from] NotRerun),
    /// The API server says that the object is not acceptable. Asking again does not help.
    #[error("refused by the API server: {message}")]
    Rejected {
        /// HTTP status of the answer.
        code: u16,
        /// The API server's words.
        message: String,
        /// The fields that it names.
        causes: Vec<Cause>,
    },
    /// A quota of the namespace is used up. Asking again later may help.
    #[error("over quota: {message}")]
    OverQuota {
        /// The API server's words.
        message: String,
    },
    /// The Job lets no more runs wait. Asking again later is right.
    #[error("the queue of job {job} is full: it lets {limit} runs wait")]
    QueueFull {
        /// Name of the Job.
        job: String,
        /// How many may wait.
        limit: i64,
    },
    /// The caller (or we) may not do this.
    #[error("not allowed: {message}")]
    Forbidden {
        /// The API server's words.
        message: String,
    },
    /// Somebody else changed the object in between.
    #[error("changed in between: {message}")]
    Conflict {
        /// The API server's words.
        message: String,
    },
    /// The API server is away, overloaded or broken. Asking again is right, and harmless where names are deterministic.
    #[error("the API server cannot answer")]
    Unavailable(#[source] Box<kube::Error>),
    /// No answer in time. It may have happened.
    #[error("no answer from the API server within {seconds} s")]
    TimedOut {
        /// How long we waited.
        seconds: u64,
    },
    /// Every name that was tried belongs to something else.
    #[error("every name for a run of job {job} is taken")]
    NamesTaken {
        /// Name of the Job.
        job: String,
    },
    /// There is nothing to show, and there will not be.
    #[error("{0}")]
    Nothing(String),
    /// A log broke off.
    #[error("cannot read the log of pod {pod}")]
    Log {
        /// Name of the Pod.
        pod: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A watch broke off for good.
    #[error("cannot watch")]
    Watch(#[source] Box<kube::runtime::watcher::Error>),
}

/// A field that the API server does not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Its path in the object.
    pub field: String,
    /// The API server's words.
    pub message: String,
}

impl Cause {
    /// What a cause says of a field, if it is about one.
    fn of(cause: &StatusCause) -> Option<Self> {
        let StatusCause { reason: _, message, field } = cause;
        // What it writes of the whole object.
        let is_field = !field.is_empty() && field != "<nil>";
        is_field.then(|| Self { field: field.clone(), message: message.clone() })
    }
}

impl Error {
    /// Whether the same request may succeed later without anybody changing it.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::OverQuota { .. }
            | Error::QueueFull { .. }
            | Error::Conflict { .. }
            | Error::Unavailable(_)
            | Error::TimedOut { .. }
            | Error::Log { .. }
            | Error::Watch(_) => true,
            Error::NotFound { .. }
            | Error::AlreadyExists { .. }
            | Error::Refusal(_)
            | Error::NotRerun(_)
            | Error::Rejected { .. }
            | Error::Forbidden { .. }
            | Error::NamesTaken { .. }
            | Error::Nothing(_) => false,
        }
    }

    /// The error for what went wrong with the object `name` of that kind.
    pub(crate) fn of<K: Resource<DynamicType = ()>>(error: kube::Error, name: &str) -> Self {
        let kube::Error::Api(status) = &error else { return Error::Unavailable(Box::new(error)) };
        let message = status.message.clone();
        match status.code {
            // Also what an API server says whose custom resources are not installed; the message tells.
            404 => Error::not_found::<K>(name),
            403 if message.contains("exceeded quota") => Error::OverQuota { message },
            403 => Error::Forbidden { message },
            409 if status.is_already_exists() => {
                Error::AlreadyExists { kind: K::kind(&()).to_lowercase(), name: name.to_owned() }
            }
            409 => Error::Conflict { message },
            code @ (400 | 405 | 406 | 413 | 415 | 422) => {
                let causes = status.details.iter().flat_map(|details| &details.causes);
                Error::Rejected { code, message, causes: causes.filter_map(Cause::of).collect() }
            }
            _ => Error::Unavailable(Box::new(error)),
        }
    }

    /// The object `name` of that kind does not exist.
    pub(crate) fn not_found<K: Resource<DynamicType = ()>>(name: &str) -> Self {
        Error::NotFound { kind: K::kind(&()).to_lowercase(), name: name.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use kube::core::response::StatusDetails;

    use super::*;
    use crate::api::Job;

    fn answer(code: u16, message: &str) -> Error {
        let status = Status::failure(message, "Reason").with_code(code).boxed();
        Error::of::<Job>(kube::Error::Api(status), "resize")
    }

    #[test]
    fn an_overloaded_server_is_asked_again_and_a_refusal_is_not() {
        for (code, transient) in [
            (400, false),
            (401, true),
            (403, false),
            (404, false),
            (409, true),
            (413, false),
            (422, false),
            (429, true),
            (500, true),
            (503, true),
            (504, true),
        ] {
            assert_eq!(answer(code, "words").is_transient(), transient, "{code}");
        }
    }

    #[test]
    fn a_used_up_quota_is_not_a_missing_right() {
        let found =
            answer(403, "executions is forbidden: exceeded quota: count, requested: 1, used: 5, limited: 5");
        assert!(matches!(found, Error::OverQuota { .. }), "{found:?}");
        assert!(matches!(answer(403, "cannot create"), Error::Forbidden { .. }));
    }

    #[test]
    fn the_fields_that_are_wrong_are_known() {
        let mut status = Status::failure("Job is invalid", "Invalid").with_code(422);
        let cause = |field: &str| StatusCause {
            reason: "FieldValueInvalid".to_owned(),
            message: "too long".to_owned(),
            field: field.to_owned(),
        };
        let causes = vec![cause("metadata.name"), cause("<nil>"), cause("")];
        status.details = Some(StatusDetails {
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes,
            retry_after_seconds: 0,
        });
        let Error::Rejected { causes, .. } = Error::of::<Job>(kube::Error::Api(status.boxed()), "resize")
        else {
            panic!("another error");
        };
        assert_eq!(causes, [Cause { field: "metadata.name".to_owned(), message: "too long".to_owned() }]);
    }

    #[test]
    fn a_missing_object_is_named() {
        assert_eq!(answer(404, "whatever").to_string(), "job resize not found");
    }
}
