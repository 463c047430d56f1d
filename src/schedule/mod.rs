//! When a cron schedule is due: robfig/cron v3's language and its calendar, which Knative and Kubernetes use.
//!
//! Five fields, or six with the second in front; `*` and `?`, lists, ranges, steps, names of months and days; `@daily`
//! and its kin; `CRON_TZ=` or `TZ=` in front. What is written is read by [`fields`], and [`cursor`] walks the calendar
//! as robfig does, including what it does where a clock is put forward or back: a time that a clock skips does not
//! come, one that it shows twice comes twice, and at a midnight that does not exist robfig's answers are odd and so are ours.
//! Only a whole day that does not exist is passed over here, where robfig hangs.
//! A schedule is tried on a laptop to see what a cluster will do, so to differ would be the mistake.
//! `tests/schedule` compares both over random schedules, zones and instants.
//!
//! No clock: what is next is asked of an instant. Time zones are handed in as [`Zones`].

mod cursor;
mod error;
mod fields;
mod zones;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::cursor::Cursor;
use self::error::excerpt;
use self::fields::Fields;

pub use self::error::{Error, Problem};
pub use self::fields::Field;
pub use self::zones::Zones;

/// What names a time zone in front of a schedule.
const PREFIXES: [&str; 2] = ["CRON_TZ=", "TZ="];
/// Years that are searched for a time that matches: the 29th of February comes at most eight years apart only at the
/// turn of some centuries, and robfig gives up after five.
const YEARS: i16 = 5;

/// A schedule with its time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    fields: Fields,
    zone: TimeZone,
}

impl Schedule {
    /// Reads a schedule. `timezone` is the name beside it, empty where there is none; a zone is written beside the
    /// schedule or in front of it, not both.
    pub fn parse(schedule: &str, timezone: &str, zones: &Zones) -> Result<Self, Error> {
        if schedule.contains("@every") {
            return Err(Error::Every);
        }
        // Knative puts the one beside it in front, and so do we: its odd cases are then the same.
        let beside = (!timezone.is_empty()).then(|| format!("CRON_TZ={timezone} {schedule}"));
        let text = beside.as_deref().unwrap_or(schedule);
        let (zone, rest) = match zone_of(text) {
            None => (zones.local(), text),
            Some(after) => {
                let (name, rest) = after.split_once(' ').ok_or(Error::NothingAfterZone)?;
                (zones.find(name)?, rest.trim())
            }
        };
        if beside.is_some() && zone_of(rest).is_some() {
            return Err(Error::TwoZones);
        }
        let fields = if rest.starts_with('@') {
            Fields::named(rest).ok_or_else(|| Error::Name(excerpt(rest)))?
        } else {
            Fields::parse(rest)?
        };
        Ok(Self { fields, zone })
    }

    /// The zone whose clock it follows.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first time after an instant, in whole seconds; none if there is none within five years.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let Fields { second, minute, hour, month, day_of_month: _, day_of_week: _ } = &self.fields;
        // A field that names nothing matches nothing; robfig looks at every second of five years to find out.
        if [second, minute, hour, month].iter().any(|set| set.is_empty()) {
            return None;
        }
        let mut cursor = Cursor::after(after, &self.zone)?;
        let last = cursor.year().saturating_add(YEARS);
        while cursor.year() <= last {
            let there = cursor.reach_month(*month)?
                && cursor.reach_day(&self.fields)?
                && cursor.reach_hour(*hour)?
                && cursor.reach_minute(*minute)?
                && cursor.reach_second(*second)?;
            if there {
                return cursor.timestamp();
            }
        }
        None
    }
}

/// What stands after `CRON_TZ=` or `TZ=`, if one of them stands in front.
fn zone_of(text: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix))
}

#[cfg(test)]
mod tests;
