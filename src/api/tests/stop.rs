//! Stops find their runs.

use std::time::Duration;

use axum::body::Body;
use futures::future::join;
use http::Request;

use crate::frames;
use crate::testing::Stage;
use spinlane_core::ports::Clock;
use spinlane_http::run::stop;

/// Counting the stop finds the store slow, and so does the run that looks.
#[test]
fn a_slow_store_stops_runs_all_the_same() {
    let stage = Stage::new(&[], |_| unreachable!("nobody is asked"));
    let (clock, run) = (&stage.world.clock, "0".repeat(32));
    stage
        .world
        .store
        .slow_down(clock, Duration::from_millis(300));
    let runs = frames::runs(&stage.app);
    let (there, begin) = (stage.api(), clock.now());
    let stop = async {
        clock.sleep(Duration::from_secs(2)).await;
        let path = format!("/api/chat-stream/{run}/stop");
        let request = Request::post(path).body(Body::empty()).unwrap();
        assert_eq!(there.handle(request).await.status(), 204);
    };
    stage.world.run(join(stop::stopped(&runs, &run), stop));
    let took = clock.now() - begin;
    assert!(took < Duration::from_secs(5), "{took:?}");
}
