//! Label and field selectors: the strings of list, watch and deletecollection requests.
//!
//! A selector is parsed once per request and matched against every object, so matching allocates nothing for labels.

mod field;
mod label;
mod probe;

pub(super) use self::field::FieldSelector;
pub(super) use self::field::Selectable;
pub(super) use self::label::LabelSelector;
pub use self::probe::Selectors;
