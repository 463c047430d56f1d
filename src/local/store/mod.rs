//! The durable store of local mode.
