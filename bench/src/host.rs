//! The hosts, and how each is started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use spinlane_options::{BenchOptions, Place};
use tempfile::TempDir;
use tokio::process::Command;

use crate::programs::Programs;
use crate::server::{Server, free_address};

/// Streams that a host must be able to hold at a time.
const INSTANCES: u32 = 1_000;

/// An application where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) application: Application,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Application {
    Spinlane,
    /// The component in `bench/bare`.
    Bare,
    /// The relay of those with whom Spinlane is compared.
    Peer,
}

/// How an application is set up, beside what is the same for all measures.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setup {
    /// Callers are counted, with a quota that nobody reaches.
    pub(crate) counts_callers: bool,
    /// Limits hold in each instance only: over all, a lane has 100 slots at most.
    pub(crate) own_limits: bool,
}

/// What is the same for all measures.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) programs: Programs,
    /// Where the model listens.
    pub(crate) upstream: SocketAddr,
}

/// Those that are measured, in the order of the tables.
pub(crate) fn chosen(options: &BenchOptions) -> Vec<Host> {
    use Application::{Bare, Peer, Spinlane};
    let all = [
        (Spinlane, Place::Embedded),
        (Spinlane, Place::AsSpin),
        (Spinlane, Place::Spin),
        (Spinlane, Place::Wasmtime),
        (Bare, Place::Embedded),
        (Bare, Place::AsSpin),
        (Bare, Place::Spin),
        (Peer, Place::Axum),
        (Peer, Place::Workerd),
    ];
    let hosts = all.map(|(application, place)| Host { application, place });
    let chosen = hosts.into_iter().filter(|host| options.runs_on(host.place));
    chosen.collect()
}

impl Host {
    /// As it stands in tables.
    pub(crate) fn name(self) -> String {
        let place = match self.place {
            Place::Axum => return "native axum and reqwest".into(),
            Place::Workerd => return "Hono on workerd".into(),
            Place::Embedded => "embedded host",
            Place::AsSpin => "embedded host as Spin is",
            Place::Spin => "Spin",
            Place::Wasmtime => "`wasmtime serve`",
        };
        match self.application {
            Application::Bare => format!("bare component, {place}"),
            _ => format!("Spinlane, {place}"),
        }
    }

    /// Why it cannot be measured here, where it cannot.
    pub(crate) fn missing(self, programs: &Programs) -> Option<&'static str> {
        match self.place {
            Place::Spin if programs.spin.is_none() => Some("no `spin` on the PATH"),
            Place::Wasmtime if programs.wasmtime.is_none() => Some("no `wasmtime`"),
            Place::Workerd if programs.peers.is_none() => Some("no workerd, for want of Node.js"),
            _ => None,
        }
    }

    /// Starts it. Compiled code is kept in `cache`.
    pub(crate) async fn start(self, stage: &Stage, setup: Setup, cache: &Path) -> Result<Server> {
        let address = free_address()?;
        let state = TempDir::new()?;
        let command = self.command(stage, setup, address, state.path(), cache)?;
        let mut chat = "/api/chat-stream/message".to_owned();
        if self.application == Application::Bare {
            chat = format!("{chat}?to={}", stage.upstream);
        }
        Server::start(command, address, chat, state).await
    }

    fn command(
        self,
        stage: &Stage,
        setup: Setup,
        address: SocketAddr,
        state: &Path,
        cache: &Path,
    ) -> Result<Command> {
        let programs = &stage.programs;
        let variables = match self.application {
            Application::Spinlane => variables(stage.upstream, setup),
            _ => Vec::new(),
        };
        let listen = address.to_string();
        let upstream = format!("http://{}", stage.upstream);
        match self.place {
            Place::Embedded | Place::AsSpin => {
                Ok(self.embedded(programs, &listen, &variables, cache))
            }
            Place::Spin => self.spin(programs, &listen, &variables, state, cache),
            Place::Wasmtime => wasmtime(programs, &listen, &variables, cache),
            Place::Axum => {
                let mut command = Command::new(&programs.axum);
                command.args([&upstream, &listen]);
                Ok(command)
            }
            Place::Workerd => workerd(programs, &listen, &upstream),
        }
    }

    fn embedded(
        self,
        programs: &Programs,
        listen: &str,
        variables: &[(&str, String)],
        cache: &Path,
    ) -> Command {
        let (manifest, component) = self.application(programs);
        let mut command = Command::new(&programs.host);
        command.args(["--listen", listen, "--manifest"]);
        command.arg(manifest).arg("--component").arg(component);
        command.arg("--cache").arg(cache);
        command.args((self.place == Place::AsSpin).then_some("--as-spin"));
        with_variables(command, variables)
    }

    fn spin(
        self,
        programs: &Programs,
        listen: &str,
        variables: &[(&str, String)],
        state: &Path,
        cache: &Path,
    ) -> Result<Command> {
        let (manifest, component) = self.application(programs);
        let folder = staged(&manifest, component, &state.join("app"))?;
        let mut command = Command::new(programs.spin.as_ref().context("no spin")?);
        command.args(["up", "--listen", listen, "--from"]);
        command.arg(folder).arg("--state-dir");
        command.arg(state.join("state")).arg("--quiet");
        command.env("XDG_CACHE_HOME", cache);
        Ok(with_variables(command, variables))
    }

    /// The manifest and the component.
    fn application(self, programs: &Programs) -> (PathBuf, &Path) {
        match self.application {
            Application::Bare => (programs.root.join("bench/bare/spin.toml"), &programs.bare),
            _ => (programs.root.join("spin.toml"), &programs.component),
        }
    }
}

fn wasmtime(
    programs: &Programs,
    listen: &str,
    variables: &[(&str, String)],
    cache: &Path,
) -> Result<Command> {
    let mut command = Command::new(programs.wasmtime.as_ref().context("no wasmtime")?);
    command.args(["serve", "-S", "cli", "-S", "keyvalue", "--addr", listen]);
    // A component of this kind takes three core instances.
    let (one, three) = (INSTANCES, 3 * INSTANCES);
    command.arg("-O").arg(format!(
        "pooling-allocator=y,pooling-total-component-instances={one},\
         pooling-total-core-instances={three},pooling-total-memories={one},\
         pooling-total-tables={three},pooling-total-stacks={one}"
    ));
    for (name, value) in variables {
        let name = name.to_ascii_uppercase();
        command.args(["--env", &format!("SPINLANE_{name}={value}")]);
    }
    let component = programs.wasi_component.as_ref();
    command.arg(component.context("no component for plain WASI")?);
    command.env("XDG_CACHE_HOME", cache);
    Ok(command)
}

fn workerd(programs: &Programs, listen: &str, upstream: &str) -> Result<Command> {
    let mut command = Command::new(programs.workerd().context("no workerd")?);
    let folder = programs.peers.as_ref().context("no workerd")?;
    command.arg("serve").arg(folder.join("workerd.capnp"));
    command.arg(format!("--socket-addr=http={listen}"));
    command.env("ANTHROPIC", upstream);
    Ok(command)
}

fn with_variables(mut command: Command, variables: &[(&str, String)]) -> Command {
    for (name, value) in variables {
        command.args(["--variable", &format!("{name}={value}")]);
    }
    command
}

/// The DJ's variables: limits that nobody meets, so that what is measured is
/// what they cost and not what they do.
fn variables(upstream: SocketAddr, setup: Setup) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("anthropic_api_key", "bench".into()),
        // An operator sets it, and by it whether answers ask for https.
        ("public_url", "http://127.0.0.1:3000".into()),
        ("anthropic_base_url", format!("http://{upstream}")),
        ("lane_limits", "anthropic=100".into()),
        ("global_rps", "10000".into()),
    ];
    match setup.counts_callers {
        true => variables.extend([
            ("caller_limit", "1000000/1m".into()),
            ("caller_runs", "1000".into()),
        ]),
        false => variables.push(("caller_limit", "off".into())),
    }
    if setup.own_limits {
        variables.push(("limit_scope", "instance".into()));
    }
    variables
}

/// A copy of the application in `folder`, with this component: Spin takes no other
/// than the one that the manifest names.
fn staged(manifest: &Path, component: &Path, folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let text = std::fs::read_to_string(manifest)?;
    let lines = text
        .lines()
        .map(|line| match line.strip_prefix("source = ") {
            Some(_) => "source = \"component.wasm\"\n".to_owned(),
            None => format!("{line}\n"),
        });
    std::fs::write(folder.join("spin.toml"), lines.collect::<String>())?;
    std::fs::copy(component, folder.join("component.wasm"))
        .with_context(|| format!("no component at {}", component.display()))?;
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_chosen_by_their_place() {
        let all = chosen(&BenchOptions::default());
        assert_eq!(all.len(), 9);
        assert_eq!(all[2].name(), "Spinlane, Spin");
        let as_spin = BenchOptions {
            as_spin: true,
            ..BenchOptions::default()
        };
        let as_spin = chosen(&as_spin);
        assert!(as_spin.iter().all(|host| host.place != Place::Embedded));
        assert_eq!(as_spin.len(), 7);
    }

    #[test]
    fn a_staged_application_has_the_component_beside_it() {
        let folder = TempDir::new().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let manifest = root.join("bare/spin.toml");
        let staged = staged(&manifest, &manifest, &folder.path().join("app")).unwrap();
        let text = std::fs::read_to_string(staged.join("spin.toml")).unwrap();
        assert!(text.contains("\nsource = \"component.wasm\"\n"));
        assert!(!text.contains("target/wasm32"));
        assert!(staged.join("component.wasm").is_file());
    }
}
