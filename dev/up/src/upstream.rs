//! Which upstreams are real and which are simulated.

/// Where an upstream's calls go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A base URL was given.
    Given,
    /// Its key was given, or stand-ins were refused.
    Real,
    /// Neither: the stand-in.
    Simulated,
}

/// Decides for one upstream. `is_set` knows whether a variable has a value, by
/// option or environment.
pub(crate) fn kind(
    base_url: &str,
    key: &str,
    stand_ins: bool,
    is_set: impl Fn(&str) -> bool,
) -> Kind {
    if is_set(base_url) {
        Kind::Given
    } else if is_set(key) || !stand_ins {
        Kind::Real
    } else {
        Kind::Simulated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_wins_over_a_key_over_the_stand_in() {
        let kind = |set: &[&str], stand_ins| {
            super::kind("url", "key", stand_ins, |name| set.contains(&name))
        };
        assert_eq!(kind(&[], true), Kind::Simulated);
        assert_eq!(kind(&[], false), Kind::Real);
        assert_eq!(kind(&["key"], true), Kind::Real);
        assert_eq!(kind(&["url", "key"], true), Kind::Given);
        assert_eq!(kind(&["url"], false), Kind::Given);
    }
}
