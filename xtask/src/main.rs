//! `cargo xtask …`: everything that is done with this repository.
//!
//! Each command installs what it needs where it may, says what it does while it
//! does it, and names at the end what it could not do.

mod bench;
mod browser;
mod build;
mod lint;
mod steps;
mod test;
mod tools;
mod up;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  up      run the DJ: component, simulated upstreams, host
            --listen ADDR           where to listen (default 127.0.0.1:3000)
            --variable NAME=VALUE   set a variable of spin.toml (repeatable)
            --store PLACE           the key-value store: a file, or a redis:// address
            --no-upstreams          no stand-ins: talk to the real services
  build   build every component: Spin, Spin without counters, plain WASI, fixture
  test    pass every test
            --filter NAME           only Rust tests whose name contains NAME
  bench   measure what limits, and relaying an answer, cost
  lint    formatting and lints, native and wasm, warnings are errors
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let result = match command.as_str() {
        "up" => up::run(&rest),
        "build" => build::all(),
        "test" => test::run(&rest),
        "lint" => lint::run(),
        "bench" => bench::run(),
        "" | "help" | "-h" | "--help" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("unknown command {other:?}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
