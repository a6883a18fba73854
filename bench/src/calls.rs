//! How often the component calls its host: counts, which do not depend on the
//! machine or on what else it does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use spinlane_host::Host;
use spinlane_upstreams::anthropic::Script;
use spinlane_upstreams::{Options, Upstreams};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

/// What the code that wasmtime generates calls the span of an import.
const IMPORT: &str = "wit-bindgen import";

/// A pace at which every frame is alone, and how many come after the first
/// ones, of which the calls are left out.
const PACE: Duration = Duration::from_millis(20);
const FRAMES: u32 = 100;

type Counts = BTreeMap<String, u32>;

static CALLS: Mutex<Counts> = Mutex::new(Counts::new());

fn counts() -> MutexGuard<'static, Counts> {
    CALLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts imports that are called, for the whole process.
struct Counter;

impl Subscriber for Counter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.enabled(metadata) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == IMPORT
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut name = Name::default();
        span.record(&mut name);
        *counts().entry(name.0).or_default() += 1;
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The interface and the function of an import.
#[derive(Default)]
struct Name(String);

impl Visit for Name {
    fn record_str(&mut self, field: &Field, value: &str) {
        if matches!(field.name(), "module" | "function") {
            if !self.0.is_empty() {
                self.0.push(' ');
            }
            self.0.push_str(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

pub(crate) async fn run(component: &Path) -> Result<()> {
    println!("How often the component calls its host:");
    tracing::subscriber::set_global_default(Counter).context("counting")?;
    let upstreams = Upstreams::start(Options::default()).await?;
    let host = Host::builder("spin.toml")
        .component(component)
        .cache_dir(component.with_file_name("compiled"))
        .variable("anthropic_api_key", "bench")
        .variable("anthropic_base_url", upstreams.anthropic().origin())
        .variable("caller_limit", "off")
        .start()
        .await?;
    for path in ["/health", "/api/status"] {
        let before = counts().clone();
        reqwest::get(host.url(path)).await?.error_for_status()?;
        report(&host, &format!("GET {path}"), &before, 1).await?;
    }
    let short = |deltas| Script::text(vec!["x"; deltas as usize]);
    let before = counts().clone();
    chat(&host, &upstreams, short(1)).await?;
    report(&host, "a short chat", &before, 1).await?;
    // Two that differ in length alone: the difference is that of the frames.
    let before = counts().clone();
    chat(&host, &upstreams, short(10).pace(PACE)).await?;
    settle(&host).await?;
    let ten = since(&before);
    let before = counts().clone();
    chat(&host, &upstreams, short(10 + FRAMES).pace(PACE)).await?;
    settle(&host).await?;
    let mut all = since(&before);
    for (name, calls) in ten {
        let calls_of_frames = all.get(&name).copied().unwrap_or_default();
        all.insert(name, calls_of_frames.saturating_sub(calls));
    }
    print("a paced frame", &all, FRAMES);
    host.stop().await;
    Ok(())
}

async fn chat(host: &Host, upstreams: &Upstreams, script: Script) -> Result<()> {
    upstreams.anthropic().reset();
    upstreams.anthropic().script(script);
    let request = reqwest::Client::new()
        .post(host.url("/api/chat-stream/message"))
        .json(&serde_json::json!({"message": "hello"}));
    let text = request.send().await?.error_for_status()?.text().await?;
    let done = text.contains(r#"{"type":"done","data":null}"#);
    done.then_some(()).context("the stream did not end well")
}

/// Waits for what instances do after their response.
async fn settle(host: &Host) -> Result<()> {
    let ended = host
        .wait_for_instances(Duration::from_secs(10), |instances| instances.live == 0)
        .await;
    ended.map(drop).ok().context("instances are left")
}

/// The calls since there were `before`.
fn since(before: &Counts) -> Counts {
    let now = counts();
    let new = now.iter().map(|(name, calls)| {
        let known = before.get(name).copied().unwrap_or_default();
        (name.clone(), calls - known)
    });
    new.filter(|(_, calls)| *calls > 0).collect()
}

async fn report(host: &Host, what: &str, before: &Counts, of: u32) -> Result<()> {
    settle(host).await?;
    print(what, &since(before), of);
    Ok(())
}

/// All calls, and the most frequent ones.
fn print(what: &str, calls: &Counts, of: u32) {
    let each = |calls: u32| f64::from(calls) / f64::from(of);
    let total = each(calls.values().sum());
    println!("  {what}: {total:.1}");
    let mut calls: Vec<_> = calls.iter().collect();
    calls.sort_unstable_by_key(|(_, calls)| std::cmp::Reverse(**calls));
    let most = calls
        .iter()
        .take(12)
        .filter(|(_, calls)| each(**calls) >= 0.1);
    for (name, calls) in most {
        println!("    {:6.1} {name}", each(**calls));
    }
}
