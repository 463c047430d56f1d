//! Knative's PingSource: an event with fixed data whenever a schedule is due.
//!
//! [`object`] is the kind and [`admission`] what its web hook refuses; [`request`] and [`status`] say what is sent and
//! what is told. [`pings`] follows the objects and has one [`source`] for each of them, which waits, and hands what is
//! due over a channel to [`delivery`].

mod admission;
mod delivery;
mod object;
mod pings;
mod request;
mod source;
mod status;

pub use self::object::{Overrides, PingSource, PingSourceSpec, PingSourceStatus};

pub(super) use self::admission::objections;
pub(super) use self::delivery::deliver_all;
pub(super) use self::pings::{Context, Pings};

use jiff::tz::TimeZone;

use crate::schedule::{Error, Schedule, Zones};

/// The schedule of a PingSource. Without a time zone it follows UTC, as Knative's adapter does in its container, and not the
/// clock of this machine: what is tried here will run there.
fn schedule(spec: &PingSourceSpec) -> Result<Schedule, Error> {
    let zones = Zones::new(jiff::tz::db().clone(), TimeZone::UTC);
    Schedule::parse(spec.schedule(), spec.timezone.as_deref().unwrap_or_default(), &zones)
}

#[cfg(test)]
mod tests;
