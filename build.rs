//! Embeds the page: everything under `web/` becomes a table of assets for
//! `api::assets`.
//!
//! `web/x.html` is a page. Any other file is an asset, named in sources as
//! `/assets/FILE` (its path under `web/`) and served under a name that holds a
//! hash of its content, so that browsers may keep it for good. References are
//! rewritten here, so nothing is hashed or searched for while the program runs.
//! Scripts and styles are served without the lines that only their authors read;
//! what others wrote, under `web/vendor`, as it is. A module becomes one file with
//! those that it imports ([`bundle`]); others come when the program asks for them.
//! A page's style sheets and classic scripts become part of it, since nothing is
//! painted before they are there: its policy then allows them by their hashes.
//! A reference to a file that does not exist, or a circle of references, fails
//! the build.
//!
//! All are compressed, and the OpenAPI document is one of them.
//!
//! What the model is told of its tools is put on one line, as it is sent.
//!
//! Beside that it bounds the component's stack ([`STACK`]), gives it a heap to begin with
//! ([`HEAP`]), and leaves the names of functions out of it, which only a profiler reads:
//! `SPINLANE_NAMES=1` keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

#[path = "build/bundle.rs"]
mod bundle;

/// The component's stack, in bytes. A host clears and copies the memory that an
/// instance begins with for every request, and of the usual 1 MiB a request uses a
/// fiftieth. The stack comes first in memory: one that overflows traps.
const STACK: usize = 256 << 10;

/// What an instance has for allocations before it asks for more, in bytes: more than a
/// short request needs. A host protects and unprotects what is grown, for every instance
/// anew, and interrupts its other threads for it.
const HEAP: usize = 128 << 10;

const PREFIX: &str = "/assets/";

/// The OpenAPI document.
const OPENAPI: &str = "src/api/docs/openapi.json";

/// What the model is told of its tools.
const TOLD: &str = "src/chat/tools/told.json";

/// Others' files, with their licences: nothing is changed in them.
const VENDOR: &str = "vendor/";

fn main() {
    println!("cargo:rerun-if-changed=web");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed={OPENAPI}");
    println!("cargo:rerun-if-changed={TOLD}");
    println!("cargo:rerun-if-env-changed=SPINLANE_NAMES");
    if env::var_os("CARGO_CFG_TARGET_FAMILY").is_some_and(|family| family == "wasm") {
        println!("cargo:rustc-link-arg-cdylib=-zstack-size={STACK}");
        println!("cargo:rustc-link-arg-cdylib=--initial-heap={HEAP}");
        if env::var_os("SPINLANE_NAMES").is_none() {
            println!("cargo:rustc-link-arg-cdylib=--strip-all");
        }
    }
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let mut web = Web::read(&root.join("web"));
    let parts = web.parts();
    let names: Vec<String> = web.sources.keys().cloned().collect();
    for name in names.iter().filter(|name| !parts.contains(*name)) {
        web.build(name, &mut Vec::new());
    }
    web.add_document(on_one_line(&root.join(OPENAPI)));
    web.write(&out);
    let told = on_one_line(&root.join(TOLD));
    fs::write(out.join("told.json"), told).expect("OUT_DIR can be written to");
}

/// The JSON in `file`, without its line breaks and indentation.
fn on_one_line(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    text.lines().map(str::trim_start).collect()
}

/// The files of `web/`, and what has become of them.
struct Web {
    /// By path under `web/`.
    sources: BTreeMap<String, Vec<u8>>,
    built: BTreeMap<String, Built>,
}

struct Built {
    bytes: Vec<u8>,
    /// Of the content, with its references rewritten.
    hash: String,
    /// What it is served as.
    url: String,
    /// What its policy allows beside files, by kind.
    inline: Inline,
}

/// Hashes of what stands in a page, as its policy takes them.
#[derive(Default)]
struct Inline {
    scripts: String,
    styles: String,
}

impl Web {
    fn read(folder: &Path) -> Self {
        let mut sources = BTreeMap::new();
        collect(folder, "", &mut sources);
        Self {
            sources,
            built: BTreeMap::new(),
        }
    }

    /// Modules that are imported and named nowhere else: parts of others.
    fn parts(&self) -> BTreeSet<String> {
        let scripts = self.sources.iter().filter(|(name, _)| is_own_script(name));
        let scripts = scripts.map(|(name, _)| self.text(name));
        let parts = scripts.flat_map(bundle::imports).map(str::to_owned);
        parts.collect()
    }

    fn text(&self, name: &str) -> &str {
        let source = self.sources.get(name);
        let source = source.unwrap_or_else(|| panic!("there is no web/{name}"));
        std::str::from_utf8(source).unwrap_or_else(|_| panic!("web/{name} is not UTF-8"))
    }

    /// Builds `name` after all that it refers to. `within` are those that wait
    /// for it.
    fn build(&mut self, name: &str, within: &mut Vec<String>) {
        if self.built.contains_key(name) {
            return;
        }
        assert!(
            !within.iter().any(|outer| outer == name),
            "web/{name} refers to itself through {within:?}"
        );
        within.push(name.to_owned());
        let mut inline = Inline::default();
        let bytes = match media_type(name).1 && !name.starts_with(VENDOR) {
            true => {
                let text = if name.ends_with(".html") {
                    let page = self.text(name).to_owned();
                    self.take_in(&page, within, &mut inline)
                } else if is_own_script(name) {
                    bundle::bundle(name, &|part| self.text(part))
                } else {
                    self.text(name).to_owned()
                };
                self.rewrite(name, &text, within)
            }
            false => self.sources[name].clone(),
        };
        within.pop();
        let hash = hex(&Sha256::digest(&bytes)[..8]);
        let url = match name.rsplit_once('.') {
            Some((page, "html")) => format!("/{page}.html"),
            Some((stem, extension)) => format!("{PREFIX}{stem}-{hash}.{extension}"),
            None => panic!("web/{name} has no extension"),
        };
        let built = Built {
            bytes,
            hash,
            url,
            inline,
        };
        self.built.insert(name.to_owned(), built);
    }

    /// Puts style sheets and classic scripts in the place of the lines that
    /// refer to them.
    fn take_in(&mut self, page: &str, within: &mut Vec<String>, inline: &mut Inline) -> String {
        let mut whole = String::with_capacity(page.len());
        for line in page.lines() {
            let between = |begin: &str, end: &str| {
                let name = line.strip_prefix(begin)?.strip_suffix(end)?;
                Some(name.to_owned())
            };
            let style = between("<link rel=\"stylesheet\" href=\"/assets/", "\">");
            let script = between("<script src=\"/assets/", "\"></script>");
            let (tag, hashes, name) = match (style, script) {
                (Some(name), _) => ("style", &mut inline.styles, name),
                (_, Some(name)) => ("script", &mut inline.scripts, name),
                _ => {
                    whole.push_str(line);
                    whole.push('\n');
                    continue;
                }
            };
            let code = self.code(&name, within);
            assert!(
                !code.contains("</"),
                "web/{name} would end the element that it is put into"
            );
            let hash = BASE64_STANDARD.encode(Sha256::digest(&code));
            write!(hashes, " 'sha256-{hash}'").expect("writing to a string cannot fail");
            writeln!(whole, "<{tag}>{code}</{tag}>").expect("writing to a string cannot fail");
        }
        whole
    }

    /// A file that becomes part of a page, and is not served by itself.
    fn code(&mut self, name: &str, within: &mut Vec<String>) -> String {
        self.build(name, within);
        self.built.get_mut(name).expect("just built").url.clear();
        String::from_utf8(self.built[name].bytes.clone()).expect("text, as it was")
    }

    /// Puts served names in the place of those of the sources.
    fn rewrite(&mut self, name: &str, text: &str, within: &mut Vec<String>) -> Vec<u8> {
        let mut parts = text.split(PREFIX);
        let mut built = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let is_name = |char: char| char.is_ascii_alphanumeric() || "._-/".contains(char);
            let end = part.find(|char| !is_name(char)).unwrap_or(part.len());
            let (reference, rest) = part.split_at(end);
            if reference.is_empty() {
                built.push_str(PREFIX);
            } else {
                assert!(
                    self.sources.contains_key(reference),
                    "web/{name} refers to {PREFIX}{reference}, and there is no web/{reference}"
                );
                self.build(reference, within);
                built.push_str(&self.built[reference].url);
            }
            built.push_str(rest);
        }
        match name.rsplit_once('.') {
            Some((_, "css" | "js" | "mjs")) => without_comments(name, &built).into_bytes(),
            _ => built.into_bytes(),
        }
    }

    fn add_document(&mut self, document: String) {
        let built = Built {
            hash: hex(&Sha256::digest(&document)[..8]),
            bytes: document.into_bytes(),
            url: "/api/openapi.json".into(),
            inline: Inline::default(),
        };
        self.built.insert("openapi.json".into(), built);
    }

    /// Writes the files, compressed, and the table of them.
    fn write(&self, out: &Path) {
        let mut table = String::from("&[\n");
        let served = |(_, built): &(&String, &Built)| !built.url.is_empty();
        for (name, built) in self.built.iter().filter(served) {
            let Built {
                bytes,
                hash,
                url,
                inline: Inline { scripts, styles },
            } = built;
            let file = format!("web-{hash}");
            fs::write(out.join(&file), gzip(bytes)).expect("OUT_DIR can be written to");
            let media_type = media_type(name).0;
            writeln!(
                table,
                "    Asset {{ path: {url:?}, media_type: {media_type:?}, etag: {:?}, \
                 scripts: {scripts:?}, styles: {styles:?}, \
                 gzip: include_bytes!(concat!(env!(\"OUT_DIR\"), {:?})) }},",
                format!("\"{hash}\""),
                format!("/{file}"),
            )
            .expect("writing to a string cannot fail");
        }
        table.push(']');
        fs::write(out.join("assets.rs"), table).expect("OUT_DIR can be written to");
    }
}

/// Code without indentation, empty lines and comments that have a line to
/// themselves: a fifth of what a visitor would have to load.
///
/// It looks at lines, not at the grammar: text in backticks that goes over
/// several lines would lose its indentation.
fn without_comments(name: &str, code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut within = false;
    for line in code.lines().map(str::trim) {
        if within || line.starts_with("/*") {
            within = !line.contains("*/");
            assert!(
                within || line.ends_with("*/"),
                "web/{name}: code behind a comment: {line}"
            );
        } else if !line.is_empty() && !line.starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("writing to memory cannot fail")
}

fn is_own_script(name: &str) -> bool {
    name.ends_with(".js") && !name.starts_with(VENDOR)
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let path = entry.expect("a folder that can be read").path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_else(|| panic!("{path:?} is not UTF-8"));
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), files);
        } else {
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            files.insert(format!("{prefix}{name}"), bytes);
        }
    }
}

/// What a file is, and whether it is text that may hold references.
fn media_type(name: &str) -> (&'static str, bool) {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => ("text/html; charset=utf-8", true),
        Some("css") => ("text/css; charset=utf-8", true),
        Some("js" | "mjs") => ("text/javascript; charset=utf-8", true),
        Some("svg") => ("image/svg+xml", true),
        Some("webmanifest") => ("application/manifest+json", true),
        Some("json") => ("application/json", true),
        Some("txt") => ("text/plain; charset=utf-8", true),
        Some("png") => ("image/png", false),
        Some("ico") => ("image/x-icon", false),
        Some("webp") => ("image/webp", false),
        Some("woff2") => ("font/woff2", false),
        _ => panic!("web/{name}: build.rs does not know this kind of file"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
