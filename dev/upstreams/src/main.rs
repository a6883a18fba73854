//! `spinlane-upstreams`: the stand-ins as a program.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use spinlane_upstreams::{Options, Upstreams};
use tokio::io::AsyncReadExt;

const HELP: &str = "\
spinlane-upstreams [OPTIONS]

  --anthropic ADDR   where the Messages API listens (default 127.0.0.1:0)
  --spotify ADDR, --spotify-accounts ADDR, --deezer ADDR, --lastfm ADDR
                     where the others listen
  --seed N           the same seed gives the same answers (default 1)
  --latency-ms N     how long each call takes, the model's excepted (default 0)
  --json             print the origins as one line of JSON
  --until-stdin-closes
                     end when standard input does, for a parent process
";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spinlane-upstreams: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let mut options = Options::default();
    let (mut json, mut until_stdin_closes, mut latency) = (false, false, 0);
    // Not `args`, which panics at what is no UTF-8.
    let arguments = std::env::args_os().skip(1);
    let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let mut out = std::io::stdout();
    while let Some(flag) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{flag} needs a value"))
        };
        match flag.as_str() {
            "--anthropic" => options.anthropic = value()?.parse().context("--anthropic")?,
            "--spotify" => options.spotify = value()?.parse().context("--spotify")?,
            "--spotify-accounts" => {
                options.spotify_accounts = value()?.parse().context("--spotify-accounts")?;
            }
            "--deezer" => options.deezer = value()?.parse().context("--deezer")?,
            "--lastfm" => options.lastfm = value()?.parse().context("--lastfm")?,
            "--seed" => options.seed = value()?.parse().context("--seed")?,
            "--latency-ms" => latency = value()?.parse().context("--latency-ms")?,
            "--json" => json = true,
            "--until-stdin-closes" => until_stdin_closes = true,
            "-h" | "--help" => {
                write!(out, "{HELP}")?;
                return Ok(());
            }
            other => bail!("unknown option {other}\n\n{HELP}"),
        }
    }
    let upstreams = Upstreams::start(options).await?;
    upstreams.latency(Duration::from_millis(latency));
    let origins = [
        ("anthropic", upstreams.anthropic().origin()),
        ("spotify", upstreams.spotify().origin()),
        ("spotify_accounts", upstreams.spotify_accounts().origin()),
        ("deezer", upstreams.deezer().origin()),
        ("lastfm", upstreams.lastfm().origin()),
    ];
    if json {
        let origins: serde_json::Map<_, _> = origins
            .map(|(name, origin)| (name.to_owned(), origin.into()))
            .into_iter()
            .collect();
        writeln!(out, "{}", serde_json::Value::from(origins))?;
    } else {
        for (name, origin) in origins {
            writeln!(out, "{name:<18}{origin}")?;
        }
    }
    let parent = async {
        if !until_stdin_closes {
            futures::future::pending::<()>().await;
        }
        let mut rest = Vec::new();
        let _ = tokio::io::stdin().read_to_end(&mut rest).await;
    };
    tokio::select! {
        () = parent => {}
        ended = tokio::signal::ctrl_c() => ended?,
    }
    Ok(())
}
