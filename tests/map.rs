//! `docs/architecture.md` leads to what is there: each "`name` in [file](path)" is a
//! file that has such a name.

use std::fs;
use std::path::Path;

/// The name and the path of each such place.
fn places(map: &str) -> Vec<(&str, &str)> {
    let places = map.split("` in [").collect::<Vec<_>>();
    let pairs = places.windows(2).map(|pair| {
        let name = pair[0].rsplit('`').next().expect("a name");
        let (_, link) = pair[1].split_once("](").expect("a link");
        let (path, _) = link.split_once(')').expect("its end");
        (name, path)
    });
    pairs.collect()
}

#[test]
fn the_map_leads_to_what_is_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let map = fs::read_to_string(docs.join("architecture.md")).expect("the map");
    let places = places(&map);
    assert!(places.len() > 50, "{}", places.len());
    for (name, path) in places {
        let file = fs::read_to_string(docs.join(path));
        let file = file.unwrap_or_else(|error| panic!("{path}: {error}"));
        let kinds = ["fn", "struct", "enum", "trait"];
        let declared = |kind: &&str| {
            let declaration = format!("{kind} {name}");
            let mut parts = file.split(declaration.as_str()).skip(1);
            parts.any(|rest| rest.starts_with(['(', '<', ' ', '{', ';']))
        };
        assert!(kinds.iter().any(declared), "{name} in {path}");
    }
}
