//! What a request is called in logs, in answers, and between services.

use http::{HeaderMap, HeaderName};

use super::hex;
use super::ports::Entropy;

/// Carries it, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The caller's own id where it is harmless, so that logs of several services
/// can be joined; else a fresh one.
pub fn of_request(headers: &HeaderMap, entropy: &dyn Entropy) -> String {
    let given = headers.get(X_REQUEST_ID);
    let given = given.and_then(|value| value.to_str().ok());
    match given.filter(|id| harmless(id)) {
        Some(id) => id.to_owned(),
        None => fresh(entropy),
    }
}

fn harmless(id: &str) -> bool {
    let character = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&id.len()) && id.bytes().all(character)
}

fn fresh(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    hex::encode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[test]
    fn harmless_ids_are_kept_and_others_replaced() {
        let world = World::new();
        let entropy = &*world.ports().entropy;
        let long = "x".repeat(65);
        for (given, kept) in [
            ("one-of_a.kind-7", true),
            (&long[..64], true),
            (&long, false),
            ("", false),
            ("a b", false),
            ("\u{e9}", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, given.try_into().unwrap());
            let id = of_request(&headers, entropy);
            assert_eq!(id == given, kept, "{given}: {id}");
            assert!(harmless(&id), "{id}");
        }
        assert_eq!(of_request(&HeaderMap::new(), entropy).len(), 16);
    }
}
