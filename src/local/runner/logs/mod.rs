//! Logs of containers: written in the line form of Kubernetes' runtimes into files of bounded size, read while they grow.
//!
//! Files, not the store: output is large, append-only and nobody watches it by revision.

mod index;
mod line;
mod reader;
mod select;
mod writer;

pub(super) use crate::local::runner::logs::index::{LogIndex, NoLog};
pub(super) use crate::local::runner::logs::reader::{LogReader, LogSource};
pub(super) use crate::local::runner::logs::select::LogOptions;
pub(super) use crate::local::runner::logs::writer::LogWriter;
