//! `spinlane-host`: runs a `spin.toml` without Spin.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use spinlane_host::Host;

const HELP: &str = "\
spinlane-host [OPTIONS]

  --manifest FILE         the application (default spin.toml)
  --component FILE        run this file instead of the manifest's
  --listen ADDR           where to listen (default 127.0.0.1:3000)
  --variable NAME=VALUE   set a variable (repeatable)
  --store PLACE           keep the key-value store in this SQLite file, or at this
                          redis:// address (default: in memory)
  --cache DIR             keep compiled code here
";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spinlane-host: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    // Not `args` and `vars`, which panic at what is no UTF-8.
    let arguments = std::env::args_os().skip(1);
    let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut manifest = "spin.toml".to_owned();
    let mut options = Vec::new();
    while let Some(flag) = arguments.next() {
        if matches!(flag.as_str(), "-h" | "--help") {
            write!(std::io::stdout(), "{HELP}")?;
            return Ok(());
        }
        let value = arguments
            .next()
            .with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--manifest" => manifest = value,
            _ => options.push((flag, value)),
        }
    }
    let mut builder = Host::builder(manifest)
        .environment(environment)
        .listen(([127, 0, 0, 1], 3000).into())
        .print_logs(true);
    for (flag, value) in options {
        builder = match flag.as_str() {
            "--component" => builder.component(value),
            "--listen" => builder.listen(value.parse().context("--listen takes ADDRESS:PORT")?),
            "--store" => builder.store(value),
            "--cache" => builder.cache_dir(value),
            "--variable" => {
                let (name, value) = value
                    .split_once('=')
                    .context("--variable takes NAME=VALUE")?;
                builder.variable(name, value)
            }
            other => bail!("unknown option {other}\n\n{HELP}"),
        };
    }
    let host = builder.start().await?;
    writeln!(std::io::stdout(), "{}", host.url(""))?;
    tokio::signal::ctrl_c().await?;
    eprintln!("stopping");
    tokio::select! {
        () = host.stop() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
