//! Our schedules and robfig/cron's, side by side: the same texts are taken, and they are due at the same seconds.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kakehi::schedule::{Schedule, Zones};

/// Random schedules, zones and instants that are compared, unless [`NUMBER`] says how many.
const CASES: usize = 10_000;
/// Environment variable with their number.
const NUMBER: &str = "KAKEHI_TEST_SCHEDULES";
/// Times of each.
const TIMES: usize = 2;
/// Where both sides find their time zones, so that neither has an older edition.
const ZONES: &str = "/usr/share/zoneinfo";

/// `SplitMix64`: cases that are the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// One line for the other side.
struct Case {
    schedule: String,
    zone: String,
    milliseconds: i64,
}

/// Least, greatest and names of each field; the bounds are overstepped now and then.
const FIELDS: [(u64, u64, &[&str]); 6] = [
    (0, 59, &[]),
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["JAN", "feb", "Mar", "DEC"]),
    (0, 6, &["SUN", "mon", "Wed", "SAT"]),
];

fn number(random: &mut Random, (least, most, names): (u64, u64, &[&str])) -> String {
    if !names.is_empty() && random.one_in(4) {
        return (*random.pick(names)).to_owned();
    }
    if random.one_in(200) {
        return (*random.pick(&[
            "99",
            "-1",
            "L",
            "",
            "7",
            "0",
            "+3",
            "08",
            "32",
            "1.5",
            "99999999999999999999",
        ]))
        .to_owned();
    }
    (least + random.below(most - least + 1)).to_string()
}

fn part(random: &mut Random, field: (u64, u64, &[&str])) -> String {
    let star = if random.one_in(5) { "?" } else { "*" };
    let low = number(random, field);
    match random.below(9) {
        0..=2 => low,
        3 => star.to_owned(),
        4 => format!("{star}/{}", random.below(field.1 + 5)),
        5 => format!("{low}/{}", random.below(field.1)),
        6 if random.one_in(30) => format!("{star}-{low}"),
        shape => {
            // In order, for the most part: a range that is refused compares nothing.
            let (a, b) = (number(random, field), number(random, field));
            let swap = matches!((a.parse::<u64>(), b.parse::<u64>()), (Ok(a), Ok(b)) if a > b);
            let (a, b) = if swap && !random.one_in(100) { (b, a) } else { (a, b) };
            if shape == 7 { format!("{a}-{b}") } else { format!("{a}-{b}/{}", 1 + random.below(9)) }
        }
    }
}

fn schedule(random: &mut Random) -> String {
    if random.one_in(25) {
        let named = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
        let odd = ["@every 5m", "@Daily", "@", " @daily", "@daily ", "", "* * * *", "* * * * * * *"];
        return (*if random.one_in(3) { random.pick(&odd) } else { random.pick(&named) }).to_owned();
    }
    let fields = if random.one_in(2) { &FIELDS[..] } else { &FIELDS[1..] };
    let mut words = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        // Dates are mostly left open, so that what is due is near: around the change of a clock, often.
        let is_date = index + 3 >= fields.len();
        if is_date && !random.one_in(4) {
            words.push((if random.one_in(4) { "?" } else { "*" }).to_owned());
            continue;
        }
        let parts: Vec<String> = (0..=random.below(3) / 2).map(|_| part(random, *field)).collect();
        words.push(parts.join(","));
    }
    words.join(if random.one_in(20) { "  " } else { " " })
}

/// Whether a zone moved over the date line and left out a day: there robfig hangs.
fn leaves_out_a_day(name: &str) -> bool {
    let zone = TimeZone::get(name).unwrap();
    let mut before = zone.to_offset(Timestamp::UNIX_EPOCH).seconds();
    let changes = zone.following(Timestamp::UNIX_EPOCH).take(300);
    let mut jumps = changes.map(|change| {
        let now = change.offset().seconds();
        now - std::mem::replace(&mut before, now)
    });
    jumps.any(|jump| jump > 20 * 3600)
}

fn cases(names: &[String], count: usize) -> Vec<Case> {
    let mut random = Random(20_261_128);
    let last = Timestamp::from_second(4_102_444_800).unwrap();
    let case = |_| {
        let name = random.pick(names).clone();
        let zone = TimeZone::get(&name).unwrap();
        let milliseconds = i64::try_from(random.below(last.as_millisecond().unsigned_abs())).unwrap();
        // Half of them within two days of a change of the clock.
        let instant = Timestamp::from_millisecond(milliseconds).unwrap();
        let milliseconds = match zone.following(instant).next() {
            Some(change) if random.one_in(2) && change.timestamp() < last => {
                let around = i64::try_from(random.below(2 * 86_400_000)).unwrap();
                change.timestamp().as_millisecond() - around
            }
            _ => milliseconds,
        };
        let schedule = schedule(&mut random);
        let (schedule, zone) = match random.below(40) {
            0..=4 => (format!("CRON_TZ={name} {schedule}"), String::new()),
            5..=7 => (format!("TZ={name}  {schedule}"), String::new()),
            8 => (format!("TZ={name} {schedule}"), name),
            9 => (format!("TZ={name}"), String::new()),
            10 => (schedule, name.to_lowercase()),
            11 => (
                schedule,
                (*random.pick(&["UTC+8", "Local", "Nowhere/At_All", "../UTC", " ", "Etc/Unknown"]))
                    .to_owned(),
            ),
            12..=14 => (schedule, String::new()),
            _ => (schedule, name),
        };
        Case { schedule, zone, milliseconds }
    };
    (0..count).map(case).collect()
}

/// Our line for a case.
fn answer(case: &Case, zones: &Zones) -> String {
    let Ok(schedule) = Schedule::parse(&case.schedule, &case.zone, zones) else {
        return "refused".to_owned();
    };
    let mut last = Timestamp::from_millisecond(case.milliseconds).unwrap();
    let mut words = Vec::new();
    for _ in 0..TIMES {
        let Some(next) = schedule.next(last) else {
            words.push("never".to_owned());
            break;
        };
        last = next;
        words.push(next.as_second().to_string());
    }
    words.join(" ")
}

/// Our lines, by as many threads as there are processors.
fn answers(cases: &[Case], zones: &Zones) -> Vec<String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let all = |part: &[Case]| part.iter().map(|case| answer(case, zones)).collect::<Vec<_>>();
        let parts = cases.chunks(cases.len().div_ceil(threads));
        let running: Vec<_> = parts.map(|part| scope.spawn(move || all(part))).collect();
        running.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}

/// The other side, or `None` with the reason where it cannot be built.
#[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
fn robfig() -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schedule");
    let go = |arguments: &[&str]| Command::new("go").args(arguments).current_dir(&sources).output();
    if !Path::new(ZONES).join("Europe/Berlin").exists() {
        println!("skipped: {ZONES} holds no time zones");
        return None;
    }
    // This reads every source that the build needs, so what cannot be had shows here and not as a build that fails.
    match go(&["list", "-deps", "."]) {
        Ok(listed) if listed.status.success() => {}
        Ok(listed) => {
            println!("skipped: the Go module cannot be had: {}", String::from_utf8_lossy(&listed.stderr));
            return None;
        }
        Err(error) => {
            println!("skipped: go cannot be run: {error}");
            return None;
        }
    }
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("robfig");
    let built = go(&["build", "-buildvcs=false", "-o", binary.to_str().unwrap(), "."]).unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(binary)
}

#[test]
fn robfigs_schedules_and_ours_are_due_at_the_same_times() {
    let Some(robfig) = robfig() else { return };
    let database = jiff::tz::db().clone();
    // Names that hold a list of leap seconds or a copy of all others are no zones of the calendar.
    let names: Vec<String> = database
        .available()
        .map(|name| name.as_str().to_owned())
        .filter(|name| Path::new(ZONES).join(name).exists() && !name.starts_with("right/"))
        .filter(|name| !leaves_out_a_day(name))
        .collect();
    assert!(names.len() > 300, "only {} time zones", names.len());
    let count = std::env::var(NUMBER).map_or(CASES, |number| number.parse().unwrap());
    let cases = cases(&names, count);
    let mut input = String::new();
    for Case { schedule, zone, milliseconds } in &cases {
        writeln!(input, "{schedule}\t{zone}\t{milliseconds}\t{TIMES}").unwrap();
    }
    let mut other = Command::new(robfig)
        .env("ZONEINFO", ZONES)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = other.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let reading = std::thread::spawn(move || other.wait_with_output());
    let zones = Zones::new(database, TimeZone::UTC);
    let ours = answers(&cases, &zones);
    let theirs = reading.join().unwrap().unwrap();
    writing.join().unwrap().unwrap();
    assert!(theirs.status.success());
    let theirs: Vec<&str> = std::str::from_utf8(&theirs.stdout).unwrap().lines().collect();
    assert_eq!(theirs.len(), cases.len());
    let mut differences = Vec::new();
    for ((case, ours), theirs) in cases.iter().zip(&ours).zip(&theirs) {
        if ours != theirs {
            let Case { schedule, zone, milliseconds } = case;
            differences
                .push(format!("{schedule:?} {zone:?} after {milliseconds}: ours {ours}, robfig's {theirs}"));
        }
    }
    let taken = ours.iter().filter(|ours| *ours != "refused").count();
    assert!(taken > count / 2 && taken < count, "{taken} were taken");
    assert!(
        differences.is_empty(),
        "{}:\n{}",
        differences.len(),
        differences[..differences.len().min(20)].join("\n")
    );
}
