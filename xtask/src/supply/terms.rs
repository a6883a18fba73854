//! Licences: which are accepted, and which of those that a package offers is taken.

use anyhow::{Context, Result, bail};
use cargo_metadata::Package;
use spdx::{Expression, LicenseReq, Licensee, ParseMode};

/// Accepted for everything, the one that is taken first where a package offers
/// several.
const ACCEPTED: [&str; 10] = [
    "Apache-2.0 WITH LLVM-exception",
    "Apache-2.0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
    "BSL-1.0",
];

/// Accepted for one package: its own files keep their licence, which asks nothing of
/// those beside them.
const EXCEPTIONS: [(&str, &str); 2] = [("libfuzzer-sys", "NCSA"), ("smartstring", "MPL-2.0")];

/// The licences that are taken of those that `package` offers.
///
/// # Errors
/// When there is none, or it needs one that is not accepted.
pub(super) fn accepted(package: &Package) -> Result<Vec<LicenseReq>> {
    let name = format!("{} {}", package.name, package.version);
    let Some(licence) = &package.license else {
        bail!("{name} names no licence");
    };
    let expression = Expression::parse_mode(licence, ParseMode::LAX)
        .ok()
        .with_context(|| format!("{name}: {licence} is no licence expression"))?;
    let own = EXCEPTIONS
        .iter()
        .filter(|(of, _)| *of == package.name.as_str())
        .map(|(_, licence)| *licence);
    let licensees: Vec<Licensee> = ACCEPTED
        .into_iter()
        .chain(own)
        .map(Licensee::parse)
        .collect::<Result<_, _>>()
        .ok()
        .context("the list of licences is malformed")?;
    expression
        .minimized_requirements(&licensees)
        .ok()
        .with_context(|| format!("{name}: {licence} is not accepted"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::metadata;

    #[test]
    fn what_is_offered_is_taken_in_order_and_what_is_not_accepted_is_refused() {
        let metadata = metadata().unwrap();
        let mut package = metadata.packages.into_iter().next().unwrap();
        let mut taken = |licence: Option<&str>| {
            package.license = licence.map(str::to_owned);
            let taken = accepted(&package).ok()?;
            Some(taken.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        for (licence, expected) in [
            (Some("MIT OR Apache-2.0"), Some(vec!["Apache-2.0"])),
            (Some("MIT/Apache-2.0"), Some(vec!["Apache-2.0"])),
            (Some("MIT"), Some(vec!["MIT"])),
            (Some("GPL-3.0 OR MIT"), Some(vec!["MIT"])),
            (Some("MIT AND GPL-3.0"), None),
            (Some("AGPL-3.0-only"), None),
            (Some("MPL-2.0"), None),
            (Some("all mine"), None),
            (None, None),
        ] {
            let expected = expected.map(|all| all.into_iter().map(str::to_owned).collect());
            assert_eq!(taken(licence), expected, "{licence:?}");
        }
    }
}
