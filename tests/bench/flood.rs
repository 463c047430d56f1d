//! 13,000 events in a minute: how many `batch/v1` Jobs there are at a time, how soon the sink answers, and when every run has
//! ended.
//!
//! `cargo bench --bench flood`. Everything is one process; tasks end without running (see `flood_scene`), so this measures
//! what stands around them.

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

mod flood_scene;

use std::time::Duration;

use crate::flood_scene::{Flood, pour};

const EVENTS: usize = 13_000;
const MINUTE: Duration = Duration::from_secs(60);
/// Runs that may be under way: a cluster of moderate size.
const LIVE: usize = 200;
/// No measurement takes longer.
const DEADLINE: Duration = Duration::from_secs(900);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let pause = MINUTE / u32::try_from(EVENTS)?;
    let mut tide = pour(Flood { events: EVENTS, pause: Some(pause), live: LIVE, deadline: DEADLINE }).await?;
    tide.answers.sort_unstable();
    let at = |share: usize| tide.answers[(tide.answers.len() - 1) * share / 1000];
    println!(
        "{} events accepted in {:.1?}: answers p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}",
        tide.answers.len(),
        tide.accepted,
        at(500),
        at(990),
        at(999)
    );
    println!("{} runs ended after {:.1?}", tide.runs, tide.finished);
    println!("batch Jobs under way: {} at most, of {LIVE} that may be", tide.most_live);
    anyhow::ensure!(tide.runs == EVENTS && tide.most_live <= LIVE, "a bound was exceeded, or a run lost");
    Ok(())
}
