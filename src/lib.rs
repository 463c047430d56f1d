//! Kakehi leads `CloudEvents` into Kubernetes Jobs.
//!
//! The crate is a house of floors; imports only go down and rooms of one floor never meet
//! (`tests/it/floors.rs` enforces it):
//!
//! | floor | modules | what stands there |
//! |---|---|---|
//! | 0 | [`event`], [`term`], [`schedule`], [`spans`], [`manners`], then [`cel`] and [`cesql`] | the event and its wire formats; no Kubernetes, no async, no clock. What became of a condition; when a schedule is due; spans that join traces; how a client asks. Expressions over an event, in two languages |
//! | 1 | [`api`], then [`filter`] and [`params`] on it | our Kubernetes objects; trigger filters; parameters |
//! | 2 | [`plan`], then [`explain`] | every decision as a plain function of (objects, now); what was decided about an event, and why |
//! | 3 | [`ops`], [`auth`], [`feed`], then [`triggers`] | use cases on a `kube::Client`; who may do what; following objects; the live trigger set |
//! | 4 | [`sink`], [`cloudrun`], [`controllers`], [`sources`], [`local`] | adapters to HTTP, to the API server, Knative's sources, and a Kubernetes of our own |
//! | 5 | [`app`], [`listen`], [`telemetry`], [`cli`] | composition |
//!
//! A reader who wants to know what the program *does* starts in [`plan`].

pub mod api;
pub mod app;
pub mod auth;
pub mod cel;
pub mod cesql;
pub mod cli;
pub mod cloudrun;
pub mod controllers;
pub mod event;
pub mod explain;
mod feed;
pub mod filter;
pub mod listen;
pub mod local;
pub mod manners;
pub mod ops;
pub mod params;
pub mod plan;
pub mod schedule;
pub mod sink;
pub mod sources;
pub mod spans;
pub mod telemetry;
pub mod term;
pub mod triggers;
