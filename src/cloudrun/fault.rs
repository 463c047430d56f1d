//! Why a request is not answered with what it asked for, whichever protocol brought it, and the one mapping of the
//! errors below to it. How it is written is the protocol's: [`super::status`] for gRPC.

use tonic::Code;

use crate::ops::{self, Cause};
use crate::plan::Refusal;

/// A field of a request, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Its path, in the names of the protocol's messages.
    pub(crate) field: String,
    /// What is wrong, for people.
    pub(crate) description: String,
}

/// A resource that a fault is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// Its kind, in lower case.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
}

/// What a program may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Nothing more.
    None,
    /// The fields that are wrong.
    Fields(Vec<Violation>),
    /// The resource that it is about.
    Resource(About),
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// For programs.
    pub(crate) code: Code,
    /// For people.
    pub(crate) message: String,
    /// More for programs.
    pub(crate) detail: Detail,
}

impl Fault {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: Detail::None }
    }

    /// The request cannot be honoured as it is.
    pub(crate) fn invalid(violations: Vec<Violation>) -> Self {
        let words: Vec<String> = violations
            .iter()
            .map(
                |Violation { field, description }| {
                    if field.is_empty() { description.clone() } else { format!("{field}: {description}") }
                },
            )
            .collect();
        Self { code: Code::InvalidArgument, message: words.join("; "), detail: Detail::Fields(violations) }
    }

    /// The same for one field.
    pub(crate) fn invalid_field(field: &str, description: impl Into<String>) -> Self {
        Self::invalid(vec![Violation { field: field.to_owned(), description: description.into() }])
    }

    /// The API server does not take it, because of these fields.
    fn rejected(message: String, causes: Vec<Cause>) -> Self {
        let violations =
            causes.into_iter().map(|Cause { field, message }| Violation { field, description: message });
        let violations: Vec<_> = violations.collect();
        if violations.is_empty() {
            return Self::invalid_field("", message);
        }
        Self { code: Code::InvalidArgument, message, detail: Detail::Fields(violations) }
    }

    /// There is no such resource.
    pub(crate) fn not_found(kind: &str, name: &str) -> Self {
        Self::about(Code::NotFound, format!("{kind} {name} not found"), kind, name)
    }

    /// There is nothing at that path, or nothing that can be done to it in that way.
    pub(crate) fn no_such_route(method: &http::Method, path: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {method} {path} here"))
    }

    /// The time for an answer is over.
    pub(crate) fn late() -> Self {
        Self::new(Code::DeadlineExceeded, "the API server has not answered in time")
    }

    /// The resource changed since the caller read it.
    pub(crate) fn stale(kind: &str, name: &str) -> Self {
        let message = format!("{kind} {name} has changed since: its etag is another; read it again");
        Self::about(Code::Aborted, message, kind, name)
    }

    fn about(code: Code, message: String, kind: &str, name: &str) -> Self {
        let about = About { kind: kind.to_owned(), name: name.to_owned() };
        Self { code, message, detail: Detail::Resource(about) }
    }

    /// Whether the caller has to read again. Other conflicts are ours to solve.
    pub(crate) fn is_stale(&self) -> bool {
        self.code == Code::Aborted && self.detail != Detail::None
    }

    /// The fields that are wrong, if that is what it is about.
    pub(crate) fn violations(&self) -> &[Violation] {
        match &self.detail {
            Detail::Fields(violations) => violations,
            Detail::None | Detail::Resource(_) => &[],
        }
    }
}

impl From<ops::Error> for Fault {
    fn from(error: ops::Error) -> Self {
        use ops::Error;
        let message = error.to_string();
        match error {
            Error::NotFound { kind, name } => Self::about(Code::NotFound, message, &kind, &name),
            Error::AlreadyExists { kind, name } => Self::about(Code::AlreadyExists, message, &kind, &name),
            Error::Refusal(refusal) => refusal.into(),
            Error::NotRerun(_) => Self::new(Code::FailedPrecondition, message),
            Error::Rejected { code: _, message, causes } => Self::rejected(message, causes),
            Error::OverQuota { .. } | Error::QueueFull { .. } => Self::new(Code::ResourceExhausted, message),
            // The caller was asked about and has the right. Who lacks one is our own account; or a policy of the cluster
            // is against it, whoever asks.
            Error::Forbidden { .. } => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the API server does not let us");
                Self::new(
                    Code::FailedPrecondition,
                    format!("the cluster does not let Kakehi do this: {message}"),
                )
            }
            Error::Conflict { .. } | Error::NamesTaken { .. } => Self::new(Code::Aborted, message),
            Error::Nothing(_) => Self::new(Code::NotFound, message),
            Error::Unavailable(_) | Error::TimedOut { .. } | Error::Log { .. } | Error::Watch(_) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the API server fails us");
                Self::new(Code::Unavailable, message)
            }
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            // Everywhere else it is gone already.
            Refusal::JobDeleting { job } | Refusal::JobNotStored { job } => Self::not_found("job", &job),
            Refusal::Override { field, problem } => {
                Self::invalid_field(&format!("overrides.{}", snake(&field)), problem)
            }
            Refusal::JobInvalid { .. } | Refusal::Loop { .. } => Self::new(Code::FailedPrecondition, message),
            Refusal::NoKey { .. }
            | Refusal::NoParameter(_)
            | Refusal::DataTooLarge { .. }
            | Refusal::ControlCharacter { .. }
            | Refusal::EnvironmentTooLarge { .. }
            | Refusal::EventTooLarge { .. } => Self::new(Code::InvalidArgument, message),
        }
    }
}

/// A path in the names of the messages.
pub(super) fn snake(path: &str) -> String {
    let mut text = String::with_capacity(path.len() + 4);
    for letter in path.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
