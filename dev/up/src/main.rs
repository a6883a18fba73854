//! `cargo xtask up`: the component, the host and the simulated upstreams in one
//! process.

mod options;
mod upstream;

use std::process::ExitCode;

use anyhow::Result;
use spinlane_host::Host;
use spinlane_upstreams::Upstreams;

use options::Options;
use upstream::Kind;

/// What the stand-in takes as a key.
const SIMULATED_KEY: &str = "simulated";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("up: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let anthropic = upstream::kind(
        "anthropic_base_url",
        "anthropic_api_key",
        options.upstreams,
        |name| is_set(&options, name),
    );
    let upstreams = match anthropic {
        Kind::Simulated => Some(Upstreams::start(spinlane_upstreams::Options::default()).await?),
        Kind::Given | Kind::Real => None,
    };
    let host = start(&options, upstreams.as_ref()).await?;
    let store = store(&options);
    print!("{}", banner(&host, anthropic, upstreams.as_ref(), &store));
    tokio::signal::ctrl_c().await?;
    eprintln!("\nstopping: streams have 5 s to end; Ctrl-C again ends them now");
    tokio::select! {
        () = host.stop() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}

/// Whether a variable has a value.
fn is_set(options: &Options, name: &str) -> bool {
    let explicit = options
        .variables
        .iter()
        .rev()
        .find(|(known, _)| known == name);
    match explicit {
        Some((_, value)) => !value.is_empty(),
        None => std::env::var(format!("SPIN_VARIABLE_{}", name.to_uppercase()))
            .is_ok_and(|value| !value.is_empty()),
    }
}

fn store(options: &Options) -> std::path::PathBuf {
    let given = options.store.clone();
    given.unwrap_or_else(|| options.state.join("store.db"))
}

async fn start(options: &Options, upstreams: Option<&Upstreams>) -> Result<Host> {
    let mut host = Host::builder("spin.toml")
        .environment(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
        .listen(options.listen)
        .store(store(options))
        .cache_dir(options.state.join("code"))
        .print_logs(true);
    if let Some(component) = &options.component {
        host = host.component(component);
    }
    if let Some(upstreams) = upstreams {
        host = host
            .variable("anthropic_base_url", upstreams.anthropic().origin())
            .variable("anthropic_api_key", SIMULATED_KEY);
    }
    for (name, value) in &options.variables {
        host = host.variable(name, value);
    }
    host.start().await
}

fn banner(
    host: &Host,
    anthropic: Kind,
    upstreams: Option<&Upstreams>,
    store: &std::path::Path,
) -> String {
    let anthropic = match (anthropic, upstreams) {
        (Kind::Simulated, Some(upstreams)) => format!(
            "simulated at {} (set SPIN_VARIABLE_ANTHROPIC_API_KEY for the real one)",
            upstreams.anthropic().origin()
        ),
        (Kind::Given, _) => "at the given anthropic_base_url".to_owned(),
        _ => "real".to_owned(),
    };
    format!(
        "
Spinlane is up at http://{addr} (Ctrl-C stops it)

  anthropic  {anthropic}
  store      {store}

Paste this:

curl -N http://{addr}/api/chat-stream/message \\
  -H 'content-type: application/json' \\
  -d '{{\"message\":\"Play me something for a rainy evening\"}}'

",
        addr = host.addr(),
        store = store.display(),
    )
}
