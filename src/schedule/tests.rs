//! What is written, what is refused and in which words, and when it is due: by the calendar, and where clocks are changed.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

fn zones() -> Zones {
    Zones::new(jiff::tz::db().clone(), TimeZone::UTC)
}

fn parse(schedule: &str) -> Result<Schedule, Error> {
    Schedule::parse(schedule, "", &zones())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next times, as its own clock shows them with the offset from UTC.
fn times(schedule: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(schedule, zone, &zones()).unwrap();
    let times = std::iter::successors(schedule.next(at(after)), |last| schedule.next(*last)).take(count);
    times.map(|time| time.to_zoned(schedule.zone.clone()).strftime("%F %T %:z").to_string()).collect()
}

fn refusal(schedule: &str, zone: &str) -> String {
    Schedule::parse(schedule, zone, &zones()).unwrap_err().to_string()
}

#[test]
fn what_can_be_written() {
    // Each with the first two times after Wednesday the 1st of January 2025, 00:00 UTC.
    let table = [
        ("* * * * *", "2025-01-01 00:01:00", "2025-01-01 00:02:00"),
        ("*/10 * * * * *", "2025-01-01 00:00:10", "2025-01-01 00:00:20"),
        ("0 * * * * *", "2025-01-01 00:01:00", "2025-01-01 00:02:00"),
        ("? ? ? ? ? ?", "2025-01-01 00:00:01", "2025-01-01 00:00:02"),
        ("15,45 9-17/4 * * *", "2025-01-01 09:15:00", "2025-01-01 09:45:00"),
        ("7/20 * * * *", "2025-01-01 00:07:00", "2025-01-01 00:27:00"),
        ("0 0 1 feb,Apr *", "2025-02-01 00:00:00", "2025-04-01 00:00:00"),
        ("0 12 * * MON-tue", "2025-01-06 12:00:00", "2025-01-07 12:00:00"),
        ("0 0 * * 0", "2025-01-05 00:00:00", "2025-01-12 00:00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00:00", "2032-02-29 00:00:00"),
        ("@hourly", "2025-01-01 01:00:00", "2025-01-01 02:00:00"),
        ("@daily", "2025-01-02 00:00:00", "2025-01-03 00:00:00"),
        ("@midnight", "2025-01-02 00:00:00", "2025-01-03 00:00:00"),
        ("@weekly", "2025-01-05 00:00:00", "2025-01-12 00:00:00"),
        ("@monthly", "2025-02-01 00:00:00", "2025-03-01 00:00:00"),
        ("@yearly", "2026-01-01 00:00:00", "2027-01-01 00:00:00"),
        ("@annually", "2026-01-01 00:00:00", "2027-01-01 00:00:00"),
        // As robfig reads them.
        ("+5,,007 * * * *", "2025-01-01 00:05:00", "2025-01-01 00:07:00"),
        ("30 6 ? * ?", "2025-01-01 06:30:00", "2025-01-02 06:30:00"),
        ("0/100 0 * * *", "2025-01-02 00:00:00", "2025-01-03 00:00:00"),
    ];
    for (schedule, first, second) in table {
        let found = times(schedule, "", "2025-01-01T00:00:00Z", 2);
        assert_eq!(found, [format!("{first} +00:00"), format!("{second} +00:00")], "{schedule}");
    }
}

#[test]
fn a_refusal_names_the_field_and_what_was_expected() {
    let count = "where five are expected (minute, hour, day of month, month, day of week), or six with the second in front";
    let table = [
        ("", format!("0 fields {count}")),
        ("hourly", format!("one field {count}")),
        ("* * * * * * *", format!("7 fields {count}")),
        ("60 * * * *", "minute: `60` is not from 0 to 59".to_owned()),
        ("61 0 * * * *", "second: `61` is not from 0 to 59".to_owned()),
        ("* 24 * * *", "hour: `24` is not from 0 to 23".to_owned()),
        ("* * 0 * *", "day of month: `0` is not from 1 to 31".to_owned()),
        ("* * * 13 *", "month: `13` is not from 1 to 12".to_owned()),
        ("* * * * 7", "day of week: `7` is not from 0 to 6 (SUN to SAT)".to_owned()),
        ("* * * JANUARY *", "month: `JANUARY` is neither a number nor a name from JAN to DEC".to_owned()),
        ("* * * * L", "day of week: `L` is neither a number nor a name from SUN to SAT".to_owned()),
        ("x * * * *", "minute: `x` is not a number".to_owned()),
        ("1,-2 * * * *", "minute: `-2` is not a number".to_owned()),
        ("* 5-2 * * *", "hour: `5-2` ends before it begins".to_owned()),
        ("* * * * FRI-MON", "day of week: `FRI-MON` ends before it begins".to_owned()),
        ("*/0 * * * *", "minute: `*/0` has a step of zero".to_owned()),
        ("*/x * * * *", "minute: `*/x` has a step that is not a number".to_owned()),
        ("*/-5 * * * *", "minute: `*/-5` has a step that is not a number".to_owned()),
        ("1-2-3 * * * *", "minute: `1-2-3` has more than one hyphen".to_owned()),
        ("*/1/2 * * * *", "minute: `*/1/2` has more than one slash".to_owned()),
        ("@every 5m", "@every is not supported; write a step, such as */5 in the field of the minutes".to_owned()),
        (
            "@Daily",
            "@Daily is not known; there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"
                .to_owned(),
        ),
        ("TZ=UTC", "a schedule is expected after the time zone, and a space between them".to_owned()),
    ];
    for (schedule, words) in table {
        assert_eq!(refusal(schedule, ""), words, "{schedule:?}");
    }
    let long = refusal(&format!("{}\u{7} * * * *", "é".repeat(39)), "");
    assert_eq!(long, format!("minute: `{}\u{fffd}` is not a number", "é".repeat(39)));
}

#[test]
fn a_time_zone_stands_beside_the_schedule_or_in_front_of_it() {
    let nine = ["2025-01-01 09:00:00 +09:00", "2025-01-02 09:00:00 +09:00"];
    for (schedule, zone) in
        [("0 9 * * *", "Asia/Tokyo"), ("CRON_TZ=Asia/Tokyo 0 9 * * *", ""), ("TZ=Asia/Tokyo  0 9 * * *", "")]
    {
        assert_eq!(times(schedule, zone, "2024-12-31T23:00:00Z", 2), nine, "{schedule} {zone}");
    }
    assert_eq!(times("TZ=Asia/Tokyo @daily", "", "2025-01-01T00:00:00Z", 1), ["2025-01-02 00:00:00 +09:00"]);
    let iana = "; names are those of the IANA database, such as Asia/Tokyo or UTC";
    let table = [
        ("0 9 * * *", "Asia/Edo", format!("Asia/Edo is no time zone{iana}")),
        ("0 9 * * *", "UTC+8", format!("UTC+8 is no time zone{iana}")),
        ("0 9 * * *", "America/New York", format!("America/New is no time zone{iana}")),
        ("0 9 * * *", "asia/tokyo", "asia/tokyo is no time zone; it is written Asia/Tokyo".to_owned()),
        ("0 9 * * *", "utc", "utc is no time zone; it is written UTC".to_owned()),
        (
            "TZ=UTC 0 9 * * *",
            "Asia/Tokyo",
            "the time zone is given twice: in front of the schedule and beside it".to_owned(),
        ),
    ];
    for (schedule, zone, words) in table {
        assert_eq!(refusal(schedule, zone), words);
    }
    // A schedule that names none follows the clock that it is given, and one may say so.
    let zones = Zones::new(jiff::tz::db().clone(), TimeZone::get("Europe/Berlin").unwrap());
    for text in ["0 9 * * *", "TZ=Local 0 9 * * *"] {
        let schedule = Schedule::parse(text, "", &zones).unwrap();
        assert_eq!(schedule.next(at("2025-07-01T00:00:00Z")), Some(at("2025-07-01T07:00:00Z")));
    }
}

#[test]
fn a_machine_without_time_zones_uses_those_of_the_program() {
    let none = Zones::new(jiff::tz::TimeZoneDatabase::none(), TimeZone::UTC);
    let schedule = Schedule::parse("30 2 * * *", "Europe/Berlin", &none).unwrap();
    assert_eq!(schedule.next(at("2025-03-29T02:00:00Z")), Some(at("2025-03-31T00:30:00Z")));
    let words = Schedule::parse("* * * * *", "europe/berlin", &none).unwrap_err().to_string();
    assert_eq!(words, "europe/berlin is no time zone; it is written Europe/Berlin");
    assert!(Schedule::parse("* * * * *", "Europe/Atlantis", &none).is_err());
}

#[test]
fn a_day_of_the_month_and_a_day_of_the_week_are_either_of_them() {
    let days = |schedule: &str| -> Vec<String> {
        let times = times(schedule, "", "2025-06-01T00:00:00Z", 4);
        times.into_iter().map(|time| time.get(5..10).unwrap().to_owned()).collect()
    };
    // Fridays, and the 13th.
    assert_eq!(days("0 12 13 * 5"), ["06-06", "06-13", "06-20", "06-27"]);
    assert_eq!(days("0 12 14 * 5"), ["06-06", "06-13", "06-14", "06-20"]);
    // Where one of them is `*` the other decides, and `*/1` is `*`; any other step names days.
    assert_eq!(days("0 12 */1 * 5"), ["06-06", "06-13", "06-20", "06-27"]);
    assert_eq!(days("0 12 */14 * 5"), ["06-01", "06-06", "06-13", "06-15"]);
    assert_eq!(days("0 12 14 * 0-6"), ["06-01", "06-02", "06-03", "06-04"]);
}

#[test]
fn a_time_that_the_clock_skips_does_not_come() {
    // New York, 9 March 2025: 02:00 becomes 03:00.
    assert_eq!(
        times("30 2 * * *", "America/New_York", "2025-03-08T12:00:00Z", 2),
        ["2025-03-10 02:30:00 -04:00", "2025-03-11 02:30:00 -04:00"]
    );
    assert_eq!(
        times("*/30 * * * *", "America/New_York", "2025-03-09T06:15:00Z", 3),
        ["2025-03-09 01:30:00 -05:00", "2025-03-09 03:00:00 -04:00", "2025-03-09 03:30:00 -04:00"]
    );
    // Half an hour only, on Lord Howe Island: 02:00 becomes 02:30.
    assert_eq!(
        times("0,15,45 2 * * *", "Australia/Lord_Howe", "2025-10-04T14:00:00Z", 2),
        ["2025-10-05 02:45:00 +11:00", "2025-10-06 02:00:00 +11:00"]
    );
    // Samoa had no 30th of December 2011.
    assert_eq!(
        times("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 2),
        ["2011-12-29 12:00:00 -10:00", "2011-12-31 12:00:00 +14:00"]
    );
}

#[test]
fn a_time_that_the_clock_shows_twice_comes_twice() {
    // New York, 2 November 2025: 02:00 becomes 01:00.
    assert_eq!(
        times("30 1 * * *", "America/New_York", "2025-11-01T12:00:00Z", 3),
        ["2025-11-02 01:30:00 -04:00", "2025-11-02 01:30:00 -05:00", "2025-11-03 01:30:00 -05:00"]
    );
    assert_eq!(
        times("*/30 1 * * *", "Europe/London", "2025-10-25T23:30:00Z", 4),
        [
            "2025-10-26 01:00:00 +01:00",
            "2025-10-26 01:30:00 +01:00",
            "2025-10-26 01:00:00 +00:00",
            "2025-10-26 01:30:00 +00:00"
        ]
    );
}

#[test]
fn a_midnight_that_does_not_exist_is_robfigs() {
    // São Paulo, 4 November 2018: 00:00 becomes 01:00.
    assert_eq!(
        times("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 1),
        ["2018-11-05 00:00:00 -02:00"]
    );
    assert_eq!(
        times("0 5 4 11 *", "America/Sao_Paulo", "2018-11-01T12:00:00Z", 1),
        ["2018-11-04 05:00:00 -02:00"]
    );
    // East of Greenwich it loses the day: Cairo, 25 April 2025.
    assert_eq!(
        times("0 5 25 4 *", "Africa/Cairo", "2025-04-01T12:00:00Z", 1),
        ["2026-04-25 05:00:00 +03:00"]
    );
}

#[test]
fn a_day_that_a_zone_left_out_is_passed_over() {
    // Samoa had no 30th of December 2011; robfig never comes back from here.
    assert_eq!(
        times("0 0 1 1 *", "Pacific/Apia", "2011-12-28T12:00:00Z", 2),
        ["2012-01-01 00:00:00 +14:00", "2013-01-01 00:00:00 +14:00"]
    );
    assert_eq!(
        times("0 6 30 * *", "Pacific/Apia", "2011-12-01T12:00:00Z", 1),
        ["2012-01-30 06:00:00 +14:00"]
    );
    assert_eq!(
        times("0 0 1 * *", "Pacific/Kwajalein", "1993-08-19T12:00:00Z", 1),
        ["1993-09-01 00:00:00 +12:00"]
    );
}

#[test]
fn what_never_comes_ends() {
    for schedule in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", ", * * * *", "0 0 0 * * , "] {
        let parsed = parse(schedule).unwrap();
        let next = parsed.next(at("2025-01-01T00:00:00Z"));
        assert!(next.is_none() || schedule.ends_with(", "), "{schedule}: {next:?}");
    }
    // Between 2096 and 2104 there are more than five years without a leap day.
    let leap = parse("0 0 29 2 *").unwrap();
    assert_eq!(leap.next(at("2096-02-29T00:00:00Z")), None);
    assert_eq!(leap.next(at("2099-03-01T00:00:00Z")), Some(at("2104-02-29T00:00:00Z")));
    assert_eq!(parse("* * * * *").unwrap().next(Timestamp::MAX), None);
}

#[test]
fn fractions_of_a_second_are_left_behind() {
    let every = parse("* * * * * *").unwrap();
    for (after, next) in [
        ("2025-01-01T00:00:00Z", "2025-01-01T00:00:01Z"),
        ("2025-01-01T00:00:00.999999999Z", "2025-01-01T00:00:01Z"),
        ("1969-12-31T23:59:58.5Z", "1969-12-31T23:59:59Z"),
        ("1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00Z"),
    ] {
        assert_eq!(every.next(at(after)), Some(at(next)), "{after}");
    }
}

/// A field as somebody might write it, within its bounds.
fn field(least: u8, most: u8) -> impl Strategy<Value = String> {
    let number = move || least..=most;
    let range = (number(), number()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    let one = prop_oneof![
        Just("*".to_owned()),
        number().prop_map(|number| number.to_string()),
        range.clone(),
        (number(), 1..20_u8).prop_map(|(start, step)| format!("{start}/{step}")),
        (range, 1..20_u8).prop_map(|(range, step)| format!("{range}/{step}")),
        (1..20_u8).prop_map(|step| format!("*/{step}")),
    ];
    prop::collection::vec(one, 1..3).prop_map(|parts| parts.join(","))
}

fn schedule() -> impl Strategy<Value = String> {
    (field(0, 59), field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6))
        .prop_map(|(a, b, c, d, e, f)| format!("{a} {b} {c} {d} {e} {f}"))
}

/// Zones without a change at midnight, where the calendar is plain.
fn zone() -> impl Strategy<Value = &'static str> {
    let names =
        ["UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"];
    prop::sample::select(names.to_vec())
}

/// Whether all fields let pass what the clock shows.
fn matches(schedule: &Schedule, local: DateTime) -> bool {
    let Fields { second, minute, hour, day_of_month: _, month, day_of_week: _ } = &schedule.fields;
    second.has(local.second())
        && minute.has(local.minute())
        && hour.has(local.hour())
        && month.has(local.month())
        && schedule.fields.has_day(local.day(), local.weekday().to_sunday_zero_offset())
}

proptest! {
    #[test]
    fn the_next_time_matches_and_lies_ahead(text in schedule(), zone in zone(), second in 0_i64..4_000_000_000) {
        let schedule = Schedule::parse(&text, zone, &zones()).unwrap();
        let after = Timestamp::from_second(second).unwrap();
        if let Some(next) = schedule.next(after) {
            prop_assert!(next > after);
            prop_assert!(matches(&schedule, schedule.zone.to_datetime(next)), "{next}");
        }
    }

    /// Every second is looked at, so it is a quarter of an hour.
    #[test]
    fn nothing_in_between_is_left_out(text in schedule(), zone in zone(), second in 0_i64..4_000_000_000) {
        let schedule = Schedule::parse(&text, zone, &zones()).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let plain = (second + 1..=second + 900).find(|second| matches(&schedule, schedule.zone.to_datetime(at(*second))));
        let next = schedule.next(at(second)).map(Timestamp::as_second).filter(|next| *next <= second + 900);
        prop_assert_eq!(next, plain);
    }

    #[test]
    fn no_text_is_too_odd(text in "(TZ=|CRON_TZ=|@)?[ -~éL]{0,30}", zone in "[A-Za-z/ ]{0,8}") {
        let zones = zones();
        match Schedule::parse(&text, &zone, &zones) {
            Ok(schedule) => drop(schedule.next(Timestamp::UNIX_EPOCH)),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
