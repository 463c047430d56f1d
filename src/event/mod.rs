//! The event and its wire formats, `CloudEvents` 1.0.
//!
//! An [`Event`] is checked when it is made and cannot be wrong afterwards; whoever holds one checks nothing again.
//! Attributes are kept as they were sent (a time keeps its nanoseconds and its offset, an extension its type), and
//! the data is bytes from one end to the other: it is never parsed and never written anew.
//!
//! - [`Builder`] makes an event out of attributes, whatever they arrived in.
//! - [`json`] is the JSON event format, [`http`] the HTTP binding on top of it.
//!
//! Floor 0: no Kubernetes, no async, no clock. Whether an event is wanted, and what it starts, is decided above.

mod attribute;
mod builder;
mod error;
mod header;
pub mod http;
pub mod json;
mod media_type;
mod model;
mod scan;
mod syntax;
mod trace;
mod value;

pub use attribute::Attribute;
pub use builder::{Builder, MAX_ATTRIBUTE_BYTES, MAX_EXTENSIONS};
pub use error::Error;
pub use media_type::is_json;
pub use model::Event;
pub use trace::TraceContext;
pub use value::{Value, ValueRef};

/// The version of the specification that is spoken.
pub const SPECVERSION: &str = "1.0";
