//! What relaying an Anthropic stream costs: in the embedded host, and in what
//! people use elsewhere, by the same client from the same upstream.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Streams at a time, as in the tables of other relays.
const STREAMS: usize = 8;

/// Frames of one stream in a burst.
const BURST: usize = 10_000;

/// Rounds of the burst; the first ones warm up.
const ROUNDS: usize = 12;
const WARM_UP: usize = 2;

/// What relays, or is relayed to.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) host: PathBuf,
    pub(crate) upstreams: PathBuf,
    pub(crate) component: PathBuf,
    pub(crate) axum: PathBuf,
    /// The folder with Hono and workerd, where they could be installed.
    pub(crate) peers: Option<PathBuf>,
    /// Whether the embedded host is to be slow where Spin is.
    pub(crate) as_spin: bool,
}

/// A child process that ends with this value.
struct Server {
    child: Child,
    origin: String,
}

impl Server {
    /// Starts `command`, whose first line says where it listens.
    async fn start(command: &mut Command, origin: fn(&str) -> Result<String>) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("its output")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let origin = origin(&line.context("it ended at once")?)?;
        Ok(Self { child, origin })
    }

    /// CPU time of the process so far, user and system.
    fn cpu(&self) -> Result<Duration> {
        let pid = self.child.id().context("it has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // After the name, which may hold anything: utime and stime are the
        // 12th and 13th fields, in ticks of 10 ms.
        let (_, fields) = stat.rsplit_once(')').context("stat")?;
        let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
        let user = ticks.next().context("utime")??;
        let system = ticks.next().context("stime")??;
        Ok(Duration::from_millis(10 * (user + system)))
    }
}

pub(crate) async fn run(programs: &Programs) -> Result<()> {
    println!("Relaying an answer (figures are only good as ratios):");
    let upstreams = upstreams(&programs.upstreams).await?;
    let spinlane = embedded(programs, &upstreams).await?;
    let name = match programs.as_spin {
        true => "Spinlane in the embedded host, as slow as Spin",
        false => "Spinlane in the embedded host",
    };
    measure(name, spinlane, &upstreams).await?;
    let mut axum = Command::new(&programs.axum);
    axum.arg(&upstreams.origin);
    let axum = Server::start(&mut axum, |line| Ok(line.to_owned())).await?;
    measure("native axum and reqwest", axum, &upstreams).await?;
    match &programs.peers {
        Some(folder) => {
            let hono = workerd(folder, &upstreams).await?;
            measure("Hono on workerd", hono, &upstreams).await
        }
        None => {
            println!("  Hono on workerd: NOT RUN, no Node.js");
            Ok(())
        }
    }
}

async fn measure(name: &str, relay: Server, upstreams: &Server) -> Result<()> {
    println!("  {name}:");
    burst(&relay, upstreams).await?;
    first_frame(&relay, upstreams).await?;
    health(&relay).await
}

async fn upstreams(program: &Path) -> Result<Server> {
    Server::start(
        Command::new(program).args(["--json", "--until-stdin-closes"]),
        |line| {
            let origins: Value = serde_json::from_str(line)?;
            let origin = origins["anthropic"].as_str().context("no origin")?;
            Ok(origin.to_owned())
        },
    )
    .await
}

async fn embedded(programs: &Programs, upstreams: &Server) -> Result<Server> {
    let variables = [
        "anthropic_api_key=bench".to_owned(),
        "caller_limit=off".to_owned(),
        "lane_limits=anthropic=100".to_owned(),
        "global_rps=10000".to_owned(),
        format!("anthropic_base_url={}", upstreams.origin),
    ];
    let mut command = Command::new(&programs.host);
    command
        .args(["--listen", "127.0.0.1:0", "--component"])
        .arg(&programs.component);
    if programs.as_spin {
        command.arg("--as-spin");
    }
    for variable in variables {
        command.args(["--variable", &variable]);
    }
    Server::start(&mut command, |line| Ok(line.to_owned())).await
}

/// workerd says nothing when it is ready: it is asked until it answers.
async fn workerd(folder: &Path, upstreams: &Server) -> Result<Server> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    drop(listener);
    let child = Command::new(folder.join("node_modules/workerd/bin/workerd"))
        .arg("serve")
        .arg(folder.join("workerd.capnp"))
        .arg(format!("--socket-addr=http={address}"))
        .env("ANTHROPIC", &upstreams.origin)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let origin = format!("http://{address}");
    let begin = Instant::now();
    while reqwest::get(format!("{origin}/health")).await.is_err() {
        if begin.elapsed() > Duration::from_secs(30) {
            bail!("workerd does not answer");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Server { child, origin })
}

async fn script(upstreams: &Server, deltas: usize) -> Result<()> {
    let url = format!("{}/__control/script", upstreams.origin);
    let script = json!({"deltas": vec!["word "; deltas], "pace_ms": 0});
    let response = Client::new().post(url).json(&script).send().await?;
    response.error_for_status()?;
    Ok(())
}

/// Reads one chat to its end. Returns the number of `content` frames, and when
/// the first one was read.
async fn chat(client: &Client, host: &Server) -> Result<(usize, Instant)> {
    let url = format!("{}/api/chat-stream/message", host.origin);
    let request = client.post(url).json(&json!({"message": "hello"}));
    let mut response = request.send().await?.error_for_status()?;
    let mut first = None;
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        text.extend_from_slice(&chunk);
        if first.is_none() && contains(&text, b"\"content\"") {
            first = Some(Instant::now());
        }
    }
    let end = &text[text.len().saturating_sub(100)..];
    // Where the id comes differs between relays.
    if !contains(end, b"{\"type\":\"done\",\"data\":null}") {
        bail!(
            "the stream did not end well: {}",
            String::from_utf8_lossy(end)
        );
    }
    let text = String::from_utf8(text)?;
    let content = text.matches("{\"type\":\"content\"").count();
    Ok((content, first.context("no content")?))
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

async fn burst(host: &Server, upstreams: &Server) -> Result<()> {
    script(upstreams, BURST).await?;
    let client = Client::new();
    let (mut cpu, mut begin, mut frames) = (Duration::ZERO, Instant::now(), 0);
    for round in 0..ROUNDS {
        if round == WARM_UP {
            (cpu, begin, frames) = (host.cpu()?, Instant::now(), 0);
        }
        let all = try_join_all((0..STREAMS).map(|_| chat(&client, host))).await?;
        frames += all.iter().map(|(content, _)| content).sum::<usize>();
    }
    if frames != (ROUNDS - WARM_UP) * STREAMS * BURST {
        bail!("frames were lost: {frames}");
    }
    let (took, cpu) = (begin.elapsed(), host.cpu()? - cpu);
    let rate = frames as f64 / took.as_secs_f64();
    let each = cpu.as_secs_f64() * 1e6 / frames as f64;
    println!(
        "    burst, {STREAMS} streams of {BURST}: {rate:.0} frames/s, {each:.2} µs CPU a frame"
    );
    Ok(())
}

async fn first_frame(host: &Server, upstreams: &Server) -> Result<()> {
    script(upstreams, 3).await?;
    // Not kept alive: each chat has its own connection, as after a pause.
    let client = Client::builder().pool_max_idle_per_host(0).build()?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let begin = Instant::now();
        let (_, first) = chat(&client, host).await?;
        times.push(first - begin);
    }
    times.sort_unstable();
    println!(
        "    first content frame: p50 {:?}, p99 {:?}",
        times[100], times[198]
    );
    Ok(())
}

/// A short request: most of it is the making of an instance.
async fn health(host: &Server) -> Result<()> {
    let (client, url) = (Client::new(), format!("{}/health", host.origin));
    let (cpu, begin) = (host.cpu()?, Instant::now());
    let each = 250;
    let clients = (0..STREAMS).map(|_| async {
        for _ in 0..each {
            client
                .get(&url)
                .send()
                .await?
                .error_for_status()?
                .bytes()
                .await?;
        }
        anyhow::Ok(())
    });
    try_join_all(clients).await?;
    let requests = (each * STREAMS) as f64;
    let rate = requests / begin.elapsed().as_secs_f64();
    let cpu = (host.cpu()? - cpu).as_secs_f64() * 1e6 / requests;
    println!("    GET /health: {rate:.0} requests/s, {cpu:.0} µs CPU a request");
    Ok(())
}
