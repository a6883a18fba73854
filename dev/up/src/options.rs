//! The command line.

use std::path::PathBuf;

use clap::Parser;
use spinlane_options::UpOptions;

/// Runs the DJ: component, simulated upstreams, host. `cargo xtask up` builds
/// all of them and then calls this.
#[derive(Debug, Parser)]
#[command(name = "spinlane-up")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) up: UpOptions,
    /// Run this file instead of the manifest's component.
    #[arg(long, value_name = "FILE")]
    pub(crate) component: Option<PathBuf>,
    /// For the store and the compiled code.
    #[arg(long, value_name = "FOLDER", default_value = "target/up")]
    pub(crate) state: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
        let options = Options::try_parse_from(["spinlane-up", "--component", "x.wasm"]).unwrap();
        assert_eq!(options.component, Some("x.wasm".into()));
        assert_eq!(options.state, PathBuf::from("target/up"));
    }
}
