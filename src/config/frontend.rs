//! Pages of which origins may ask.

use std::fmt;

use super::Origin;

/// Pages of which origins may use the API, beside the application's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Frontend {
    /// `*`: of every origin, without credentials, as a public API has it.
    #[default]
    Any,
    /// `same-origin`: of no other.
    SameOrigin,
    /// An origin: of this one as well, with credentials.
    Only(Origin),
}

impl Frontend {
    /// # Errors
    /// What is expected instead.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "*" => Ok(Self::Any),
            "same-origin" => Ok(Self::SameOrigin),
            origin => match Origin::parse(origin) {
                Ok(origin) => Ok(Self::Only(origin)),
                Err(expected) => Err(format!("{expected}, or `*`, or `same-origin`")),
            },
        }
    }

    /// The one other origin, where it is one.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Only(origin) => Some(origin),
            Self::Any | Self::SameOrigin => None,
        }
    }
}

/// Writes it as the variable has it.
impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::SameOrigin => f.write_str("same-origin"),
            Self::Only(origin) => origin.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_and_written_alike() {
        for text in ["*", "same-origin", "https://dj.example"] {
            assert_eq!(Frontend::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "* ",
            "null",
            "dj.example",
            "https://dj.example/page",
            "self",
        ] {
            let expected = Frontend::parse(text).unwrap_err();
            assert!(expected.contains("`same-origin`"), "{text}: {expected}");
        }
    }
}
