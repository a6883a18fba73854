//! What every answer must be, whatever went wrong on the way to it.

use std::fmt;

use reqwest::Response;
use serde_json::Value;
use spinlane_core::sse::Decoder;

use super::words::Turn;

/// An answer that is not what was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

/// What was found to be as it must be, or was not.
pub type Judged<T = ()> = Result<T, Broken>;

/// Returns with what is broken unless it is so.
macro_rules! ensure {
    ($is_so:expr, $($what:tt)+) => {
        if !$is_so {
            return Err($crate::load::judge::Broken(format!($($what)+)));
        }
    };
}
pub(crate) use ensure;

/// One frame of a stream.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its number.
    pub id: u64,
    /// Its `type`.
    pub kind: String,
    /// Its `data`.
    pub data: Value,
}

impl Frame {
    fn is_terminal(&self) -> bool {
        matches!(self.kind.as_str(), "done" | "error")
    }
}

/// Every type of frame that the document names.
const KINDS: [&str; 11] = [
    "run",
    "content",
    "thinking",
    "tool_start",
    "tool_end",
    "progress",
    "result",
    "usage",
    "log",
    "done",
    "error",
];

/// Reasons for an end before there was one.
const REASONS: [&str; 7] = [
    "upstream_cut",
    "stopped",
    "turn_limit",
    "max_tokens",
    "refusal",
    "deadline",
    "abandoned",
];

/// What an answer may fail with when an upstream does. `internal` is none of it, nor is
/// anything that its caller has done wrong.
pub(super) const UPSTREAM_ERRORS: [&str; 12] = [
    "upstream_auth",
    "upstream_rejected",
    "rate_limited",
    "overloaded",
    "upstream_error",
    "upstream_unreachable",
    "upstream_timeout",
    "upstream_protocol",
    "upstream_cut",
    "no_answer",
    "busy",
    "session_expired",
];

/// How a stream has ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// Its client went before.
    Cut,
    /// With all that there was to say.
    Whole,
    /// Before, and why.
    Incomplete(String),
    /// Without an answer, and why.
    Failed(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("none: the client had gone"),
            Self::Whole => f.write_str("done"),
            Self::Incomplete(why) => write!(f, "done, incomplete: {why}"),
            Self::Failed(why) => write!(f, "error: {why}"),
        }
    }
}

/// The frames of `text` that are whole, which must be numbered from `first` on, known,
/// and nothing after the last one.
///
/// # Errors
/// What is not so.
pub fn frames(text: &str, first: u64) -> Judged<Vec<Frame>> {
    let mut frames = Vec::new();
    let mut broken = None;
    let decoded = Decoder::new(1 << 20).push(text.as_bytes(), |event| {
        match frame(event.id, &event.data, first + frames.len() as u64) {
            Ok(frame) => frames.push(frame),
            Err(wrong) => broken = broken.take().or(Some(wrong)),
        }
    });
    ensure!(decoded.is_ok(), "an event that is too large: {text}");
    if let Some(broken) = broken {
        return Err(broken);
    }
    let terminal = frames.iter().position(Frame::is_terminal);
    ensure!(
        terminal.is_none_or(|at| at + 1 == frames.len()),
        "frames after the last one: {text}"
    );
    Ok(frames)
}

fn frame(id: &str, data: &str, expected: u64) -> Judged<Frame> {
    // That is said by who reads the run again, and is none of its frames.
    let is_readers_own = data.starts_with("{\"type\":\"error\"") && data.contains("\"run_lost\"");
    ensure!(
        id == expected.to_string() || is_readers_own,
        "id {id:?} in the place of {expected}"
    );
    let frame: Option<Value> = serde_json::from_str(data).ok();
    let Some(mut frame) = frame else {
        return Err(Broken(format!("a frame that is no JSON: {data}")));
    };
    let kind = frame["type"].as_str().unwrap_or_default().to_owned();
    ensure!(
        KINDS.contains(&kind.as_str()),
        "a frame of no known type: {data}"
    );
    let data = frame["data"].take();
    Ok(Frame {
        id: expected,
        kind,
        data,
    })
}

/// How a stream of these frames has ended.
///
/// # Errors
/// With anything but what a stream may end with.
pub fn end(frames: &[Frame], store_in_trouble: bool) -> Judged<Ended> {
    let Some(last) = frames.last().filter(|frame| frame.is_terminal()) else {
        return Ok(Ended::Cut);
    };
    if last.kind == "error" {
        let code = last.data["code"].as_str().unwrap_or_default();
        let is_known = UPSTREAM_ERRORS.contains(&code)
            || store_in_trouble && ["store_unavailable", "run_lost"].contains(&code);
        ensure!(is_known, "an error that nothing explains: {}", last.data);
        let message = last.data["message"].as_str().unwrap_or_default();
        ensure!(!message.is_empty(), "an error without words: {}", last.data);
        return Ok(Ended::Failed(code.to_owned()));
    }
    if last.data.is_null() {
        return Ok(Ended::Whole);
    }
    let reason = last.data["reason"].as_str().unwrap_or_default();
    ensure!(
        last.data["incomplete"] == true && REASONS.contains(&reason),
        "an end that is none: {}",
        last.data
    );
    Ok(Ended::Incomplete(reason.to_owned()))
}

/// What was said must be what the model has said to this request: its words in their
/// order, each turn's from its first word on, and all of the last turn where the
/// answer is said to be whole.
///
/// # Errors
/// What is not so.
pub fn said(frames: &[Frame], turns: &[Turn], ended: &Ended) -> Judged {
    let (mut turn, mut word) = (0, 0);
    let mut content = frames
        .iter()
        .filter(|frame| frame.kind == "content")
        .peekable();
    let nothing = content.peek().is_none();
    for frame in content {
        let said = frame.data.as_str().unwrap_or_default();
        let expected = |turn: usize, word: usize| {
            let words = turns.get(turn).map(|turn| &turn.words);
            words.and_then(|words| words.get(word)).map(String::as_str)
        };
        if expected(turn, word) != Some(said) {
            // Another turn: those between were refused, or said nothing. This one is over,
            // or was neither begun.
            let is_between = word == 0 || expected(turn, word).is_none();
            let mut later = turn + 1..if is_between { turns.len() } else { 0 };
            let later = later.find(|turn| expected(*turn, 0) == Some(said));
            let Some(later) = later else {
                return Err(Broken(format!(
                    "{said:?} in the place of {:?}",
                    expected(turn, word)
                )));
            };
            (turn, word) = (later, 0);
        }
        word += 1;
    }
    match ended {
        Ended::Whole => {
            let last = turns.get(turn);
            ensure!(
                last.is_some_and(|last| last.is_whole && last.is_last && last.words.len() == word),
                "an answer that is said to be whole and ends with word {word} of turn {turn}"
            );
        }
        Ended::Incomplete(reason) => ensure!(
            !nothing || ["stopped", "abandoned"].contains(&reason.as_str()),
            "nothing was said, and it ends as if something were: {reason}"
        ),
        Ended::Failed(_) | Ended::Cut => {}
    }
    Ok(())
}

/// A refusal: the status, and the code of its problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// The problem's code.
    pub code: String,
    /// The whole document.
    pub text: String,
}

/// Reads what is no stream: a problem as RFC 9457 has it.
///
/// # Errors
/// When it is none.
pub async fn refused(response: Response) -> Judged<Refused> {
    let status = response.status().as_u16();
    let media_type = response.headers().get("content-type").cloned();
    let text = response.text().await;
    let text = text.map_err(|error| Broken(format!("half a problem: {error}")))?;
    let is_problem = media_type.is_some_and(|found| found == "application/problem+json");
    ensure!(
        status >= 400 && is_problem,
        "{status} that is no problem: {text}"
    );
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    ensure!(
        problem["status"] == status,
        "{status} whose problem has another: {text}"
    );
    for member in ["type", "title", "detail", "code", "message"] {
        let has = problem[member]
            .as_str()
            .is_some_and(|text| !text.is_empty());
        ensure!(has, "a problem without {member}: {text}");
    }
    let code = problem["code"].as_str().unwrap_or_default().to_owned();
    ensure!(code != "internal", "an internal error: {text}");
    Ok(Refused { status, code, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(frames: &[&str]) -> String {
        let numbered = (1..).zip(frames);
        numbered
            .map(|(id, frame)| format!("id: {id}\ndata: {frame}\n\n"))
            .collect()
    }

    const RUN: &str = r#"{"type":"run","data":{"id":"x"}}"#;
    const DONE: &str = r#"{"type":"done","data":null}"#;

    fn content(text: &str) -> String {
        format!(r#"{{"type":"content","data":"{text}"}}"#)
    }

    fn turns() -> Vec<Turn> {
        let turn = |words: &[&str], is_whole| Turn {
            words: words.iter().map(ToString::to_string).collect(),
            is_whole,
            is_last: true,
        };
        vec![turn(&["a", "b"], false), turn(&["c", "d"], true)]
    }

    fn judge(frames_of: &[&str]) -> Judged<Ended> {
        let frames = frames(&stream(frames_of), 1)?;
        let ended = end(&frames, false)?;
        said(&frames, &turns(), &ended)?;
        Ok(ended)
    }

    #[test]
    fn what_is_as_it_must_be_passes() {
        let (a, c, d) = (content("a"), content("c"), content("d"));
        assert_eq!(judge(&[RUN, &c, &d, DONE]), Ok(Ended::Whole));
        let b = content("b");
        assert_eq!(judge(&[RUN, &a, &b, &c, &d, DONE]), Ok(Ended::Whole));
        let cut = r#"{"type":"done","data":{"incomplete":true,"reason":"upstream_cut"}}"#;
        let cut_off = Ended::Incomplete("upstream_cut".into());
        assert_eq!(judge(&[RUN, &a, cut]), Ok(cut_off));
        let error = r#"{"type":"error","data":{"code":"overloaded","message":"m"}}"#;
        assert_eq!(judge(&[RUN, error]), Ok(Ended::Failed("overloaded".into())));
        assert_eq!(judge(&[RUN, &c]), Ok(Ended::Cut));
    }

    #[test]
    fn what_is_not_is_found() {
        let (a, b, c, d) = (content("a"), content("b"), content("c"), content("d"));
        let cut = r#"{"type":"done","data":{"incomplete":true,"reason":"upstream_cut"}}"#;
        let internal = r#"{"type":"error","data":{"code":"internal","message":"m"}}"#;
        let unknown = r#"{"type":"x","data":null}"#;
        for wrong in [
            &[RUN, &c, DONE][..],
            &[RUN, &a, &c, &d, DONE],
            &[RUN, &d, DONE],
            &[RUN, &c, &c, &d, DONE],
            &[RUN, &c, &d, &a, DONE],
            &[RUN, &a, &b, DONE],
            &[RUN, &content("z"), cut],
            &[RUN, cut],
            &[RUN, DONE],
            &[RUN, &c, &d, DONE, DONE],
            &[RUN, internal],
            &[RUN, unknown, &c, &d, DONE],
            &[RUN, "{", &c, &d, DONE],
        ] {
            assert!(judge(wrong).is_err(), "{wrong:?}");
        }
        let text = stream(&[RUN, &c, &d, DONE]);
        assert!(frames(&text, 2).is_err(), "numbers that are another's");
    }
}
