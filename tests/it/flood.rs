//! Many events at once: every one is taken, the runs under way stay within their bound, and all of them end.
//!
//! The full figure, 13,000 in a minute, is the bench `flood`.

#[path = "../bench/flood_scene.rs"]
mod scene;

use std::time::Duration;

use self::scene::Flood;
use self::scene::pour;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_taken_bounded_and_ends() {
    let flood = Flood { events: 400, pause: None, live: 20, deadline: Duration::from_secs(240) };
    let tide = pour(flood).await.unwrap();
    assert!(tide.accepted < tide.finished, "they were not all there before the last had run: {tide:?}");
    assert_eq!((tide.answers.len(), tide.runs), (flood.events, flood.events));
    assert!(tide.most_live <= flood.live, "{} at a time", tide.most_live);
    assert!(tide.most_live >= flood.live / 2, "they did not run side by side: {}", tide.most_live);
}
