//! Everything that stands between a call and its upstream, in one go.

use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::Criterion;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use spinlane_core::limit::{Answered, Budget, Call, LaneConfig, Limits, Orchestrator, Rate, Scope};
use spinlane_core::ports::{BodyStream, HttpClient, HttpError, Ports, Timeouts};
use spinlane_core::store::Store;
use spinlane_core::testing::World;

use crate::{FAST, FakeClock, STEP};

/// An upstream that costs as little as one can.
#[derive(Debug)]
struct Nobody;

impl HttpClient for Nobody {
    fn send(
        &self,
        request: http::Request<Bytes>,
        _: Timeouts,
    ) -> BoxFuture<'static, Result<http::Response<BodyStream>, HttpError>> {
        drop(request);
        async { Ok(http::Response::new(stream::empty().boxed())) }.boxed()
    }
}

fn ports(world: &World, clock: &FakeClock) -> Ports {
    Ports {
        clock: Arc::new(clock.clone()),
        http: Arc::new(Nobody),
        ..world.ports()
    }
}

fn limits(scope: Scope) -> Limits {
    Limits::default()
        .with_scope(scope)
        .with_rate(Rate::per_second(FAST), FAST.get())
        .with_lane("x", LaneConfig::new(100))
}

fn request() -> http::Request<Bytes> {
    http::Request::new(Bytes::new())
}

/// Drives what waits for nobody, and only gives others a turn now and then.
fn now<F: Future>(future: F) -> F::Output {
    let (mut future, waker) = (std::pin::pin!(future), Waker::noop());
    let mut context = Context::from_waker(waker);
    for _ in 0..1_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("nobody waits");
}

/// A call from the asking to the end of its body.
pub(crate) fn orchestrator(c: &mut Criterion) {
    let clock = FakeClock::default();
    let alone = ports(&World::new(), &clock).http;
    c.bench_function("orchestrator: the call alone, without limits", |b| {
        b.iter(|| {
            clock.advance(STEP);
            let sent = alone.send(black_box(request()), Timeouts::default());
            let response = now(sent).expect("it does nothing");
            now(response.into_body().next()).is_none()
        });
    });
    for (name, scope) in [
        ("this instance", Scope::Instance),
        ("all instances", Scope::Shared),
    ] {
        let world = World::new();
        let ports = ports(&world, &clock);
        let door = Orchestrator::new(limits(scope), &ports, &Store::open(&ports));
        let budget = Budget::new(u32::MAX);
        c.bench_function(&format!("orchestrator: a call, limits of {name}"), |b| {
            b.iter(|| {
                clock.advance(STEP);
                let call = Call::new("x", black_box(request()), budget.clone());
                let Answered { response, .. } = now(door.run(call)).expect("a call");
                let ended = now(response.into_body().next()).is_none();
                // The lease is given back by a task.
                if scope == Scope::Shared {
                    world.drain();
                }
                ended
            });
        });
    }
}
