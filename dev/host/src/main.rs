//! `spinlane-host`: runs a `spin.toml` without Spin.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use spinlane_host::Host;
use spinlane_options::HostOptions;

/// Runs a spin.toml without Spin.
#[derive(Debug, Parser)]
#[command(name = "spinlane-host")]
struct Options {
    #[command(flatten)]
    host: HostOptions,
    /// The application.
    #[arg(long, value_name = "FILE", default_value = "spin.toml")]
    manifest: PathBuf,
    /// Run this file instead of the manifest's component.
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Be slow where Spin is: hold small segments back, clear all memory, take
    /// 0.7 ms for an increment.
    #[arg(long)]
    as_spin: bool,
    /// Keep compiled code here.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spinlane-host: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<()> {
    // Not `vars`, which panics at what is no UTF-8.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut builder = Host::builder(options.manifest)
        .environment(environment)
        .listen(options.host.listen)
        .as_spin(options.as_spin)
        .print_logs(true);
    if let Some(component) = options.component {
        builder = builder.component(component);
    }
    if let Some(store) = options.host.store {
        builder = builder.store(store);
    }
    if let Some(folder) = options.cache {
        builder = builder.cache_dir(folder);
    }
    for (name, value) in options.host.variables {
        builder = builder.variable(name, value);
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }
}
