//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// What `cargo xtask up` was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) component: Option<PathBuf>,
    /// For the store and the compiled code.
    pub(crate) state: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) store: Option<PathBuf>,
    pub(crate) upstreams: bool,
}

impl Options {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            component: None,
            state: PathBuf::from("target/up"),
            listen: ([127, 0, 0, 1], 3000).into(),
            variables: Vec::new(),
            store: None,
            upstreams: true,
        };
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let mut value = |what: &str| {
                let value = arguments.next();
                value.with_context(|| format!("{flag} needs {what}"))
            };
            match flag.as_str() {
                "--component" => options.component = Some(value("a file")?.into()),
                "--state" => options.state = value("a folder")?.into(),
                "--store" => options.store = Some(value("a file or a redis:// address")?.into()),
                "--no-upstreams" => options.upstreams = false,
                "--listen" => {
                    let text = value("ADDRESS:PORT")?;
                    let address = text.parse();
                    options.listen = address
                        .with_context(|| format!("--listen takes ADDRESS:PORT, not {text:?}"))?;
                }
                "--variable" => {
                    let text = value("NAME=VALUE")?;
                    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
                    // The value may be a key: it is not repeated.
                    let (name, value) = pair.context("--variable takes NAME=VALUE")?;
                    options.variables.push((name.to_owned(), value.to_owned()));
                }
                other => bail!(
                    "unknown option {other}: there are --listen, --variable, --store and \
                     --no-upstreams"
                ),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn options_are_read() {
        let options = parse(&[
            "--listen",
            "127.0.0.1:0",
            "--variable",
            "a=b=c",
            "--variable",
            "d=",
            "--no-upstreams",
        ]);
        let options = options.unwrap();
        assert_eq!(options.listen.port(), 0);
        assert_eq!(options.variables[0], ("a".into(), "b=c".into()));
        assert_eq!(options.variables[1], ("d".into(), String::new()));
        assert!(!options.upstreams);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        for (arguments, words) in [
            (&["--listen", "3000"][..], "ADDRESS:PORT"),
            (&["--listen"], "needs"),
            (&["--variable", "sk-secret"], "NAME=VALUE"),
            (&["--port", "1"], "--listen"),
        ] {
            let error = format!("{:#}", parse(arguments).unwrap_err());
            assert!(error.contains(words) && !error.contains("sk-"), "{error}");
        }
    }
}
