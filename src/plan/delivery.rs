//! How hard the delivery of an event is tried: what an answer means, and what follows (Knative's `DeliverySpec`).

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use crate::api::{BackoffPolicy, Completion, Delivery, Destination};

/// Repetitions, first pause and time of an attempt, where nothing is said: those of Knative's Brokers, some 200 s in all.
const RETRY: u32 = 10;
const DELAY: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest pause, so that every delivery ends within days, and longest attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);
/// Longest pause that a destination can ask for.
const LONGEST_WISH: Duration = Duration::from_secs(300);

/// What a destination said, or why it said nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A status, and after how many seconds it may be asked again, if it says so.
    Status(u16, Option<u64>),
    /// Nothing, and that may pass.
    Silence,
    /// It is no destination, and will not become one.
    Nowhere,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is delivered.
    Done,
    /// Another attempt after that pause.
    Again(Duration),
    /// Nothing more is tried here.
    GiveUp,
}

/// How hard a delivery is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryTerms {
    retry: u32,
    policy: BackoffPolicy,
    delay: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
}

impl DeliveryTerms {
    /// What `completion` asks for.
    pub fn of(completion: &Completion) -> Self {
        let Delivery { retry, backoff_policy, backoff_delay, timeout, dead_letter_sink: _ } =
            completion.delivery.clone().unwrap_or_default();
        Self {
            retry: retry.map_or(RETRY, |retry| u32::try_from(retry).unwrap_or(0)),
            policy: backoff_policy.unwrap_or_default(),
            delay: duration(backoff_delay.as_deref(), DELAY).min(LONGEST_PAUSE),
            timeout: duration(timeout.as_deref(), TIMEOUT).clamp(Duration::from_millis(1), LONGEST_TIMEOUT),
        }
    }

    /// What follows the `attempts`th attempt, counted from 1. `random` spreads pauses by up to an eighth, so that what
    /// failed together does not come again together.
    pub fn next(&self, answer: Answer, attempts: u32, random: u8) -> Next {
        let wish = match answer {
            Answer::Status(200..=299, _) => return Next::Done,
            Answer::Status(429 | 503, wish) => wish.map_or(Duration::ZERO, Duration::from_secs),
            Answer::Status(404 | 408 | 409 | 500.., _) | Answer::Silence => Duration::ZERO,
            Answer::Status(..) | Answer::Nowhere => return Next::GiveUp,
        };
        if attempts > self.retry {
            return Next::GiveUp;
        }
        let before = attempts.saturating_sub(1);
        let factor = match self.policy {
            BackoffPolicy::Linear => before + 1,
            BackoffPolicy::Exponential => 1 << before.min(24),
        };
        let pause = self.delay.saturating_mul(factor).min(LONGEST_PAUSE);
        let spread = pause + pause.mul_f64(f64::from(random) / 2048.0);
        Next::Again(spread.max(wish.min(LONGEST_WISH)))
    }
}

/// Where an event goes that could not be delivered.
pub fn dead_letters(completion: &Completion) -> Option<&Destination> {
    completion.delivery.as_ref()?.dead_letter_sink.as_ref()
}

/// A duration as ISO 8601 has it. The form was checked when the Job was written; what is too long to be read is long.
fn duration(text: Option<&str>, usual: Duration) -> Duration {
    let Some(text) = text else { return usual };
    match text.parse::<SignedDuration>().map(Duration::try_from) {
        Ok(Ok(duration)) => duration,
        _ => LONGEST_PAUSE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(delivery: &str) -> DeliveryTerms {
        let delivery: Delivery = serde_saphyr::from_str(delivery).unwrap();
        DeliveryTerms::of(&Completion { delivery: Some(delivery), ..Completion::default() })
    }

    fn pauses(terms: &DeliveryTerms) -> Vec<u128> {
        let again = |attempts| match terms.next(Answer::Silence, attempts, 0) {
            Next::Again(pause) => Some(pause.as_millis()),
            Next::Done | Next::GiveUp => None,
        };
        (1..).map_while(again).collect()
    }

    #[test]
    fn pauses_grow_as_the_policy_says_and_end() {
        assert_eq!(pauses(&terms("{retry: 4, backoffDelay: PT0.5S}")), [500, 1000, 2000, 4000]);
        let linear = "{retry: 3, backoffPolicy: linear, backoffDelay: PT1M}";
        assert_eq!(pauses(&terms(linear)), [60_000, 120_000, 180_000]);
        assert_eq!(pauses(&terms("{retry: 0}")), [0_u128; 0]);
        let usual = pauses(&DeliveryTerms::of(&Completion::default()));
        assert_eq!((usual.len(), usual.iter().sum::<u128>()), (10, 204_600), "what a Broker does");
        let most = pauses(&terms("{retry: 100, backoffDelay: PT99999999999999999999999H}"));
        assert!(most.len() == 100 && most.iter().all(|pause| *pause == 3_600_000));
    }

    #[test]
    fn an_answer_says_whether_it_is_tried_again() {
        let terms = terms("{retry: 5, backoffDelay: PT1S}");
        let next = |status| terms.next(Answer::Status(status, None), 1, 0);
        for status in [200, 202, 204, 299] {
            assert_eq!(next(status), Next::Done, "{status}");
        }
        for status in [404, 408, 409, 429, 500, 501, 503, 599] {
            assert_eq!(next(status), Next::Again(Duration::from_secs(1)), "{status}");
        }
        for status in [100, 302, 400, 401, 403, 410, 413, 415, 422, 425] {
            assert_eq!(next(status), Next::GiveUp, "{status}");
        }
        assert_eq!(terms.next(Answer::Nowhere, 1, 0), Next::GiveUp);
        assert_eq!(terms.next(Answer::Silence, 6, 0), Next::GiveUp);
    }

    #[test]
    fn a_destination_may_ask_for_time_within_reason() {
        let terms = terms("{backoffDelay: PT2S}");
        let after = |status, seconds| terms.next(Answer::Status(status, Some(seconds)), 1, 0);
        assert_eq!(after(429, 30), Next::Again(Duration::from_secs(30)));
        assert_eq!(after(503, 1), Next::Again(Duration::from_secs(2)), "not less than the pause");
        assert_eq!(after(503, 1_000_000), Next::Again(LONGEST_WISH));
        assert_eq!(after(500, 30), Next::Again(Duration::from_secs(2)));
    }

    #[test]
    fn pauses_are_spread() {
        let terms = terms("{backoffDelay: PT8S}");
        let Next::Again(pause) = terms.next(Answer::Silence, 1, 255) else { panic!("it is tried again") };
        assert!(pause > Duration::from_millis(8900) && pause < Duration::from_secs(9), "{pause:?}");
    }

    #[test]
    fn an_attempt_has_its_time() {
        assert_eq!(terms("{timeout: PT1.5S}").timeout, Duration::from_millis(1500));
        assert_eq!(terms("{timeout: PT2H}").timeout, LONGEST_TIMEOUT);
        assert_eq!(terms("{timeout: PT0S}").timeout, Duration::from_millis(1));
        assert_eq!(terms("{}").timeout, TIMEOUT);
    }
}
