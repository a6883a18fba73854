//! `spinlane-upstreams`: the stand-ins as a program.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use spinlane_upstreams::Upstreams;
use tokio::io::AsyncReadExt;

/// Where a service listens unless it is told: at a free port.
const ANYWHERE: &str = "127.0.0.1:0";

/// Simulates the upstream services.
#[derive(Debug, Parser)]
#[command(name = "spinlane-upstreams")]
struct Options {
    /// Where the Messages API listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = ANYWHERE)]
    anthropic: SocketAddr,
    /// Where Spotify's Web API does.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = ANYWHERE)]
    spotify: SocketAddr,
    /// Where Spotify's accounts service does.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = ANYWHERE)]
    spotify_accounts: SocketAddr,
    /// Where Deezer does.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = ANYWHERE)]
    deezer: SocketAddr,
    /// Where Last.fm does.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = ANYWHERE)]
    lastfm: SocketAddr,
    /// The same seed gives the same answers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How long each call takes in milliseconds, the model's excepted.
    #[arg(long, value_name = "N", default_value_t = 0)]
    latency_ms: u64,
    /// Print the origins as one line of JSON.
    #[arg(long)]
    json: bool,
    /// End when standard input does, for a parent process.
    #[arg(long)]
    until_stdin_closes: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spinlane-upstreams: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<()> {
    let Options {
        json,
        until_stdin_closes,
        ..
    } = options;
    let mut out = std::io::stdout();
    let upstreams = Upstreams::start(spinlane_upstreams::Options {
        seed: options.seed,
        anthropic: options.anthropic,
        spotify: options.spotify,
        spotify_accounts: options.spotify_accounts,
        deezer: options.deezer,
        lastfm: options.lastfm,
    });
    let upstreams = upstreams.await?;
    upstreams.latency(Duration::from_millis(options.latency_ms));
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }
}
