//! The event receiver.
