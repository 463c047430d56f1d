//! Objects, watches and patches over HTTP, as the Kubernetes API server does them.

mod apply;
mod kinds;
mod patch;
mod schema;
mod selector;
mod table;
