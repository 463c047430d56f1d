//! A place in the calendar of a time zone that moves on, one field after the other, until all of them match.
//!
//! The walk is robfig's, step by step, over Go's arithmetic of dates, because the places where both are peculiar show:
//! an hour is added as 3600 seconds, a day as the next date at the same time of the clock; the first step of a walk
//! goes back to the beginning of what it moves; and whoever comes to the beginning of a larger unit starts over.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

use super::fields::{Fields, Set};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// A second in a time zone. Every step answers none at the end of what a calendar holds, and else whether the field matches; if
/// not, a larger unit has begun, and all fields are to be looked at again.
pub(super) struct Cursor<'a> {
    zone: &'a TimeZone,
    /// Seconds since 1970.
    at: i64,
    /// What the clock shows.
    local: DateTime,
    /// Whether it has left the instant that it came from, and stands at the beginning of a unit.
    has_moved: bool,
}

impl<'a> Cursor<'a> {
    /// At the first whole second after an instant.
    pub(super) fn after(instant: Timestamp, zone: &'a TimeZone) -> Option<Self> {
        let second = instant.as_nanosecond().div_euclid(1_000_000_000);
        let at = i64::try_from(second).ok()?.checked_add(1)?;
        let local = zone.to_datetime(Timestamp::from_second(at).ok()?);
        Some(Self { zone, at, local, has_moved: false })
    }

    pub(super) fn timestamp(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.at).ok()
    }

    /// The year on the clock.
    pub(super) fn year(&self) -> i16 {
        self.local.year()
    }

    /// On to a month that matches.
    pub(super) fn reach_month(&mut self, months: Set) -> Option<bool> {
        while !months.has(self.local.month()) {
            if self.is_first_move() {
                self.show(self.local.first_of_month().date().at(0, 0, 0, 0))?;
            }
            let day = i64::from(self.local.day()) - 1;
            let next = self.local.date().first_of_month().checked_add(1.month()).ok()?;
            self.show_next(next.checked_add(day.days()).ok()?.to_datetime(self.local.time()))?;
            if self.local.month() == 1 {
                return Some(false);
            }
        }
        Some(true)
    }

    /// On to a day that matches.
    pub(super) fn reach_day(&mut self, fields: &Fields) -> Option<bool> {
        while !fields.has_day(self.local.day(), self.local.weekday().to_sunday_zero_offset()) {
            if self.is_first_move() {
                self.show(self.local.date().at(0, 0, 0, 0))?;
            }
            self.show_next(self.local.checked_add(1.day()).ok()?)?;
            // A midnight that the clock skips: an hour too late or too early, as the zone has it.
            match i64::from(self.local.hour()) {
                0 => {}
                late if late <= 12 => self.go(-late * HOUR)?,
                early => self.go((24 - early) * HOUR)?,
            }
            if self.local.day() == 1 {
                return Some(false);
            }
        }
        Some(true)
    }

    /// On to an hour that matches.
    pub(super) fn reach_hour(&mut self, hours: Set) -> Option<bool> {
        while !hours.has(self.local.hour()) {
            if self.is_first_move() {
                self.show(self.local.date().at(self.local.hour(), 0, 0, 0))?;
            }
            self.go(HOUR)?;
            if self.local.hour() == 0 {
                return Some(false);
            }
        }
        Some(true)
    }

    /// On to a minute that matches.
    pub(super) fn reach_minute(&mut self, minutes: Set) -> Option<bool> {
        while !minutes.has(self.local.minute()) {
            // Go cuts off the seconds of UTC, which are other ones where an offset is no whole minute.
            let back = if self.is_first_move() { self.at.rem_euclid(MINUTE) } else { 0 };
            self.go(MINUTE - back)?;
            if self.local.minute() == 0 {
                return Some(false);
            }
        }
        Some(true)
    }

    /// On to a second that matches.
    pub(super) fn reach_second(&mut self, seconds: Set) -> Option<bool> {
        while !seconds.has(self.local.second()) {
            self.has_moved = true;
            self.go(1)?;
            if self.local.second() == 0 {
                return Some(false);
            }
        }
        Some(true)
    }

    fn is_first_move(&mut self) -> bool {
        !std::mem::replace(&mut self.has_moved, true)
    }

    /// So many seconds on.
    fn go(&mut self, seconds: i64) -> Option<()> {
        self.at = self.at.checked_add(seconds)?;
        self.local = self.zone.to_datetime(self.timestamp()?);
        Some(())
    }

    /// To where the clock shows that, which is to lie ahead. A zone that moved over the date line left out a whole day, and
    /// Go finds the one before instead: robfig goes round there for ever, and we go on to the day after.
    fn show_next(&mut self, next: DateTime) -> Option<()> {
        let before = self.at;
        self.show(next)?;
        if self.at > before { Some(()) } else { self.show(next.checked_add(1.day()).ok()?) }
    }

    /// To where the clock shows that. Of a time that it shows twice or never this is what Go's `time.Date` finds: by
    /// the offset that holds at the instant at which UTC shows it, then once more by what was found.
    fn show(&mut self, local: DateTime) -> Option<()> {
        let as_utc = Offset::UTC.to_timestamp(local).ok()?.as_second();
        let first = as_utc - self.offset(as_utc)?;
        self.go(as_utc - self.offset(first)? - self.at)
    }

    /// Seconds that the clock is ahead of UTC.
    fn offset(&self, at: i64) -> Option<i64> {
        Some(self.zone.to_offset(Timestamp::from_second(at).ok()?).seconds().into())
    }
}
