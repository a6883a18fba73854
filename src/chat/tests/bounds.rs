//! What a run takes at most, however its upstream goes on.

use super::*;

/// The most that a run's frames take, as the README has it.
const MAX_FRAMES: usize = 8 * 1024 * 1024;

/// All bytes of a run whose upstream says `text` 100 times in each of its `reads`.
fn run_of(reads: usize, text: &str) -> Bytes {
    let read = Step::Write(delta(text).repeat(100));
    let world = streaming(vec![read; reads]);
    let app = app(&world, &[]);
    let bytes = world.run(async {
        let response = app.handle(hello()).await;
        response.into_body().collect().await.unwrap().to_bytes()
    });
    world.drain();
    bytes
}

/// Of plain text, and of text whose bytes take six each.
#[test]
fn an_answer_that_never_ends_is_cut() {
    for text in ["x".repeat(1_000), "\u{1}".repeat(1_000)] {
        let bytes = run_of(200, &text);
        assert!(bytes.len() <= MAX_FRAMES, "{}", bytes.len());
        // What the last read has brought may be lost as a whole.
        assert!(bytes.len() > MAX_FRAMES - 1024 * 1024, "{}", bytes.len());
        let frames = frames(&bytes);
        let cut = json!({"incomplete": true, "reason": "upstream_cut"});
        assert_eq!(last(&frames), ("done", &cut));
        assert_eq!(frames[frames.len() - 2].0, "usage");
    }
}

/// What has room is whole, to its last frame.
#[test]
fn an_answer_that_has_room_is_not_cut() {
    let frames = frames(&run_of(70, &"x".repeat(1_000)));
    assert_eq!(said(&frames).len(), 7_000);
}
