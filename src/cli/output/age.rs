//! Ages and durations, as kubectl prints them.

use std::time::Duration;

use jiff::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// How long ago, in one or two units: `12s`, `3m10s`, `2h`, `5d`. A moment that is missing is `<unknown>`; one in the
/// future, from a clock that runs ahead, is `0s`.
pub(crate) fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    let Some(since) = since else { return "<unknown>".to_owned() };
    let seconds = now.duration_since(since).as_secs().max(0);
    human(u64::try_from(seconds).unwrap_or(0))
}

/// Rounds the way of apimachinery's `HumanDuration`: the larger the span, the fewer the units.
fn human(seconds: u64) -> String {
    let (minutes, hours, days, years) = (seconds / MINUTE, seconds / HOUR, seconds / DAY, seconds / YEAR);
    if seconds < 2 * MINUTE {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, "m", seconds % MINUTE, "s")
    } else if hours < 3 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if days < 8 {
        two(days, "d", hours % 24, "h")
    } else if years < 2 {
        format!("{days}d")
    } else if years < 8 {
        two(years, "y", days % 365, "d")
    } else {
        format!("{years}y")
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

/// How long something took by our own clock. Below a minute with a tenth of a second, because that is what a person at a terminal
/// compares.
pub(crate) fn duration(took: Duration) -> String {
    if took.as_secs() < MINUTE { format!("{:.1}s", took.as_secs_f64()) } else { human(took.as_secs()) }
}

/// How long something took by the times in objects, which count whole seconds.
pub(crate) fn span(took: Duration) -> String {
    human(took.as_secs())
}

/// What lies between two moments, or `None` where one of them is missing.
pub(crate) fn between(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<Duration> {
    Duration::try_from(end?.duration_since(start?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_in_kubectl() {
        let table = [
            (0, "0s"),
            (12, "12s"),
            (119, "119s"),
            (120, "2m"),
            (190, "3m10s"),
            (599, "9m59s"),
            (600, "10m"),
            (2 * HOUR, "120m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 5 * MINUTE, "3h5m"),
            (8 * HOUR + 5 * MINUTE, "8h"),
            (47 * HOUR, "47h"),
            (48 * HOUR, "2d"),
            (5 * DAY + 3 * HOUR, "5d3h"),
            (8 * DAY + 3 * HOUR, "8d"),
            (729 * DAY, "729d"),
            (2 * YEAR, "2y"),
            (2 * YEAR + 7 * DAY, "2y7d"),
            (9 * YEAR, "9y"),
        ];
        for (seconds, words) in table {
            assert_eq!(human(seconds), words, "{seconds} s");
        }
    }

    #[test]
    fn a_clock_that_runs_ahead_gives_zero() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(age(Some(Timestamp::from_second(30).unwrap()), now), "0s");
        assert_eq!(age(None, now), "<unknown>");
    }

    #[test]
    fn short_durations_keep_a_tenth() {
        assert_eq!(duration(Duration::from_millis(1234)), "1.2s");
        assert_eq!(duration(Duration::from_secs(90)), "90s");
        assert_eq!(duration(Duration::from_secs(200)), "3m20s");
        assert_eq!(span(Duration::from_secs(4)), "4s");
        assert_eq!(between(None, Some(Timestamp::UNIX_EPOCH)), None);
        let later = Timestamp::from_second(3).unwrap();
        assert_eq!(between(Some(Timestamp::UNIX_EPOCH), Some(later)), Some(Duration::from_secs(3)));
        assert_eq!(between(Some(later), Some(Timestamp::UNIX_EPOCH)), None);
    }
}
