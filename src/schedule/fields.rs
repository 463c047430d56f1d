//! The fields of a schedule: from text to the set of numbers that each of them lets pass.

use std::fmt;

use super::error::{Error, Problem, excerpt};

/// The numbers that a field lets pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// Bit n is the number n.
    numbers: u64,
    /// Whether every number was asked for, with `*` or `?`. The two fields of days are bound together by this: a set
    /// with all numbers in it is something else.
    every: bool,
}

impl Set {
    /// Just that one.
    fn one(number: u64) -> Self {
        Self { numbers: 1 << number, every: false }
    }

    /// All of a field.
    fn every(field: Field) -> Self {
        let (least, most) = field.bounds();
        Self { numbers: (least..=most).fold(0, |bits, number| bits | 1 << number), every: true }
    }

    /// Whether that number is let pass. Fields of a calendar are never negative.
    pub(super) fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.numbers >> number & 1 == 1)
    }

    pub(super) fn is_empty(self) -> bool {
        self.numbers == 0
    }

    pub(super) fn is_every(self) -> bool {
        self.every
    }

    fn with(self, other: Self) -> Self {
        Self { numbers: self.numbers | other.numbers, every: self.every || other.every }
    }
}

/// One of the six fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 0 to 59; left out of a schedule with five fields, which starts at the minute.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or JAN to DEC.
    Month,
    /// 0 to 6, or SUN to SAT. There is no 7.
    DayOfWeek,
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Field {
    /// In the order in which they are written.
    const ALL: [Field; 6] =
        [Field::Second, Field::Minute, Field::Hour, Field::DayOfMonth, Field::Month, Field::DayOfWeek];

    /// The least and the greatest number in it.
    pub(super) fn bounds(self) -> (u64, u64) {
        match self {
            Field::Second | Field::Minute => (0, 59),
            Field::Hour => (0, 23),
            Field::DayOfMonth => (1, 31),
            Field::Month => (1, 12),
            Field::DayOfWeek => (0, 6),
        }
    }

    /// Names of its numbers from the least on; none for most fields.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Field::Month => &MONTHS,
            Field::DayOfWeek => &DAYS,
            Field::Second | Field::Minute | Field::Hour | Field::DayOfMonth => &[],
        }
    }

    /// A list of ranges. Nothing between two commas is nothing, as robfig has it.
    fn set(self, text: &str) -> Result<Set, Error> {
        let parts = text.split(',').filter(|part| !part.is_empty());
        parts.map(|part| self.range(part)).try_fold(Set::default(), |all, one| Ok(all.with(one?)))
    }

    /// `*`, `N`, `N-M`, and any of them with `/STEP`.
    fn range(self, part: &str) -> Result<Set, Error> {
        let wrong = |problem| Error::Field { field: self, part: excerpt(part), problem };
        let (least, most) = self.bounds();
        let (range, step) = match part.split_once('/') {
            Some((_, step)) if step.contains('/') => return Err(wrong(Problem::Slashes)),
            Some((range, step)) => (range, Some(number(step).ok_or_else(|| wrong(Problem::NoStep))?)),
            None => (part, None),
        };
        let (low, high) = range.split_once('-').map_or((range, None), |(low, high)| (low, Some(high)));
        let is_every = matches!(low, "*" | "?");
        let (start, end) = match high {
            // Whatever stands behind the hyphen of `*-5`, nobody reads it there.
            _ if is_every => (least, most),
            Some(high) if high.contains('-') => return Err(wrong(Problem::Hyphens)),
            Some(high) => (self.value(low).map_err(wrong)?, self.value(high).map_err(wrong)?),
            None => {
                let start = self.value(low).map_err(wrong)?;
                // `N/STEP` goes on to the last number.
                (start, if step.is_some() { most } else { start })
            }
        };
        if start < least || start > most || end > most {
            return Err(wrong(Problem::OutOfRange(self)));
        }
        if start > end {
            return Err(wrong(Problem::Backwards));
        }
        let step = step.unwrap_or(1);
        let Ok(stride) = usize::try_from(step.max(1)) else { return Err(wrong(Problem::NoStep)) };
        if step == 0 {
            return Err(wrong(Problem::StepOfZero));
        }
        let numbers = (start..=end).step_by(stride).fold(0, |bits, number| bits | 1 << number);
        Ok(Set { numbers, every: is_every && step == 1 })
    }

    fn value(self, text: &str) -> Result<u64, Problem> {
        let named = self.names().iter().zip(self.bounds().0..);
        let named = named.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        named.map(|(_, value)| value).or_else(|| number(text)).ok_or(Problem::NoNumber(self))
    }
}

/// A number as Go's `Atoi` reads one that is not negative: with leading zeros and a plus sign, if somebody likes them.
fn number(text: &str) -> Option<u64> {
    text.parse::<i64>().ok().and_then(|number| u64::try_from(number).ok())
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Second => "second",
            Field::Minute => "minute",
            Field::Hour => "hour",
            Field::DayOfMonth => "day of month",
            Field::Month => "month",
            Field::DayOfWeek => "day of week",
        })
    }
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) second: Set,
    pub(super) minute: Set,
    pub(super) hour: Set,
    pub(super) day_of_month: Set,
    pub(super) month: Set,
    pub(super) day_of_week: Set,
}

impl Fields {
    /// Five fields, or six.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        match words.len() {
            5 => words.insert(0, "0"),
            6 => {}
            count => return Err(Error::Count(count)),
        }
        let mut sets = [Set::default(); 6];
        for ((set, field), word) in sets.iter_mut().zip(Field::ALL).zip(words) {
            *set = field.set(word)?;
        }
        let [second, minute, hour, day_of_month, month, day_of_week] = sets;
        Ok(Self { second, minute, hour, day_of_month, month, day_of_week })
    }

    /// What `@daily` and its kin stand for.
    pub(super) fn named(name: &str) -> Option<Self> {
        let hourly = Self {
            second: Set::one(0),
            minute: Set::one(0),
            hour: Set::every(Field::Hour),
            day_of_month: Set::every(Field::DayOfMonth),
            month: Set::every(Field::Month),
            day_of_week: Set::every(Field::DayOfWeek),
        };
        let daily = Self { hour: Set::one(0), ..hourly.clone() };
        let monthly = Self { day_of_month: Set::one(1), ..daily.clone() };
        match name {
            "@hourly" => Some(hourly),
            "@daily" | "@midnight" => Some(daily),
            "@weekly" => Some(Self { day_of_week: Set::one(0), ..daily }),
            "@monthly" => Some(monthly),
            "@yearly" | "@annually" => Some(Self { month: Set::one(1), ..monthly }),
            _ => None,
        }
    }

    /// Whether a day is let pass. Two fields that each name days are both asked for: one of them is enough.
    pub(super) fn has_day(&self, of_month: i8, of_week: i8) -> bool {
        let (month, week) = (self.day_of_month.has(of_month), self.day_of_week.has(of_week));
        if self.day_of_month.is_every() || self.day_of_week.is_every() {
            month && week
        } else {
            month || week
        }
    }
}
