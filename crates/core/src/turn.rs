//! A turn for others: the guest has one thread, and no task is interrupted.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use futures::future::select;

use super::ports::{Clock, Spawner};

/// Resolves when all tasks that are ready now have had a turn.
pub fn for_others() -> impl Future<Output = ()> + Send {
    let mut waited = false;
    poll_fn(move |cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        // Those who are woken go on in the order in which they were.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Resolves when nothing else is ready, whom the host has woken included, or after `most`:
/// before a call that may hold the guest up, and does not matter at once.
pub async fn when_idle(spawner: &dyn Spawner, clock: &dyn Clock, most: Duration) {
    select(spawner.idle(), clock.sleep(most)).await;
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn it_takes_one_turn() {
        let mut turn = Box::pin(for_others());
        assert_eq!(turn.as_mut().now_or_never(), None);
        assert_eq!(turn.now_or_never(), Some(()));
    }
}
