use std::sync::{Arc, Mutex};

use super::super::Effort;
use super::*;

fn with(pairs: &[(&'static str, &'static str)]) -> Result<Config, ConfigErrors> {
    let pairs = pairs.to_vec();
    let config = Config::new(move |name| {
        let found = pairs.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    config.check(Variables::ALL)?;
    Ok(config)
}

fn broken(pairs: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    let errors = with(pairs).err().map(|errors| errors.variables);
    let errors = errors.unwrap_or_default().into_iter();
    errors.map(|error| error.name).collect()
}

#[test]
fn starts_with_nothing_set() {
    for source in [
        |_: &str| None,
        |_: &str| Some(String::new()),
        |_: &str| Some("  ".into()),
    ] {
        let config = Config::new(source);
        config.check(Variables::ALL).unwrap();
        assert!(config.anthropic().api_key.is_none());
        assert_eq!(config.operator().environment, Environment::Production);
        assert_eq!(config.pages().frontend_url, Frontend::Any);
        assert_eq!(config.operator().admin_token, AdminToken::Unset);
        assert_eq!(
            config.anthropic().base_url.as_str(),
            "https://api.anthropic.com"
        );
        assert_eq!(config.streams().heartbeat, Duration::from_secs(15));
        assert_eq!(config.limits().subrequest_budget.get(), 950);
        let caller = config.callers().limit.unwrap();
        assert_eq!((caller.requests.get(), caller.window.as_secs()), (20, 600));
        assert_eq!(config.callers().runs.get(), 2);
        let lanes = config.limits().lanes;
        let lanes = [lanes.anthropic, lanes.spotify, lanes.deezer, lanes.lastfm];
        assert_eq!(lanes.map(NonZeroU32::get), [2, 5, 10, 10]);
        assert_eq!(config.streams().request_deadline, None);
        assert_eq!(timeouts(&config), [5_000, 60_000, 60_000]);
    }
}

/// To connect, to the head, and between reads, in milliseconds.
fn timeouts(config: &Config) -> [u128; 3] {
    let limits = config.limits().upstream_timeouts;
    [limits.connect, limits.first_byte, limits.idle].map(|limit| limit.as_millis())
}

/// What `use_it` lets be read.
fn read_by(use_it: impl FnOnce(&Config)) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let config = Config::new(move |name| {
        sink.lock().unwrap().push(name.to_owned());
        None
    });
    use_it(&config);
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.sort();
    seen
}

#[test]
fn every_variable_is_read_once() {
    let mut all: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    all.sort_unstable();
    let check = |config: &Config| {
        config.check(Variables::ALL).unwrap();
        config.check(Variables::ALL).unwrap();
        config.spotify();
    };
    assert_eq!(read_by(check), all);
}

#[test]
fn what_nobody_needs_is_not_read() {
    assert_eq!(read_by(|_| {}), Vec::<String>::new());
    let edge = |config: &Config| config.check(&[Variables::Edge]).unwrap();
    assert_eq!(read_by(edge), ["public_url"]);
}

/// The names and values of a table of the manifest.
fn table(name: &str) -> Vec<(&'static str, &'static str)> {
    let manifest = include_str!("../../../spin.toml");
    let (_, table) = manifest.split_once(&format!("\n[{name}]\n")).unwrap();
    let lines = table.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once(" = ")).collect()
}

/// The manifest's defaults are the table's where it needs them itself, and else none:
/// then ours is used.
#[test]
fn the_manifest_declares_and_hands_on_every_variable() {
    let (declared, handed_on) = (table("variables"), table("component.spinlane.variables"));
    assert_eq!(declared.len(), VARIABLES.len());
    assert_eq!(handed_on.len(), VARIABLES.len());
    for Variable {
        name,
        default,
        is_secret,
        ..
    } in VARIABLES
    {
        let secret = if *is_secret { ", secret = true" } else { "" };
        let forms = ["", default].map(|default| format!("{{ default = \"{default}\"{secret} }}"));
        let value = declared.iter().find(|(declared, _)| declared == name);
        assert!(
            forms.iter().any(|form| form == value.unwrap().1),
            "{value:?}"
        );
        let value = format!("\"{{{{ {name} }}}}\"");
        assert!(handed_on.contains(&(name, &value)), "{name}");
    }
}

#[test]
fn the_readme_has_the_table() {
    let readme = include_str!("../../../README.md");
    let rows = VARIABLES.iter().map(|variable| {
        let Variable {
            name,
            default,
            about,
            ..
        } = variable;
        let default = match *default {
            "" => String::new(),
            default => format!("`{default}` "),
        };
        format!("| `{name}` | {default}| {about} |\n")
    });
    let table: String = rows.collect();
    let table = format!("| variable | default | |\n| --- | --- | --- |\n{table}\n");
    assert!(readme.contains(&table), "README.md lacks:\n{table}");
}

#[test]
fn values_are_typed() {
    let config = with(&[
        ("environment", "development"),
        ("anthropic_thinking", "adaptive:low"),
        ("lane_limits", "deezer=3, anthropic=1"),
        ("caller_limit", "5/2h"),
        ("request_deadline_ms", "28000"),
        ("upstream_timeouts_ms", "200, 300,400"),
        ("limit_scope", "instance"),
        ("client_ip_header", "X-Real-IP"),
        ("log_level", "trace"),
        ("frontend_url", "https://dj.example/"),
    ])
    .unwrap();
    assert_eq!(config.operator().environment, Environment::Development);
    assert_eq!(config.log().level, LevelFilter::TRACE);
    let thinking = config.anthropic().thinking();
    assert_eq!(thinking, Thinking::Adaptive(Some(Effort::Low)));
    assert_eq!(config.limits().lanes.deezer.get(), 3);
    assert_eq!(config.limits().lanes.anthropic.get(), 1);
    assert_eq!(config.limits().lanes.spotify.get(), 5);
    let caller = config.callers().limit.unwrap();
    assert_eq!((caller.requests.get(), caller.window.as_secs()), (5, 7200));
    assert_eq!(
        config.streams().request_deadline,
        Some(Duration::from_secs(28))
    );
    assert_eq!(timeouts(&config), [200, 300, 400]);
    assert_eq!(config.limits().scope, Some(LimitScope::Instance));
    assert_eq!(
        with(&[("caller_limit", "off")]).unwrap().callers().limit,
        None
    );
}

/// For one release, and with a warning.
#[test]
fn what_has_a_new_name_is_read_by_the_old_one() {
    let old = ("anthropic_thinking_tokens", "2048");
    let config = with(&[old]).unwrap();
    let tokens = Thinking::Tokens(NonZeroU32::new(2048).unwrap());
    assert_eq!(config.anthropic().thinking(), tokens);
    let replaced = Some(("anthropic_thinking_tokens", "anthropic_thinking"));
    assert_eq!(config.anthropic().deprecated(), replaced);
    let both = with(&[old, ("anthropic_thinking", "off")]).unwrap();
    assert_eq!(both.anthropic().thinking(), Thinking::Unasked);
    assert_eq!(both.anthropic().deprecated(), replaced);
    assert!(with(&[]).unwrap().anthropic().deprecated().is_none());
    let off = with(&[("anthropic_thinking_tokens", "0")]).unwrap();
    assert_eq!(off.anthropic().thinking(), Thinking::Unasked);
}

#[test]
fn all_malformed_values_are_named_at_once() {
    let names = broken(&[
        ("anthropic_base_url", "https://a.example/v1"),
        ("heartbeat_ms", "0"),
        ("lane_limits", "anthropic=0"),
        ("caller_limit", "20"),
        ("environment", "prod"),
        ("admin_token", "two words"),
    ]);
    let mut expected = vec![
        "anthropic_base_url",
        "heartbeat_ms",
        "lane_limits",
        "caller_limit",
        "environment",
        "admin_token",
    ];
    let mut names = names;
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn a_token_that_could_be_guessed_opens_nothing() {
    let token = |text: &'static str| {
        with(&[("admin_token", text)])
            .unwrap()
            .operator()
            .admin_token
            .clone()
    };
    assert_eq!(token("a"), AdminToken::TooShort);
    assert_eq!(token("123456789012345"), AdminToken::TooShort);
    let secret = Secret::new("1234567890123456");
    assert_eq!(token("1234567890123456").secret(), Some(&secret));
    assert_eq!(token(" 123456789012345 ").secret(), None);
}

#[test]
fn hostile_numbers_are_refused() {
    for (name, value) in [
        ("heartbeat_ms", "-1"),
        ("heartbeat_ms", "1.5"),
        ("heartbeat_ms", "99999999999999999999"),
        ("anthropic_thinking_tokens", "1023"),
        ("anthropic_thinking_tokens", "many"),
        ("anthropic_thinking", "adaptive:most"),
        ("upstream_progress_ms", "0"),
        ("global_rps", "0"),
        ("global_rps", "inf"),
        ("subrequest_budget", "4294967296"),
        ("lane_limits", "anthropic=2,unknown=3"),
        ("lane_limits", ","),
        ("caller_limit", "0/10m"),
        ("caller_limit", "5/0m"),
        ("caller_limit", "5/10"),
        ("caller_limit", "5/é"),
        ("caller_runs", "0"),
        ("client_ip_header", "not a header"),
        ("upstream_timeouts_ms", "0"),
        ("upstream_timeouts_ms", "1,2"),
        ("log_level", "3"),
        ("log_level", "loud"),
    ] {
        assert_eq!(broken(&[(name, value)]), [name], "{value}");
    }
}

#[test]
fn errors_and_debug_hold_no_secret() {
    let errors = with(&[("anthropic_api_key", "sk bad key"), ("admin_token", "ß")]);
    let text = format!("{errors:?} {}", errors.as_ref().unwrap_err());
    assert!(!text.contains("sk bad"), "{text}");
    let config = with(&[
        ("anthropic_api_key", "sk-ant-1"),
        ("admin_token", "t0ken-of-the-operator"),
    ]);
    let text = format!("{config:?}");
    assert!(
        !text.contains("sk-ant") && !text.contains("t0ken"),
        "{text}"
    );
}
