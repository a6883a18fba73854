//! What the limits of all instances add to an upstream call, seen by the guest:
//! the time from asking for it to its response head, with limits in the store
//! and with limits in memory, on each kind of store.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use serde_json::Value;
use spinlane_host::Host;
use spinlane_upstreams::{Reply, Sink};
use tokio::process::{Child, Command};

/// Requests, each with one call, one after the other; and how many at once.
const ALONE: usize = 300;
const TOGETHER: usize = 50;
const ROUNDS: usize = 10;

/// Wide enough that nobody waits: what is measured is the bookkeeping.
const WIDE: &str = "lane=x&limit=1000&rate=100000";

pub(crate) async fn run(fixture: &Path, manifest: &Path, redis: Option<PathBuf>) -> Result<()> {
    println!("What shared limits add to a call of 0 ms (µs to the head, median / p99):");
    let upstream = Sink::start().await?;
    upstream.reply(Reply::default());
    let folder = std::env::temp_dir().join(format!("spinlane-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let sqlite = folder.join("store.db").display().to_string();
    measure("SQLite", fixture, manifest, &sqlite, &upstream).await?;
    match redis {
        Some(program) => {
            let (_server, url) = start_redis(&program).await?;
            measure("Redis", fixture, manifest, &url, &upstream).await?;
        }
        None => println!("  Redis: NOT RUN, no redis-server"),
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn measure(
    name: &str,
    fixture: &Path,
    manifest: &Path,
    store: &str,
    upstream: &Sink,
) -> Result<()> {
    let host = Host::builder(manifest).component(fixture).store(store);
    let host = host.start().await?;
    for (load, at_once, rounds) in [("alone", 1, ALONE), ("50 at once", TOGETHER, ROUNDS)] {
        let mut medians = Vec::new();
        for scope in ["instance", "shared"] {
            let query = format!("{WIDE}&scope={scope}&to={}/x", upstream.addr());
            let before = (host.store().increments(), host.store().calls());
            let mut times = Vec::new();
            for _ in 0..rounds {
                let calls = (0..at_once).map(|_| head_micros(&host, &query));
                times.extend(try_join_all(calls).await?);
            }
            host.wait_for_instances(Duration::from_secs(10), |instances| instances.live == 0)
                .await
                .ok()
                .context("instances are left")?;
            let calls = times.len() as f64;
            let increments = (host.store().increments() - before.0) as f64 / calls;
            let others = (host.store().calls() - before.1) as f64 / calls - increments;
            times.sort_unstable();
            let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            medians.push(median);
            println!(
                "  {name}, {load}, {scope}: {median} / {p99}, {increments:.2} increments and \
                 {others:.2} other store calls a call"
            );
        }
        let added = medians[1].saturating_sub(medians[0]);
        println!("  {name}, {load}: shared adds {added} µs");
    }
    host.stop().await;
    Ok(())
}

async fn head_micros(host: &Host, query: &str) -> Result<u64> {
    let text = reqwest::get(host.url(&format!("/calls?{query}")));
    let text = text.await?.text().await?;
    let line = text.lines().find_map(|line| line.strip_prefix("data: "));
    let report: Value = serde_json::from_str(line.context("no report")?)?;
    report["headUs"]
        .as_u64()
        .with_context(|| report.to_string())
}

async fn start_redis(program: &Path) -> Result<(Child, String)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let server = Command::new(program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    while tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .is_err()
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((server, format!("redis://127.0.0.1:{port}")))
}
