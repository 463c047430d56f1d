//! The garbage collector: objects whose owners are gone are deleted; owners that wait for their dependents are finished.
//!
//! | part | files |
//! |---|---|
//! | who owns whom, and what a change asks for; pure | [`graph`], [`uid`] |
//! | what becomes of an object; pure | [`judge`] |
//! | the shell | [`collector`], [`operate`], [`kinds`] |
//!
//! The three ways to delete an owner: in the background, its dependents are deleted after it; in the foreground, it waits (finalizer
//! `foregroundDeletion`) until those that block it are gone; orphaning (finalizer `orphan`) frees the dependents first.
//! An owner is matched by UID, kind and name. One whose kind is not served keeps its dependents.

mod collector;
mod graph;
mod judge;
mod kinds;
mod operate;
#[cfg(test)]
mod simulation;
mod uid;

pub(super) use collector::run;
