//! Whether the model thinks before it answers, and what models take of that.

use std::num::NonZeroU32;

/// What the model is asked about thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// It is asked nothing: it does not think by itself, or cannot be kept from it.
    Unasked,
    /// It is asked not to think, as it would by itself.
    Disabled,
    /// It thinks as much as it finds right, with so much effort.
    Adaptive(Option<Effort>),
    /// It thinks in at most so many tokens.
    Tokens(NonZeroU32),
}

/// How much effort a model is to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Thoughts are short and cheap.
    Low,
    /// They are in between.
    Medium,
    /// They are long and dear.
    High,
}

impl Effort {
    /// The word that the variable has, and the service.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What a model takes, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Habits {
    tokens: bool,
    adaptive: bool,
    /// It thinks unless it is told not to.
    by_itself: bool,
}

/// Thinking in so many tokens is not for later models.
const LAST_TOKENS: (u32, u32) = (4, 6);
/// Adaptive thinking is not for earlier ones.
const FIRST_ADAPTIVE: (u32, u32) = (4, 6);
/// Models of this generation think by themselves.
const BY_ITSELF: u32 = 5;
/// Of these, some always do, and refuse to be told not to.
const ALWAYS: [&str; 2] = ["fable", "mythos"];

impl Habits {
    fn by_name(model: &str) -> Self {
        let model = model.to_ascii_lowercase();
        let Some(version) = version(&model) else {
            // Whoever serves a model by another name says what it takes.
            return Self {
                tokens: true,
                adaptive: true,
                by_itself: false,
            };
        };
        Self {
            tokens: version <= LAST_TOKENS,
            adaptive: version >= FIRST_ADAPTIVE,
            by_itself: version.0 >= BY_ITSELF && !ALWAYS.iter().any(|name| model.contains(name)),
        }
    }
}

/// The generation in a name such as `claude-opus-4-7`, `claude-3-7-sonnet-20250219`
/// or `anthropic.claude-opus-4-7-v1:0`: its first numbers that are no date.
fn version(model: &str) -> Option<(u32, u32)> {
    let (_, name) = model.split_once("claude")?;
    let pieces = name.split(|char: char| !char.is_ascii_alphanumeric());
    let mut numbers = pieces
        .filter(|piece| piece.len() <= 2)
        .filter_map(|piece| piece.parse().ok());
    let major = numbers.next()?;
    Some((major, numbers.next().unwrap_or(0)))
}

const EXPECTED: &str = "must be `off`, `adaptive`, `adaptive:low`, `adaptive:medium`, \
    `adaptive:high`, or a number of tokens from 1024 to 32000";

/// Reads the variable, for `model`.
///
/// # Errors
/// What is expected instead.
pub(super) fn parse(text: &str, model: &str) -> Result<Thinking, String> {
    let habits = Habits::by_name(model);
    let adaptive = |effort| match habits.adaptive {
        true => Ok(Thinking::Adaptive(effort)),
        false => Err(
            "must be `off` or a number of tokens: the model in `anthropic_model` does \
            not think adaptively"
                .to_owned(),
        ),
    };
    match text {
        "off" => Ok(off(model)),
        "adaptive" => adaptive(None),
        "adaptive:low" => adaptive(Some(Effort::Low)),
        "adaptive:medium" => adaptive(Some(Effort::Medium)),
        "adaptive:high" => adaptive(Some(Effort::High)),
        number => match tokens(number).ok_or(EXPECTED)? {
            None => Ok(off(model)),
            Some(tokens) if habits.tokens => Ok(Thinking::Tokens(tokens)),
            Some(_) => Err(
                "must be `off` or `adaptive`: the model in `anthropic_model` takes no \
                number of tokens"
                    .to_owned(),
            ),
        },
    }
}

/// What keeps a model from thinking, said only where it must be.
pub(super) fn off(model: &str) -> Thinking {
    match Habits::by_name(model).by_itself {
        true => Thinking::Disabled,
        false => Thinking::Unasked,
    }
}

/// A number within what the service takes; 0 is none.
fn tokens(text: &str) -> Option<Option<NonZeroU32>> {
    match text.parse().ok()? {
        0 => Some(None),
        tokens @ 1024..=32_000 => Some(NonZeroU32::new(tokens)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_told_by_the_name() {
        for (model, expected) in [
            ("claude-sonnet-4-6", Some((4, 6))),
            ("claude-opus-4-7", Some((4, 7))),
            ("claude-opus-4-20250514", Some((4, 0))),
            ("claude-opus-4-5-20251101", Some((4, 5))),
            ("claude-3-7-sonnet-20250219", Some((3, 7))),
            ("claude-sonnet-5", Some((5, 0))),
            ("claude-opus-4.7", Some((4, 7))),
            ("us.anthropic.claude-opus-4-7-v1:0", Some((4, 7))),
            ("claude-opus-4-1@20250805", Some((4, 1))),
            ("claude-opus-10-2", Some((10, 2))),
            ("claude-latest", None),
            ("gpt-5", None),
        ] {
            assert_eq!(version(model), expected, "{model}");
        }
    }

    #[test]
    fn a_model_is_asked_for_what_it_takes() {
        let tokens = Thinking::Tokens(NonZeroU32::new(2048).unwrap());
        let high = Thinking::Adaptive(Some(Effort::High));
        for (model, off, adaptive, number) in [
            ("claude-sonnet-4-5", Thinking::Unasked, None, Some(tokens)),
            (
                "claude-sonnet-4-6",
                Thinking::Unasked,
                Some(high),
                Some(tokens),
            ),
            ("claude-opus-4-7", Thinking::Unasked, Some(high), None),
            ("claude-sonnet-5", Thinking::Disabled, Some(high), None),
            ("claude-opus-5-1", Thinking::Disabled, Some(high), None),
            ("claude-fable-5", Thinking::Unasked, Some(high), None),
            ("my-proxy", Thinking::Unasked, Some(high), Some(tokens)),
        ] {
            assert_eq!(parse("off", model), Ok(off), "{model}");
            assert_eq!(parse("0", model), Ok(off), "{model}");
            assert_eq!(parse("adaptive:high", model).ok(), adaptive, "{model}");
            assert_eq!(parse("2048", model).ok(), number, "{model}");
        }
        for text in [
            "on",
            "adaptive:",
            "adaptive:max",
            "Adaptive",
            "1023",
            "32001",
            "-1",
            "1e4",
        ] {
            assert_eq!(parse(text, "my-proxy"), Err(EXPECTED.into()), "{text}");
        }
    }
}
