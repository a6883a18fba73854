//! What `cargo xtask bench` has built and found.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// Where everything is. What may be missing is an `Option`.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The repository.
    pub(crate) root: PathBuf,
    pub(crate) host: PathBuf,
    pub(crate) axum: PathBuf,
    /// The DJ for Spin and the embedded host, and for plain WASI hosts.
    pub(crate) component: PathBuf,
    pub(crate) wasi_component: Option<PathBuf>,
    pub(crate) bare: PathBuf,
    pub(crate) spin: Option<PathBuf>,
    pub(crate) wasmtime: Option<PathBuf>,
    /// The folder with Hono and workerd.
    pub(crate) peers: Option<PathBuf>,
    pub(crate) redis: Option<PathBuf>,
    pub(crate) fixture: Option<PathBuf>,
}

impl Programs {
    pub(crate) fn from_environment() -> Result<Self> {
        let file = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let built =
            |name: &str| file(name).with_context(|| format!("{name}: run `cargo xtask bench`"));
        Ok(Self {
            root: built("BENCH_ROOT")?,
            host: built("BENCH_HOST")?,
            axum: built("BENCH_AXUM")?,
            component: built("BENCH_COMPONENT")?,
            wasi_component: file("BENCH_WASI_COMPONENT"),
            bare: built("BENCH_BARE")?,
            spin: file("BENCH_SPIN"),
            wasmtime: file("BENCH_WASMTIME"),
            peers: file("BENCH_PEERS"),
            redis: file("BENCH_REDIS"),
            fixture: file("BENCH_FIXTURE"),
        })
    }

    /// workerd's program.
    pub(crate) fn workerd(&self) -> Option<PathBuf> {
        Some(
            self.peers
                .as_ref()?
                .join("node_modules/workerd/bin/workerd"),
        )
    }
}

/// What `program` says when it is run so: its first line.
pub(crate) fn said(program: impl Into<OsString>, arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new(program.into())
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}
