//! Trigger filters.
