//! A run that is a function, for applications whose work needs no state of its own.

use std::future::Future;
use std::sync::Arc;

use axum::response::Response;
use futures::FutureExt;

use super::{Frames, Output, Run, RunEnd, Runs, Waits, Work, start};
use crate::context::RequestContext;
use spinlane_core::ports::BoxFuture;

/// Answers with a stream at once, and runs `work` to feed it: with the request's scope
/// and span, a heartbeat where it is silent, `usage` and one terminal frame at the end
/// (an `error` after a panic, too), and a line in the log.
///
/// `work` is given where to write, and whom upstream calls tell that they wait.
/// `Ok` is a whole answer. It is dropped wherever it is when the client goes, when the
/// run is stopped, and at its deadline, and with it the upstream calls that it makes;
/// what is to be done in any case belongs before it, or to
/// [`Spawner::after_response`](spinlane_core::ports::Spawner::after_response).
///
/// ```
/// use std::sync::Arc;
///
/// use axum::Extension;
/// use axum::body::Body;
/// use axum::routing::get;
/// use http::Request;
/// use http_body_util::BodyExt;
/// use spinlane_core::testing::World;
/// use spinlane_http::context::RequestContext;
/// use spinlane_http::run::plain::Plain;
/// use spinlane_http::run::{self, RunEnd, Output, Run, Runs};
/// use spinlane_http::stack::{self, Stack};
///
/// async fn count(output: Output<Plain>) -> Result<(), RunEnd<Plain>> {
///     for number in 1..=3 {
///         output.say(&number.to_string()).await?;
///     }
///     Ok(())
/// }
///
/// let world = World::new();
/// let ports = world.ports();
/// let runs = Runs::new(&ports.clock, &ports.spawner);
/// let entropy = ports.entropy.clone();
/// let handler = move |Extension(context): Extension<RequestContext>| async move {
///     run::serve(&runs, &context, Run::new(&*entropy), |output, _| count(output))
/// };
/// let routes = stack::routes().route("/", get(handler));
/// let stack = Stack::new(&ports, 50, |_| None);
///
/// let request = Request::get("/").body(Body::empty()).unwrap();
/// let answer = world.run(stack.answer(routes, request));
/// let stream = world.run(answer.into_body().collect()).unwrap().to_bytes();
/// let stream = String::from_utf8_lossy(&stream);
/// assert!(stream.contains("data: {\"type\":\"content\",\"data\":\"3\"}\n\n"));
/// assert!(stream.ends_with("data: {\"type\":\"done\",\"data\":null}\n\n"));
/// ```
pub fn serve<F, W, D>(runs: &Runs, context: &RequestContext, run: Run, work: W) -> Response
where
    F: Frames,
    W: FnOnce(Output<F>, Arc<Waits<F>>) -> D + Send + 'static,
    D: Future<Output = Result<(), RunEnd<F>>> + Send + 'static,
{
    start(runs, context, run, Once(Some(work)), None)
}

/// Work that is done once.
struct Once<W>(Option<W>);

impl<F, W, D> Work<F> for Once<W>
where
    F: Frames,
    W: FnOnce(Output<F>, Arc<Waits<F>>) -> D + Send + 'static,
    D: Future<Output = Result<(), RunEnd<F>>> + Send + 'static,
{
    fn work<'a>(
        &'a mut self,
        output: &'a Output<F>,
        waits: &'a Arc<Waits<F>>,
    ) -> BoxFuture<'a, RunEnd<F>> {
        let Some(work) = self.0.take() else {
            return futures::future::ready(RunEnd::Whole).boxed();
        };
        let work = work(output.clone(), Arc::clone(waits));
        work.map(|ended| ended.err().unwrap_or(RunEnd::Whole))
            .boxed()
    }

    fn report(&self, _: &mut F::Usage) {}
}
