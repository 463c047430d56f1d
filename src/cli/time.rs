//! Lengths of time on the command line: `30s`, `2m`, `1h30m`, or a bare number of seconds.

use std::time::Duration;

use jiff::SignedDuration;

/// Longest time that a flag takes; more is a slip of the finger.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Reads a length of time.
pub(crate) fn patience(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time such as 30s, 2m or 1h30m");
    let duration = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let signed: SignedDuration = text.parse().map_err(|_| wrong())?;
        Duration::try_from(signed).map_err(|_| wrong())?
    };
    if duration > LONGEST { Err(format!("{text:?} is longer than 30 days")) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_people_write_them() {
        for (text, seconds) in [("30", 30), ("30s", 30), ("2m", 120), ("1h30m", 5400), ("0", 0)] {
            assert_eq!(patience(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(patience("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "x", "-1s", "1000h", "99999999999"] {
            assert!(patience(wrong).is_err(), "{wrong}");
        }
    }
}
