//! How many runs have their tasks made at the same time: as many as the API server takes well.
//!
//! A window that grows by one for every round of quick answers and halves when an answer is late, or says that it is too
//! much (429, 503, none at all): additive increase, multiplicative decrease, as TCP does (RFC 5681 §3.1). So many controllers
//! and other clients share an API server without knowing of each other. That an API server asks to be left alone
//! (`Retry-After`) is heeded below, by [`Manners`](crate::manners::Manners); here it shows as a late answer.

use std::time::{Duration, Instant};

/// The window to begin with: as many steps as are taken at the same time.
const FIRST: f64 = 16.0;
/// Smallest window: something must be tried for the window to grow again.
const LEAST: f64 = 2.0;
/// Largest window. More would only wait for each other.
const MOST: f64 = 64.0;
/// A run's objects are made in some milliseconds where nobody has to wait; within this time more can be asked for.
const QUICK: Duration = Duration::from_millis(500);
/// After this time it is too much.
const LATE: Duration = Duration::from_secs(2);

/// What an API server's answer says about how busy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It did it.
    Taken,
    /// It cannot, for now.
    Overloaded,
    /// Nothing: it refused, which costs it nothing.
    Else,
}

/// The window.
#[derive(Debug)]
pub(super) struct Pace {
    window: f64,
    /// When it was last halved.
    halved: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { window: FIRST, halved: None }
    }
}

impl Pace {
    /// How many runs may have their tasks made at the same time.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 2 and 64")]
    pub(super) fn room(&self) -> usize {
        self.window as usize
    }

    /// An answer came at `now`, after that time.
    pub(super) fn answered(&mut self, answer: Answer, took: Duration, now: Instant) {
        let is_late = took >= LATE;
        match answer {
            Answer::Overloaded => self.halve(took, now),
            Answer::Taken | Answer::Else if is_late => self.halve(took, now),
            Answer::Taken if took < QUICK => self.window = (self.window + 1.0 / self.window).min(MOST),
            Answer::Taken | Answer::Else => {}
        }
    }

    /// Halves the window, once for everything that was asked before it was halved.
    fn halve(&mut self, took: Duration, now: Instant) {
        let asked = now.checked_sub(took);
        if self.halved.is_some_and(|halved| asked.is_none_or(|asked| asked < halved)) {
            return;
        }
        self.window = (self.window / 2.0).max(LEAST);
        self.halved = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(5);

    #[test]
    fn quick_answers_widen_the_window_by_one_a_round_up_to_a_bound() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let round =
            |pace: &mut Pace| (0..pace.room()).for_each(|_| pace.answered(Answer::Taken, MOMENT, now));
        assert_eq!(pace.room(), 16);
        round(&mut pace);
        round(&mut pace);
        assert!((17..=18).contains(&pace.room()), "{pace:?}");
        (0..100).for_each(|_| round(&mut pace));
        assert_eq!(pace.room(), 64);
    }

    #[test]
    fn an_overloaded_server_halves_it_once_for_what_was_asked_at_the_same_time() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for _ in 0..16 {
            pace.answered(Answer::Overloaded, MOMENT, now + MOMENT);
        }
        assert_eq!(pace.room(), 8);
        pace.answered(Answer::Overloaded, MOMENT, now + MOMENT * 3);
        assert_eq!(pace.room(), 4);
        for round in 2..20 {
            pace.answered(Answer::Taken, LATE, now + LATE * round);
        }
        assert_eq!(pace.room(), 2, "never less");
    }

    #[test]
    fn answers_that_are_neither_quick_nor_late_and_refusals_change_nothing() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.answered(Answer::Taken, QUICK, now);
        pace.answered(Answer::Else, MOMENT, now);
        assert_eq!(pace.room(), 16);
        pace.answered(Answer::Else, LATE, now);
        assert_eq!(pace.room(), 8, "one that took long says so, whatever it says");
    }
}
