//! The three patches that change an object by description: JSON patch, merge patch, strategic merge patch.
//!
//! Server-side apply is not a patch in this sense and lives in [`super::apply`].

mod json;
mod merge;
mod strategic;

pub(super) use self::json::json_patch;
pub(super) use self::merge::merge_patch;
pub(super) use self::strategic::strategic_merge_patch;

/// Why a patch does not apply.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum PatchError {
    /// The body is no patch: 400.
    #[error("{0}")]
    Malformed(String),
    /// It is one, but not for this object: 422.
    #[error("{0}")]
    DoesNotApply(String),
}
