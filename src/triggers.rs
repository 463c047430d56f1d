//! The live trigger set.
