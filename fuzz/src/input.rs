//! What a target makes of its bytes.

use spinlane_core::testing::SeededEntropy;

/// Bytes, and choices: of the first two bytes come as many as are wanted, so that
/// whatever changes the rest leaves the choices as they are.
pub(crate) struct Input<'a> {
    chance: SeededEntropy,
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        let (seed, rest) = data.split_at(data.len().min(2));
        let seed = seed
            .iter()
            .fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        Self {
            chance: SeededEntropy::new(seed),
            rest,
        }
    }

    /// A number below `bound`.
    pub(crate) fn below(&self, bound: usize) -> usize {
        self.chance.below(bound as u64) as usize
    }

    /// All bytes but those of the choices.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next byte; 0 after the last.
    pub(crate) fn byte(&mut self) -> u8 {
        match self.rest {
            [] => 0,
            [byte, rest @ ..] => {
                self.rest = rest;
                *byte
            }
        }
    }

    /// As many bytes as the next one says, or what is there.
    pub(crate) fn text(&mut self) -> String {
        let length = usize::from(self.byte()).min(self.rest.len());
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        String::from_utf8_lossy(text).into_owned()
    }

    /// `bytes` in pieces, empty ones among them: mostly a few, sometimes of a byte each.
    pub(crate) fn pieces<'b>(&self, bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let longest = [1, 3, 16, 1 + bytes.len()][self.below(4)];
        let (mut rest, mut pieces) = (bytes, Vec::new());
        while !rest.is_empty() {
            let length = self.below(longest + 1).min(rest.len());
            let (piece, after) = rest.split_at(length);
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}
