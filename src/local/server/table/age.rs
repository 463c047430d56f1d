//! Durations as kubectl shows them: `5s`, `2m3s`, `3h12m`, `5d4h`, `2y31d`.

use jiff::Timestamp;

/// The time since `from` (RFC 3339); `<unknown>` if that is no time.
pub(super) fn of(from: &str, now: Timestamp) -> String {
    from.parse::<Timestamp>()
        .map_or_else(|_| "<unknown>".to_owned(), |from| human(now.as_second() - from.as_second()))
}

/// Whole seconds in the coarse form: two units where both matter, one where the smaller does not.
pub(super) fn human(seconds: i64) -> String {
    // A clock a moment behind is no error; one further behind is shown as invalid.
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = seconds.max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match seconds {
        _ if seconds < 60 * 2 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 60 * 3 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(days, 'd', hours % 24, 'h'),
        _ if days < 365 * 2 => format!("{days}d"),
        _ if days < 365 * 8 => two(years, 'y', days % 365, 'd'),
        _ => format!("{years}y"),
    }
}

fn two(large: i64, unit: char, small: i64, smaller: char) -> String {
    if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{smaller}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_kubectl_prints_them() {
        let (minute, hour, day) = (60, 3600, 86_400);
        let table = [
            (0, "0s"),
            (-1, "0s"),
            (-2, "<invalid>"),
            (119, "119s"),
            (2 * minute, "2m"),
            (2 * minute + 3, "2m3s"),
            (10 * minute + 5, "10m"),
            (179 * minute, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 12 * minute, "3h12m"),
            (8 * hour + 30 * minute, "8h"),
            (47 * hour, "47h"),
            (48 * hour, "2d"),
            (5 * day + 4 * hour, "5d4h"),
            (8 * day + 4 * hour, "8d"),
            (400 * day, "400d"),
            (2 * 365 * day + 31 * day, "2y31d"),
            (9 * 365 * day, "9y"),
        ];
        for (seconds, expected) in table {
            assert_eq!(human(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn an_unreadable_time_is_unknown() {
        assert_eq!(of("yesterday", Timestamp::UNIX_EPOCH), "<unknown>");
        assert_eq!(of("1970-01-01T00:00:00Z", Timestamp::from_second(90).unwrap()), "90s");
    }
}
