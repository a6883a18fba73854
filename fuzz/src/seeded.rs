//! The targets as loops from a seed, on what is kept in `corpus` and changes of it.
//!
//! A loop takes 20 s, more by the variable `SPINLANE_FUZZ_SECONDS`; its seed is always the
//! same, another one by `SPINLANE_FUZZ_SEED`. Other than `cargo fuzz` it is not guided by
//! what it reaches: it depends on inputs that reach much.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spinlane_core::testing::SeededEntropy;

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn folder(kind: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(name)
}

/// What is kept for a target, in the order of the names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = folder("corpus", name);
    let files = fs::read_dir(&folder).unwrap_or_else(|_| panic!("no {}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).expect("a file"))
        .collect()
}

/// Bytes that mean something to what is read here.
const WORDS: [&[u8]; 40] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"data",
    b"data:",
    b"data: ",
    b"event: ",
    b"id: ",
    b"retry: ",
    b":",
    b"\xef\xbb\xbf",
    b"\xef\xbb",
    b"\xe2\x82",
    b"\xf0\x9f\x8e",
    b"\xff",
    b"\0",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b",",
    b"null",
    b"true",
    b"-1",
    b"1e400",
    b"1.0",
    b"\\ud83d",
    b"\\u0000",
    b";",
    b"=",
    b"__Host-spinlane-session=",
    b"spotify:playlist:",
    b"https://",
    b"/",
    b"?",
    b"%2F",
    b"&",
    b"state=STATE",
];

/// Another input, made of `kept`.
fn changed(kept: &[Vec<u8>], chance: &SeededEntropy) -> Vec<u8> {
    let below = |bound: usize| chance.below(bound as u64) as usize;
    let mut bytes = match below(20) {
        0 => (0..below(64)).map(|_| below(256) as u8).collect(),
        _ => kept[below(kept.len())].clone(),
    };
    for _ in 0..=below(6) {
        let at = below(bytes.len() + 1);
        let end = at + below((bytes.len() - at).min(24) + 1);
        match below(7) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..end, WORDS[below(WORDS.len())].iter().copied())),
            2 => drop(bytes.splice(at..at, WORDS[below(WORDS.len())].iter().copied())),
            3 => {
                let again = bytes[at..end].to_vec();
                let to = below(bytes.len() + 1);
                drop(bytes.splice(to..to, again));
            }
            4 => {
                let other = &kept[below(kept.len())];
                let from = below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ if at < bytes.len() => bytes[at] = below(256) as u8,
            _ => bytes.push(below(256) as u8),
        }
    }
    // The choices that its first bytes stand for.
    for byte in bytes.iter_mut().take(2).filter(|_| below(2) == 0) {
        *byte = below(256) as u8;
    }
    bytes.truncate(4096);
    bytes
}

/// Tries an input. One that shows a fault is kept where cargo fuzz keeps them.
fn attempt(name: &str, target: fn(&[u8]), input: &[u8], from: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_ok() {
        return;
    }
    let folder = folder("artifacts", name);
    let file = folder.join(from);
    let kept = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, input));
    kept.expect("the input can be kept");
    panic!(
        "{name} ({from}): {}\nthe input is in {}: when it is mended, move that into corpus/{name}",
        input.escape_ascii(),
        file.display()
    );
}

fn run(name: &str, target: fn(&[u8])) {
    let kept = corpus(name);
    for (index, input) in kept.iter().enumerate() {
        attempt(name, target, input, &format!("corpus-{index}"));
    }
    let seed = number("SPINLANE_FUZZ_SEED", 18);
    let chance = SeededEntropy::new(seed);
    let time = Duration::from_secs(number("SPINLANE_FUZZ_SECONDS", 20));
    let (begin, mut tried) = (Instant::now(), 0_u64);
    while begin.elapsed() < time {
        tried += 1;
        let input = changed(&kept, &chance);
        attempt(name, target, &input, &format!("seed-{seed}-{tried}"));
    }
    println!("{name}: {} kept and {tried} from seed {seed}", kept.len());
}

macro_rules! loops {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            run(stringify!($name), crate::$name::target);
        }
    )*};
}

loops!(
    anthropic, cookies, decoder, encoder, envelope, ids, json, oauth, peers, segments
);
