//! `cargo xtask up`: the component, the host and the simulated upstreams in one
//! process.

mod options;
mod upstream;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use spinlane_host::Host;
use spinlane_upstreams::Upstreams;
use spinlane_upstreams::catalogue::DEMO_PLAYLIST;

use options::Options;
use upstream::{Kind, Plan};

/// How long a simulated call takes: about as long as a real one, so that what
/// waits for several at once is seen to.
const LATENCY: Duration = Duration::from_millis(80);

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
    let options = Options::parse();
    let plan = Plan::new(!options.up.no_upstreams, |name| is_set(&options, name));
    let upstreams = if plan.simulates() {
        let upstreams = Upstreams::start(spinlane_upstreams::Options::default()).await?;
        upstreams.latency(LATENCY);
        Some(upstreams)
    } else {
        None
    };
    let host = start(&options, plan, upstreams.as_ref()).await?;
    let banner = banner(&host, plan, upstreams.as_ref(), &store(&options));
    write!(std::io::stdout(), "{banner}")?;
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
        .up
        .host
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
    let given = options.up.host.store.clone();
    given.unwrap_or_else(|| options.state.join("store.db"))
}

async fn start(options: &Options, plan: Plan, upstreams: Option<&Upstreams>) -> Result<Host> {
    let mut host = Host::builder("spin.toml")
        .environment(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
        .listen(options.up.host.listen)
        .store(store(options))
        .cache_dir(options.state.join("code"))
        .print_logs(true);
    if let Some(component) = &options.component {
        host = host.component(component);
    }
    if !is_set(options, "public_url")
        && let Some(url) = public_url(options.up.host.listen)
    {
        host = host.variable("public_url", url);
    }
    if !is_set(options, "environment") {
        host = host.variable("environment", "development");
    }
    for (name, value) in upstreams.iter().flat_map(|all| plan.variables(all)) {
        host = host.variable(name, value);
    }
    for (name, value) in &options.up.host.variables {
        host = host.variable(name, value);
    }
    host.start().await
}

/// Where a browser finds it: Spotify sends the user back there, and takes
/// loopback literals only.
fn public_url(listen: SocketAddr) -> Option<String> {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    (address.port() != 0).then(|| format!("http://{address}"))
}

/// A store as it may be printed: an address without its password.
fn printable(store: &std::path::Path) -> String {
    let text = store.display().to_string();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
        _ => text,
    }
}

fn banner(
    host: &Host,
    plan: Plan,
    upstreams: Option<&Upstreams>,
    store: &std::path::Path,
) -> String {
    let addr = host.addr();
    let curl = |body: &str| {
        format!(
            "curl -N http://{addr}/api/chat-stream/message \\\n  \
             -H 'content-type: application/json' \\\n  -d '{body}'\n\n"
        )
    };
    let first = curl(r#"{"message":"Play me something for a rainy evening"}"#);
    let second = match plan.spotify {
        Kind::Simulated => format!(
            "Or this, for a playlist of the simulated Spotify:\n\n{}",
            curl(&format!(
                "{{\"message\":\"Analyse this playlist and find five tracks that fit\",\
                 \"playlistId\":\"{DEMO_PLAYLIST}\"}}"
            ))
        ),
        _ => String::new(),
    };
    format!(
        "\nSpinlane is up at http://{addr} (Ctrl-C stops it)\n\n{}  {:<11}{}\n\n\
         Paste this:\n\n{first}{second}",
        plan.lines(upstreams),
        "store",
        printable(store),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stores_password_is_not_printed() {
        let printed = |store: &str| printable(std::path::Path::new(store));
        assert_eq!(printed("target/up/store.db"), "target/up/store.db");
        assert_eq!(printed("redis://127.0.0.1:6379"), "redis://127.0.0.1:6379");
        assert_eq!(printed("redis://me:secret@h:1/0"), "redis://h:1/0");
    }

    #[test]
    fn the_user_comes_back_to_a_loopback_literal() {
        let url = |listen: &str| public_url(listen.parse().unwrap());
        assert_eq!(url("127.0.0.1:3000").unwrap(), "http://127.0.0.1:3000");
        assert_eq!(url("0.0.0.0:80").unwrap(), "http://127.0.0.1:80");
        assert_eq!(url("[::1]:80").unwrap(), "http://[::1]:80");
        assert_eq!(url("127.0.0.1:0"), None);
    }
}
