//! The event and its wire formats.
