//! Servers and their graceful end.
