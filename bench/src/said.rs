//! What the model says, and how fast. Each delta has its number, so that one that
//! is lost, doubled or misplaced is seen.
//!
//! The stream is made once, and not for each call: the upstream must cost little
//! beside what is measured.

use std::time::Duration;

use spinlane_upstreams::anthropic::{Script, Step};

/// About as much as an upstream writes at a time when it is fast.
const WRITE: usize = 64 * 1024;

const BEGIN: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"id":"msg_bench","type":"message","#,
    r#""role":"assistant","model":"bench","content":[],"stop_reason":null,"#,
    r#""stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}"#,
    "\n\nevent: content_block_start\n",
    r#"data: {"type":"content_block_start","index":0,"#,
    r#""content_block":{"type":"text","text":""}}"#,
    "\n\n"
);

const END: &str = concat!(
    "event: content_block_stop\n",
    r#"data: {"type":"content_block_stop","index":0}"#,
    "\n\nevent: message_delta\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","#,
    r#""stop_sequence":null},"usage":{"output_tokens":10}}"#,
    "\n\nevent: message_stop\n",
    r#"data: {"type":"message_stop"}"#,
    "\n\n"
);

/// An answer: numbered deltas, and the frames that they are relayed as.
pub(crate) struct Said {
    deltas: Vec<String>,
    frames: Vec<Vec<u8>>,
}

impl Said {
    /// `count` deltas of `size` bytes, which have room for the number.
    pub(crate) fn new(count: usize, size: usize) -> Self {
        let text = |number| format!("{:size$}", format!("w{number:05} "));
        let deltas: Vec<String> = (0..count).map(text).collect();
        let frame = |text| format!(r#"{{"type":"content","data":"{text}"}}"#).into_bytes();
        let frames = deltas.iter().map(frame).collect();
        Self { deltas, frames }
    }

    pub(crate) fn len(&self) -> usize {
        self.deltas.len()
    }

    /// The data of that frame with content.
    pub(crate) fn frame(&self, number: usize) -> Option<&[u8]> {
        self.frames.get(number).map(Vec::as_slice)
    }

    fn events(&self) -> impl Iterator<Item = String> {
        self.deltas.iter().map(|text| {
            format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
                 \"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
            )
        })
    }

    /// All at once, in large writes.
    pub(crate) fn at_once(&self) -> Script {
        let mut steps = Vec::new();
        let mut write = BEGIN.to_owned();
        for event in self.events() {
            write += &event;
            if write.len() >= WRITE {
                steps.push(Step::Write(std::mem::take(&mut write)));
            }
        }
        write += END;
        steps.push(Step::Write(write));
        Script::wire(steps)
    }

    /// A delta in each write, and a pause after it. The first write holds none.
    pub(crate) fn paced(&self, pause: Duration) -> Script {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let mut steps = vec![Step::Write(BEGIN.into())];
        for event in self.events() {
            steps.extend([Step::Write(event), Step::Wait(pause)]);
        }
        steps.push(Step::Write(END.into()));
        Script::wire(steps)
    }

    /// All at once, and then nothing until the client goes.
    pub(crate) fn without_end(&self) -> Script {
        let all: String = self.events().collect();
        Script::wire([Step::Write(format!("{BEGIN}{all}")), Step::Hang])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_have_their_number_and_their_size() {
        let said = Said::new(2, 10);
        assert_eq!(said.deltas, ["w00000    ", "w00001    "]);
        let frame: &[u8] = br#"{"type":"content","data":"w00001    "}"#;
        assert_eq!((said.frame(1), said.frame(2)), (Some(frame), None));
        assert!(said.events().all(|event| event.ends_with("}}\n\n")));
    }
}
