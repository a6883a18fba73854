//! Command lines that several of the programs here have in common: `cargo xtask
//! up` shows and checks what it then gives to another program.

mod bench;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, Error};

pub use bench::{BenchOptions, Measure, Place};

/// How an application is run in the embedded host.
#[derive(Args, Clone, Debug)]
pub struct HostOptions {
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,
    /// Set a variable of the manifest (repeatable).
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = Variable)]
    pub variables: Vec<(String, String)>,
    /// Where to keep the key-value store: a file of SQLite's, or a redis:// address.
    #[arg(long, value_name = "PLACE")]
    pub store: Option<PathBuf>,
}

/// How `cargo xtask up` runs the DJ.
#[derive(Args, Clone, Debug)]
pub struct UpOptions {
    /// The host's.
    #[command(flatten)]
    pub host: HostOptions,
    /// No stand-ins: talk to the real services.
    #[arg(long)]
    pub no_upstreams: bool,
}

impl UpOptions {
    /// The same as a command line.
    pub fn arguments(&self) -> Vec<OsString> {
        let HostOptions {
            listen,
            variables,
            store,
        } = &self.host;
        let mut arguments = vec!["--listen".into(), listen.to_string().into()];
        for (name, value) in variables {
            arguments.extend(["--variable".into(), format!("{name}={value}").into()]);
        }
        if let Some(store) = store {
            arguments.extend(["--store".into(), store.into()]);
        }
        if self.no_upstreams {
            arguments.push("--no-upstreams".into());
        }
        arguments
    }
}

/// Reads `NAME=VALUE`. The value may be a key: no error repeats it.
#[derive(Clone, Copy, Debug)]
struct Variable;

impl TypedValueParser for Variable {
    type Value = (String, String);

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<(String, String), Error> {
        let pair = value.to_str().and_then(|text| text.split_once('='));
        match pair.filter(|(name, _)| !name.is_empty()) {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => {
                let mut command = command.clone();
                Err(command.error(ErrorKind::ValueValidation, "--variable takes NAME=VALUE"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        up: UpOptions,
    }

    fn parse(arguments: &[&str]) -> Result<UpOptions, Error> {
        let arguments = ["program"].iter().chain(arguments);
        Ok(Program::try_parse_from(arguments)?.up)
    }

    #[test]
    fn options_are_read_and_passed_on() {
        Program::command().debug_assert();
        let given = [
            "--listen",
            "127.0.0.1:0",
            "--variable",
            "a=b=c",
            "--variable",
            "d=",
            "--store",
            "redis://127.0.0.1",
            "--no-upstreams",
        ];
        let options = parse(&given).unwrap();
        assert_eq!(options.host.listen.port(), 0);
        let variables = [("a".into(), "b=c".into()), ("d".into(), String::new())];
        assert_eq!(options.host.variables, variables);
        assert!(options.no_upstreams);
        assert_eq!(options.arguments(), given.map(OsString::from));
        let plain = parse(&[]).unwrap();
        assert_eq!(plain.arguments(), ["--listen", "127.0.0.1:3000"]);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        for (arguments, words) in [
            (&["--listen", "3000"][..], "ADDRESS:PORT"),
            (&["--listen"], "ADDRESS:PORT"),
            (&["--variable", "sk-secret"], "NAME=VALUE"),
            (&["--variable", "=sk-secret"], "NAME=VALUE"),
            (&["--port", "1"], "--port"),
        ] {
            let error = parse(arguments).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("sk-"), "{error}");
        }
    }

    #[test]
    fn help_is_no_error() {
        let help = parse(&["--help"]).unwrap_err();
        assert_eq!(help.kind(), ErrorKind::DisplayHelp);
        assert_eq!(help.exit_code(), 0);
        for option in ["--listen", "--variable", "--store", "--no-upstreams"] {
            assert!(help.to_string().contains(option), "{help}");
        }
    }
}
