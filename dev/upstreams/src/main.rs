//! `spinlane-upstreams`: the stand-ins as a program.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use spinlane_upstreams::{Options, Upstreams};
use tokio::io::AsyncReadExt;

const HELP: &str = "\
spinlane-upstreams [OPTIONS]

  --anthropic ADDR   where the Messages API listens (default 127.0.0.1:0)
  --seed N           the same seed gives the same answers (default 1)
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
    let (mut json, mut until_stdin_closes) = (false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{flag} needs a value"))
        };
        match flag.as_str() {
            "--anthropic" => options.anthropic = value()?.parse().context("--anthropic")?,
            "--seed" => options.seed = value()?.parse().context("--seed")?,
            "--json" => json = true,
            "--until-stdin-closes" => until_stdin_closes = true,
            "-h" | "--help" => {
                print!("{HELP}");
                return Ok(());
            }
            other => bail!("unknown option {other}\n\n{HELP}"),
        }
    }
    let upstreams = Upstreams::start(options).await?;
    let origin = upstreams.anthropic().origin();
    if json {
        println!("{}", serde_json::json!({ "anthropic": origin }));
    } else {
        println!("anthropic  {origin}");
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
